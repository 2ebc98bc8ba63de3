"""A whole run as one frozen, checked description, to and from ml_collections.

The fields, and what paper, published code and we do by default, are documented where they are
used: every section is a dataclass of the package that it configures.
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
from samjax.training.checkpoint import CheckpointConfig
from samjax.training.optim import OptimConfig
from samjax.training.sharding import MeshConfig
from samjax.training.step import Recipe, TrainableConfig


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """How long a run is, and what it begins and ends with.

    Attributes:
        epochs: Passes over the training images; paper: 12, published code: 15.
        steps: Batches; 0 means `epochs` passes.
        seed: Seed of fresh parameters and of the simulated annotator.
        phantoms: Train on synthetic scans, written to WORKDIR/phantoms, instead of `data.root`.
        report: Evaluate on the test split at the end, and write WORKDIR/report.
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
        patience: Validations without a better mean Dice after which the run stops; 0 never stops.
        evaluation: How each validation is made, see `samjax.evaluation.evaluator.EvalConfig`.
    """

    every: fields.NonNegativeInt = 500
    patience: fields.NonNegativeInt = 0
    evaluation: EvalConfig = dataclasses.field(default_factory=lambda: EvalConfig(limit=200))

    def __post_init__(self) -> None:
        fields.check(self)


@dataclasses.dataclass(frozen=True)
class LogConfig:
    """What is told while training.

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
    """A whole run; each section is documented at its class.

    Attributes:
        init_from: Where to start: a samjax model directory or a PyTorch or Hugging Face
            checkpoint. Its architecture is used; image size, adapters and compute settings are
            those of `model`, in which nothing else may be asked for that it has not. Empty: fresh
            parameters.
        init_family: With `init_from`, how that checkpoint's images were prepared, by the name of a
            family such as `sam`; empty: as the checkpoint says, or as what it looks like (a warning
            tells where that is a guess).
        preprocessing_from: With `init_from`, whether images are prepared as the `recipe` says or as
            the `checkpoint` was used to; `auto` means the recipe for a ViT and the checkpoint for
            a TinyViT.
    """

    init_from: str = ""
    init_family: Literal["", Family] = ""
    preprocessing_from: Literal["auto", "recipe", "checkpoint"] = "auto"
    model: models.SamConfig = dataclasses.field(default_factory=models.SamConfig)
    preprocessing: Preprocessing = dataclasses.field(default_factory=Preprocessing)
    data: DataConfig = dataclasses.field(default_factory=lambda: DataConfig(root=""))
    phantoms: PhantomConfig = dataclasses.field(default_factory=PhantomConfig)
    prompting: PromptingConfig = dataclasses.field(default_factory=PromptingConfig)
    loss: losses.LossConfig = dataclasses.field(default_factory=losses.LossConfig)
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

    def check_validation(self) -> None:
        """Checks that what validation is asked for can happen.

        Raises:
            ValueError: There would be no validation, or none that `validation.patience` could see.
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

    def length(self, images: int) -> tuple[int, int]:
        """Batches in the whole run, and in an epoch, of so many images to train on."""
        per_epoch = max(images // self.data.batch_size, 1)
        return self.run.steps or self.run.epochs * per_epoch, per_epoch

    def recipe(
        self,
        model: models.SamConfig,
        mask_prompt: str,
        total_steps: int,
        steps_per_epoch: int,
        multimask: bool = True,
    ) -> Recipe:
        """What its training step needs; the network's part may come from a checkpoint.

        Args:
            model: Architecture that is trained.
            mask_prompt: What a mask prompt is, see `samjax.data.inputs.Preprocessing`.
            total_steps: Batches in the whole run.
            steps_per_epoch: Batches in an epoch.
            multimask: Whether the network's three masks were trained so far; if not, they never
                are.
        """
        multimask = self.trainable.multimask and multimask
        return Recipe(
            model=model,
            mask_prompt=mask_prompt,
            prompting=self.prompting,
            loss=self.loss,
            trainable=dataclasses.replace(self.trainable, multimask=multimask),
            optim=self.optim,
            total_steps=total_steps,
            steps_per_epoch=steps_per_epoch,
        )


def to_config_dict(value: Any) -> ml_collections.ConfigDict:
    """Turns a dataclass into a ConfigDict with the same fields, sections within sections."""
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
    """Checks a ConfigDict and turns it into an `Experiment`.

    Raises:
        ValueError: A field has an earlier name or a value that cannot work; the message names it.
    """
    content = config.to_dict()
    renames.check_names(flatten_dict(content, sep="."))
    return fields.from_dict(Experiment, content)


def from_dict(content: dict[str, Any]) -> Experiment:
    """Reads what `dataclasses.asdict` and JSON made of an `Experiment`, now or earlier."""
    return fields.from_dict(Experiment, renames.translate(content))


def _optional(hint: Any) -> type:
    """The type `T` of a hint `T | None`."""
    return next(kind for kind in typing.get_args(hint) if kind is not type(None))
