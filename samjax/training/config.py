"""Settings of a training run, converted to and from ml_collections.

Every section is a dataclass of the package that it configures. Its docstring documents the fields,
and the values of the paper, of the published code and of samjax.
"""

import dataclasses
import typing
from typing import Any, Literal

import ml_collections
from flax.traverse_util import flatten_dict
from ml_collections import config_dict

from samjax import fields, losses, models, renames
from samjax.conversion.families import Family
from samjax.data.config import DataConfig
from samjax.data.inputs import Preprocessing
from samjax.data.phantoms import PhantomConfig
from samjax.evaluation.evaluator import EvalConfig
from samjax.prompting import PromptingConfig
from samjax.tasks import ClassPromptTask, InteractiveTask, SemanticTask, TrainableConfig
from samjax.training.checkpoint import CheckpointConfig
from samjax.training.optim import OptimConfig
from samjax.training.sharding import MeshConfig
from samjax.training.step import StepConfig, TaskT


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Length, seed and report of a run.

    Attributes:
        epochs: Passes over the training images; paper: 12, published code: 15.
        steps: Number of batches; 0 means `epochs` passes.
        seed: Seed of the initial parameters and of the simulated annotator.
        phantoms: Whether to train on synthetic scans, written to WORKDIR/phantoms, instead of
            `data.root`.
        report: Whether to evaluate on the test split at the end, and write WORKDIR/report.
    """

    epochs: fields.PositiveInt = 12
    steps: fields.NonNegativeInt = 0
    seed: fields.Seed = 0
    phantoms: bool = False
    report: bool = True

    def __post_init__(self) -> None:
        fields.check(self)


@dataclasses.dataclass(frozen=True)
class ValidationConfig:
    """Validation during training: the code of `eval.py` on held-out images.

    Attributes:
        every: Batches between validations; 0 for none.
        patience: Early stopping: validations without a better mean Dice after which the run stops;
            0 switches it off.
        evaluation: Settings of each validation, see `samjax.evaluation.evaluator.EvalConfig`.
    """

    every: fields.NonNegativeInt = 500
    patience: fields.NonNegativeInt = 0
    evaluation: EvalConfig = dataclasses.field(default_factory=lambda: EvalConfig(limit=200))

    def __post_init__(self) -> None:
        fields.check(self)


@dataclasses.dataclass(frozen=True)
class LogConfig:
    """Logging during training.

    Attributes:
        every: Batches between rows of the logs.
        picture_every: Batches between pictures of predictions; 0 for none.
    """

    every: fields.PositiveInt = 10
    picture_every: fields.NonNegativeInt = 500

    def __post_init__(self) -> None:
        fields.check(self)


@dataclasses.dataclass(frozen=True)
class Experiment:
    """All settings of a run; each section is documented at its class.

    Attributes:
        init_from: Checkpoint to start from: a samjax model directory, or a PyTorch or Hugging Face
            checkpoint. Its architecture is used; image size, adapters and compute settings come
            from `model`, whose other fields must agree with it or have their default. Empty:
            random parameters.
        init_family: With `init_from`, the family whose preprocessing the checkpoint was trained
            with, such as `sam`; empty: read from the checkpoint, or inferred from its tensors (a
            warning says where that is a guess).
        preprocessing_from: With `init_from`, the source of the preprocessing: `recipe`,
            `checkpoint`, or `auto`, which is the recipe for a ViT and the checkpoint for a TinyViT.
        init_fresh: With `init_from`, regular expression of parameters that start from initial
            values all the same, such as `mask_decoder/mask_tokens`; empty for none.
    """

    init_from: str = ""
    init_family: Literal["", Family] = ""
    preprocessing_from: Literal["auto", "recipe", "checkpoint"] = "auto"
    init_fresh: fields.Pattern = ""
    model: models.SamConfig = dataclasses.field(default_factory=models.SamConfig)
    preprocessing: Preprocessing = dataclasses.field(default_factory=Preprocessing)
    data: DataConfig = dataclasses.field(default_factory=lambda: DataConfig(root=""))
    phantoms: PhantomConfig = dataclasses.field(default_factory=PhantomConfig)
    prompting: PromptingConfig = dataclasses.field(default_factory=PromptingConfig)
    loss: losses.LossConfig = dataclasses.field(default_factory=losses.LossConfig)
    class_loss: losses.ClassLossConfig = dataclasses.field(default_factory=losses.ClassLossConfig)
    trainable: TrainableConfig = dataclasses.field(default_factory=TrainableConfig)
    optim: OptimConfig = dataclasses.field(default_factory=OptimConfig)
    mesh: MeshConfig = dataclasses.field(default_factory=MeshConfig)
    run: RunConfig = dataclasses.field(default_factory=RunConfig)
    validation: ValidationConfig = dataclasses.field(default_factory=ValidationConfig)
    evaluation: EvalConfig = dataclasses.field(default_factory=EvalConfig)
    checkpoint: CheckpointConfig = dataclasses.field(default_factory=CheckpointConfig)
    log: LogConfig = dataclasses.field(default_factory=LogConfig)

    def __post_init__(self) -> None:
        fields.check(self)
        if self.trainable.encoder == "adapters" and not self.model.peft.enabled:
            raise ValueError(
                "trainable.encoder: `adapters` expects adapters, found model.peft.kind='none' "
                "(`frozen` trains prompt encoder and decoder alone)"
            )
        if self.model.head.kind == "prompts" and not self.data.cache_embeddings:
            raise ValueError(
                "data.cache_embeddings: expected True with model.head.kind=prompts, which trains "
                "the head alone, found False"
            )
        if self.data.cache_embeddings:
            self._check_caching()

    def _check_caching(self) -> None:
        """Checks that every image always has the same embedding, and only its embedding counts."""
        varied = {
            f"data.augment.{name}": amount for name, amount in self.data.augment.kinds.items()
        }
        needed = [
            ("trainable.encoder", "frozen", self.trainable.encoder),
            ("model.peft.depth", 0, self.model.peft.depth),
            *((name, 0, amount) for name, amount in varied.items()),
        ]
        for name, expected, found in needed:
            if found != expected:
                raise ValueError(
                    f"{name}: expected {expected} with data.cache_embeddings=True, found {found}; "
                    "data.cache_embeddings=False trains without"
                )
        if not self.model.head.is_semantic:
            raise ValueError(
                "data.cache_embeddings: expected False with model.head.kind=masks, found True; a "
                "semantic head can be trained on embeddings"
            )

    def check_validation(self) -> None:
        """Checks that the settings of validation agree with each other.

        Raises:
            ValueError: Validation has no images, or early stopping no validation.
        """
        every, fraction = self.validation.every, self.data.validation_fraction
        if every and not fraction:
            raise ValueError(
                f"validation.every: expected 0 where data.validation_fraction = {fraction} holds "
                f"no images out, found {every}; data.validation_fraction=0.05 holds some out, "
                "validation.every=0 trains without validation"
            )
        if self.validation.patience and not every:
            raise ValueError(
                "validation.patience: expected 0 where validation.every = 0 never validates, found "
                f"{self.validation.patience}"
            )
        if self.optim.schedule == "plateau" and not every:
            raise ValueError(
                "optim.schedule: expected another than plateau where validation.every = 0 never "
                "validates, found plateau; validation.every=500 validates, poly and cosine do not "
                "need it"
            )

    def length(self, images: int) -> tuple[int, int]:
        """Returns the number of batches in the run, and in an epoch, for a number of images."""
        per_epoch = max(images // self.data.batch_size, 1)
        return self.run.steps or self.run.epochs * per_epoch, per_epoch

    def task(
        self, model: models.SamConfig, mask_prompt: str, multimask: bool = True
    ) -> InteractiveTask | SemanticTask:
        """Returns the training task; its network may come from a checkpoint.

        Args:
            model: Architecture to train.
            mask_prompt: Kind of mask prompt, see `samjax.data.inputs.Preprocessing`.
            multimask: Whether the checkpoint's three masks were trained; if not, the single mask
                is trained.
        """
        if model.head.kind == "prompts":
            return ClassPromptTask(model, self.class_loss, self.trainable)
        if model.head.is_semantic:
            return SemanticTask(model, self.class_loss, self.trainable)
        return self.interactive_task(model, mask_prompt, multimask)

    def interactive_task(
        self, model: models.SamConfig, mask_prompt: str, multimask: bool = True
    ) -> InteractiveTask:
        """Returns the training task of a network that takes prompts; arguments as of `task`."""
        multimask = self.trainable.multimask and multimask
        trainable = dataclasses.replace(self.trainable, multimask=multimask)
        return InteractiveTask(model, mask_prompt, self.prompting, self.loss, trainable)

    def step(self, task: TaskT, total_steps: int, steps_per_epoch: int) -> StepConfig[TaskT]:
        """Returns the description of the training step.

        Args:
            task: Losses of a batch.
            total_steps: Batches in the run.
            steps_per_epoch: Batches in an epoch.
        """
        return StepConfig(task, self.optim, total_steps, steps_per_epoch)


def to_config_dict(value: Any) -> ml_collections.ConfigDict:
    """Converts a dataclass, with the dataclasses in it, to a ConfigDict of the same fields."""
    config = ml_collections.ConfigDict()
    hints = typing.get_type_hints(type(value))
    for field in dataclasses.fields(value):
        content = getattr(value, field.name)
        if dataclasses.is_dataclass(content):
            content = to_config_dict(content)
        elif content is None:
            content = config_dict.placeholder(_optional(hints[field.name]))
        config[field.name] = content
    return config


def from_config_dict(config: ml_collections.ConfigDict) -> Experiment:
    """Converts a ConfigDict to an `Experiment`, and checks it.

    Raises:
        ValueError: A field has an earlier name or an invalid value; the message names it.
    """
    content = config.to_dict()
    renames.check_names(flatten_dict(content, sep="."))
    return fields.from_dict(Experiment, content)


def from_dict(content: dict[str, Any]) -> Experiment:
    """Converts a nested dict, of this or an earlier version, to an `Experiment`."""
    return fields.from_dict(Experiment, renames.translate(content))


def _optional(hint: Any) -> type:
    """Returns the type `T` of a hint `T | None`."""
    return next(kind for kind in typing.get_args(hint) if kind is not type(None))
