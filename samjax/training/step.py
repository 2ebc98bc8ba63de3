"""Training step of interactive training: one encoding, then an update per iteration.

The first update trains the adapters (or the whole encoder), the prompt encoder and the decoder; the
later ones reuse the detached image embedding and train the decoder, and optionally the prompt
encoder (paper, section 3.2 C). The whole step, including the simulated annotator, is one compiled
function.
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, Literal, no_type_check

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, UInt8, UInt32

from samjax import fields, losses, masks, models, prompting, types
from samjax.prompting import PromptingConfig
from samjax.training import groups, optim
from samjax.types import Params


@dataclasses.dataclass(frozen=True)
class TrainableConfig:
    """Trainable parts of the network.

    Attributes:
        encoder: `adapters` (SAM-Med2D: the encoder's own weights never change), `frozen` (FT-SAM)
            or `full` (the encoder's own weights are trained, too).
        prompt_encoder: The updates that train it: `all` (ours: points and mask prompts only occur
            together in later updates), `first` (paper, published code) or `frozen` (FT-SAM).
        multimask: Whether three masks are predicted and the best of them trained; paper, code
            and ours: yes.

    Raises:
        ValueError: A field has an unknown value.
    """

    encoder: Literal["adapters", "frozen", "full"] = "adapters"
    prompt_encoder: Literal["all", "first", "frozen"] = "all"
    multimask: bool = True

    def __post_init__(self) -> None:
        fields.check(self)


@dataclasses.dataclass(frozen=True)
class Task:
    """Static description of the training step; hashable, a static argument of jit.

    Attributes:
        model: Architecture.
        mask_prompt: Kind of mask prompt, `logits` or `sigmoid`.
        prompting: Simulated annotator.
        loss: Loss of the predicted masks.
        trainable: Trainable parts.
        optim: Optimizer and learning rate.
        total_steps: Batches in the whole run.
        steps_per_epoch: Batches in an epoch.
    """

    model: models.SamConfig
    mask_prompt: str
    prompting: PromptingConfig
    loss: losses.LossConfig
    trainable: TrainableConfig
    optim: optim.OptimConfig
    total_steps: int
    steps_per_epoch: int

    def learning_rate(self, step: jax.Array | int) -> jax.Array:
        """Returns the learning rate of the batch that follows `step` batches."""
        schedule = optim.learning_rate(self.optim, self.total_steps, self.steps_per_epoch)
        return jnp.asarray(schedule(step))

    @property
    def first_groups(self) -> tuple[str, ...]:
        """Parameter groups that the first update trains."""
        encoder = {"adapters": ("adapter",), "frozen": (), "full": ("adapter", "encoder")}
        prompt_groups = () if self.trainable.prompt_encoder == "frozen" else groups.PROMPT_GROUPS
        return (*encoder[self.trainable.encoder], *prompt_groups, "decoder")

    @property
    def later_groups(self) -> tuple[str, ...]:
        """Parameter groups that the later updates train."""
        in_all = self.trainable.prompt_encoder == "all"
        return ("points", "masks", "decoder") if in_all else ("decoder",)


@no_type_check  # JAX fills it with shapes and shardings, too.
@struct.dataclass
class TrainState:
    """State of a training run.

    Attributes:
        step: Batches done.
        params: Nested parameters.
        optimizer: Optimizer state of each trainable group.
        key: Root of all randomness; batch `n` uses `fold_in(key, n)`.
    """

    step: Int[Array, ""]
    params: Params
    optimizer: optim.OptimizerStates
    key: PRNGKeyArray


@no_type_check
@struct.dataclass
class Batch:
    """Images with `k` masks each, see `samjax.data.pipeline.training_iterator`.

    Attributes:
        image: Normalised images.
        masks: True masks, 0 or 1.
        boxes: Their tight boxes, pixels.
        seed: Random seed of each image.
    """

    image: Float[Array, "b s s 3"]
    masks: UInt8[Array, "b k s s"]
    boxes: Float[Array, "b k 4"]
    seed: UInt32[Array, " b"]


@no_type_check
@struct.dataclass
class Metrics:
    """Training metrics of a batch, an entry per iteration; or of one iteration, without the axis.

    Attributes:
        loss: Total loss.
        focal: Focal loss.
        dice_loss: Dice loss.
        iou_error: Squared error of the predicted IoU.
        dice: Mean Dice of the thresholded masks.
        finite: Whether the loss, and every parameter after the update, is a finite number.
    """

    loss: Float[Array, "*n"]
    focal: Float[Array, "*n"]
    dice_loss: Float[Array, "*n"]
    iou_error: Float[Array, "*n"]
    dice: Float[Array, "*n"]
    finite: Bool[Array, "*n"]


def init_state(task: Task, params: Params, key: PRNGKeyArray) -> TrainState:
    """Returns the state at step 0; sharded parameters give sharded moments."""
    trainable = groups.pick(groups.split(params), task.first_groups)
    return TrainState(
        jnp.zeros((), jnp.int32), params, optim.init(task.optim, trainable), jax.random.clone(key)
    )


def train_step(task: Task, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
    """Runs all iterations and updates of one batch.

    Args:
        task: Description of the step; static under jit.
        state: State before the batch; may be donated.
        batch: Images, masks, boxes and seeds.

    Returns:
        State after the batch, and its metrics.
    """
    key = jax.random.fold_in(state.key, state.step)
    plan_key, object_key = jax.random.split(key)
    plan = prompting.plan(plan_key, task.prompting)
    keys = prompting.object_keys(object_key, batch.seed, batch.masks.shape[1])
    truth = batch.masks != 0
    rate = task.learning_rate(state.step)
    prompts = prompting.first_prompts(
        keys, truth, batch.boxes, plan.starts_with_box, task.prompting, task.model.mask_size
    )
    all_groups = ParamGroups(groups.split(state.params), state.optimizer)
    all_groups, embedding, first = first_update(
        task, all_groups, batch.image, truth, prompts, rate, plan.starts_with_box
    )

    def later(carry, iteration):
        trainable, prompts, prediction = carry
        prompts = prompting.next_prompts(
            keys,
            prompts,
            prediction.predicted,
            truth,
            masks.mask_prompt(prediction.low_res, task.mask_prompt),
            iteration,
            plan.point_counts[iteration],
            task.prompting,
        )
        mask_only = plan.mask_only[iteration]
        visible_prompts = prompting.hide_points(prompts, mask_only)
        trainable, output = later_update(
            task, all_groups.params, trainable, embedding, truth, visible_prompts, rate, mask_only
        )
        return (trainable, prompts, output.prediction), output.metrics

    iterations = jnp.arange(1, task.prompting.iterations)
    start = (all_groups.pick(task.later_groups), prompts, first.prediction)
    # A scan: unrolled is no faster, and takes longer to compile (docs/training.md).
    (trained, _, _), rest = jax.lax.scan(later, start, iterations)
    all_groups = all_groups.updated(trained)
    state = dataclasses.replace(
        state,
        step=state.step + 1,
        params=groups.merge(all_groups.params),
        optimizer=all_groups.optimizer,
    )
    return state, jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first.metrics, rest)


@struct.dataclass
class ParamGroups:
    """Parameter groups, and the optimizer states of the trainable ones."""

    params: groups.Groups
    optimizer: optim.OptimizerStates

    def pick(self, names: Iterable[str]) -> "ParamGroups":
        """Selects groups by name; all of them must be trainable."""
        params = groups.pick(self.params, names)
        return ParamGroups(params, {name: self.optimizer[name] for name in params})

    def updated(self, part: "ParamGroups") -> "ParamGroups":
        """Returns a copy in which the groups of `part` replace those of the same name."""
        return ParamGroups({**self.params, **part.params}, {**self.optimizer, **part.optimizer})


@struct.dataclass
class StepOutput:
    """Prediction and metrics of one iteration."""

    prediction: losses.Prediction
    metrics: Metrics


def first_update(
    task: Task,
    all_groups: ParamGroups,
    images: Float[Array, "b s s 3"],
    truth: Bool[Array, "b k s s"],
    prompts: types.Prompts,
    rate: jax.Array,
    starts_with_box: Bool[Array, ""],
) -> tuple[ParamGroups, Float[Array, "b g g c"], StepOutput]:
    """Runs the first iteration: encodes the images and updates all trainable groups.

    Returns:
        All groups after the update; the detached image embedding, computed before it; and the
        output of the iteration.
    """

    def forward(params: Params):
        embedding = models.encode_image(task.model, params, images)
        return _predict(task, params, embedding, truth, prompts), embedding

    active = {
        "points": ~starts_with_box,
        "boxes": starts_with_box,
        "masks": jnp.zeros((), bool),
    }
    trainable = all_groups.pick(task.first_groups)
    trainable, output, embedding = _update(
        task, all_groups.params, trainable, forward, rate, active
    )
    return all_groups.updated(trainable), jax.lax.stop_gradient(embedding), output


def later_update(
    task: Task,
    fixed: groups.Groups,
    trainable: ParamGroups,
    embedding: Float[Array, "b g g c"],
    truth: Bool[Array, "b k s s"],
    prompts: types.Prompts,
    rate: jax.Array,
    mask_only: Bool[Array, ""],
) -> tuple[ParamGroups, StepOutput]:
    """Runs a later iteration: updates the decoder, and optionally the prompt encoder.

    Args:
        task: Description of the step.
        fixed: All groups; those in `trainable` take precedence.
        trainable: The groups of `task.later_groups`.
        embedding: Image embedding.
        truth: True masks at input resolution.
        prompts: Prompts of this iteration.
        rate: Learning rate.
        mask_only: Whether the prompts are masks alone.
    """

    def forward(params: Params):
        return _predict(task, params, embedding, truth, prompts), None

    trainable, output, _ = _update(task, fixed, trainable, forward, rate, {"points": ~mask_only})
    return trainable, output


def _update(
    task: Task,
    fixed: groups.Groups,
    trainable: ParamGroups,
    forward: Callable,
    rate: jax.Array,
    active: dict[str, jax.Array],
) -> tuple[ParamGroups, StepOutput, Any]:
    """Differentiates `forward` with respect to the trainable groups, and updates them."""

    def loss_of(params: groups.Groups):
        (loss, prediction), extra = forward(groups.merge({**fixed, **params}))
        return loss, (prediction, extra)

    (loss, (prediction, extra)), gradients = jax.value_and_grad(loss_of, has_aux=True)(
        trainable.params
    )
    moved, states = optim.apply(
        task.optim, trainable.params, trainable.optimizer, gradients, rate, active
    )
    finite = jnp.isfinite(loss) & jnp.isfinite(optax.tree.norm(moved))
    metrics = Metrics(
        loss,
        prediction.focal,
        prediction.dice_loss,
        prediction.iou_error,
        prediction.mean_dice,
        finite,
    )
    return ParamGroups(moved, states), StepOutput(prediction, metrics), extra


def _predict(
    task: Task,
    params: Params,
    embedding: jax.Array,
    truth: jax.Array,
    prompts: types.Prompts,
) -> tuple[jax.Array, losses.Prediction]:
    low_res, iou = models.predict_masks(
        task.model, params, embedding, prompts, task.trainable.multimask
    )
    return losses.segmentation_loss(low_res, iou, truth, task.loss)
