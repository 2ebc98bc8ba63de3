"""One training batch: encode once, then one update per interaction (paper, section 3.2 C).

The first update may move adapters (or the whole encoder), prompt encoder and decoder; the later
ones reuse the detached image embedding and move the decoder, and the prompt encoder if wished.
Everything, the simulated annotator included, is one compiled function.
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
    """Which parts learn.

    Attributes:
        encoder: `adapters` (SAM-Med2D: the encoder's own weights never change), `frozen` (FT-SAM)
            or `full` (the encoder's own weights learn too).
        prompt_encoder: The updates that train it: `all` (ours: points and mask prompts only occur
            together in later updates), `first` (paper, published code) or `frozen` (FT-SAM).
        multimask: Predict three masks and choose one; paper, code and we: yes.

    Raises:
        ValueError: A switch has an unknown value.
    """

    encoder: Literal["adapters", "frozen", "full"] = "adapters"
    prompt_encoder: Literal["all", "first", "frozen"] = "all"
    multimask: bool = True

    def __post_init__(self) -> None:
        fields.check(self)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """All that is fixed while a step is compiled.

    Attributes:
        model: Architecture.
        mask_prompt: What a mask prompt is, `logits` or `sigmoid`.
        prompting: The simulated annotator.
        loss: How predictions are scored.
        trainable: Which parts learn.
        optim: How they move.
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
        """Learning rate of the batch after `step` batches."""
        schedule = optim.learning_rate(self.optim, self.total_steps, self.steps_per_epoch)
        return jnp.asarray(schedule(step))

    @property
    def first_groups(self) -> tuple[str, ...]:
        """Groups of parameters that the first update moves."""
        encoder = {"adapters": ("adapter",), "frozen": (), "full": ("adapter", "encoder")}
        prompt_groups = () if self.trainable.prompt_encoder == "frozen" else groups.PROMPT_GROUPS
        return (*encoder[self.trainable.encoder], *prompt_groups, "decoder")

    @property
    def later_groups(self) -> tuple[str, ...]:
        """Groups of parameters that the later updates move."""
        learns = self.trainable.prompt_encoder == "all"
        return ("points", "masks", "decoder") if learns else ("decoder",)


@no_type_check  # JAX fills it with shapes and shardings, too.
@struct.dataclass
class TrainState:
    """All that changes while training.

    Attributes:
        step: Batches done.
        params: Nested parameters.
        optimizer: One optimizer state for each group that learns.
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
        seed: A random seed of each image's own.
    """

    image: Float[Array, "b s s 3"]
    masks: UInt8[Array, "b k s s"]
    boxes: Float[Array, "b k 4"]
    seed: UInt32[Array, " b"]


@no_type_check
@struct.dataclass
class Metrics:
    """What a batch tells, one entry per iteration; or one iteration, without an axis.

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


def init_state(recipe: Recipe, params: Params, key: PRNGKeyArray) -> TrainState:
    """Makes the state at step 0; run it on sharded parameters to get sharded moments."""
    learning = groups.pick(groups.split(params), recipe.first_groups)
    return TrainState(
        jnp.zeros((), jnp.int32), params, optim.init(recipe.optim, learning), jax.random.clone(key)
    )


def train_step(recipe: Recipe, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
    """Runs all iterations and updates of one batch.

    Args:
        recipe: What is fixed; jit with it static.
        state: State before; donate it.
        batch: Images, masks, boxes, seeds.

    Returns:
        State after, and what the batch told.
    """
    key = jax.random.fold_in(state.key, state.step)
    plan_key, object_key = jax.random.split(key)
    plan = prompting.plan(plan_key, recipe.prompting)
    keys = prompting.object_keys(object_key, batch.seed, batch.masks.shape[1])
    truth = batch.masks != 0
    rate = recipe.learning_rate(state.step)
    given = prompting.first_prompts(
        keys, truth, batch.boxes, plan.starts_with_box, recipe.prompting, recipe.model.mask_size
    )
    everything = Learned(groups.split(state.params), state.optimizer)
    everything, embedding, first = first_update(
        recipe, everything, batch.image, truth, given, rate, plan.starts_with_box
    )

    def later(carry, iteration):
        learned, given, prediction = carry
        given = prompting.next_prompts(
            keys,
            given,
            prediction.predicted,
            truth,
            masks.mask_prompt(prediction.low_res, recipe.mask_prompt),
            iteration,
            plan.point_counts[iteration],
            recipe.prompting,
        )
        mask_only = plan.mask_only[iteration]
        shown = prompting.hide_points(given, mask_only)
        learned, result = later_update(
            recipe, everything.params, learned, embedding, truth, shown, rate, mask_only
        )
        return (learned, given, result.prediction), result.metrics

    iterations = jnp.arange(1, recipe.prompting.iterations)
    start = (everything.pick(recipe.later_groups), given, first.prediction)
    # A scan: unrolled is no faster, and takes longer to compile (docs/training.md).
    (learned, _, _), rest = jax.lax.scan(later, start, iterations)
    everything = everything.updated(learned)
    state = dataclasses.replace(
        state,
        step=state.step + 1,
        params=groups.merge(everything.params),
        optimizer=everything.optimizer,
    )
    return state, jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first.metrics, rest)


@struct.dataclass
class Learned:
    """Groups of parameters, and the optimizer states of those that learn."""

    params: groups.Groups
    optimizer: optim.OptimizerStates

    def pick(self, names: Iterable[str]) -> "Learned":
        """Only the named groups, of which all learn."""
        params = groups.pick(self.params, names)
        return Learned(params, {name: self.optimizer[name] for name in params})

    def updated(self, part: "Learned") -> "Learned":
        """With some groups replaced."""
        return Learned({**self.params, **part.params}, {**self.optimizer, **part.optimizer})


@struct.dataclass
class Result:
    """What one iteration gives: its predictions, and its row of `Metrics`."""

    prediction: losses.Prediction
    metrics: Metrics


def first_update(
    recipe: Recipe,
    everything: Learned,
    images: Float[Array, "b s s 3"],
    truth: Bool[Array, "b k s s"],
    given: types.Prompts,
    rate: jax.Array,
    starts_with_box: Bool[Array, ""],
) -> tuple[Learned, Float[Array, "b g g c"], Result]:
    """The first iteration: encodes the images and updates all that learns.

    Returns:
        All groups after the update, the detached image embedding from before it, and the result.
    """

    def forward(params: Params):
        embedding = models.encode_image(recipe.model, params, images)
        return _predict(recipe, params, embedding, truth, given), embedding

    active = {
        "points": ~starts_with_box,
        "boxes": starts_with_box,
        "masks": jnp.zeros((), bool),
    }
    learning = everything.pick(recipe.first_groups)
    learning, result, embedding = _update(
        recipe, everything.params, learning, forward, rate, active
    )
    return everything.updated(learning), jax.lax.stop_gradient(embedding), result


def later_update(
    recipe: Recipe,
    fixed: groups.Groups,
    learning: Learned,
    embedding: Float[Array, "b g g c"],
    truth: Bool[Array, "b k s s"],
    given: types.Prompts,
    rate: jax.Array,
    mask_only: Bool[Array, ""],
) -> tuple[Learned, Result]:
    """A later iteration: updates the decoder, and the prompt encoder if it learns in all.

    Args:
        recipe: What is fixed.
        fixed: All groups; those that also learn are overridden by `learning`.
        learning: The groups of `recipe.later_groups`.
        embedding: Image embedding.
        truth: True masks at input resolution.
        given: Prompts of this iteration.
        rate: Learning rate.
        mask_only: Whether the prompts are masks alone.
    """

    def forward(params: Params):
        return _predict(recipe, params, embedding, truth, given), None

    learning, result, _ = _update(recipe, fixed, learning, forward, rate, {"points": ~mask_only})
    return learning, result


def _update(
    recipe: Recipe,
    fixed: groups.Groups,
    learning: Learned,
    forward: Callable,
    rate: jax.Array,
    active: dict[str, jax.Array],
) -> tuple[Learned, Result, Any]:
    """Differentiates `forward` by the learning groups alone, and updates them."""

    def loss_of(params: groups.Groups):
        (loss, prediction), extra = forward(groups.merge({**fixed, **params}))
        return loss, (prediction, extra)

    (loss, (prediction, extra)), gradients = jax.value_and_grad(loss_of, has_aux=True)(
        learning.params
    )
    moved, states = optim.apply(
        recipe.optim, learning.params, learning.optimizer, gradients, rate, active
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
    return Learned(moved, states), Result(prediction, metrics), extra


def _predict(
    recipe: Recipe,
    params: Params,
    embedding: jax.Array,
    truth: jax.Array,
    given: types.Prompts,
) -> tuple[jax.Array, losses.Prediction]:
    low_res, iou = models.predict_masks(
        recipe.model, params, embedding, given, recipe.trainable.multimask
    )
    return losses.segmentation_loss(low_res, iou, truth, recipe.loss)
