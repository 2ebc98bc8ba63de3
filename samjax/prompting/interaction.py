"""Interactive training: the prompts of each iteration (paper, 3.2 B and C)."""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray

from samjax import fields, types
from samjax.prompting import boxes as box_prompts
from samjax.prompting import keys as sample_keys
from samjax.prompting import points as point_prompts


@dataclasses.dataclass(frozen=True)
class PromptingConfig:
    """Settings of interactive training: the prompts of a simulated annotator.

    Attributes:
        iterations: Predictions, and updates, per batch; paper and code: 9.
        point_counts: Numbers of points that an iteration may give; one is drawn for the whole
            batch; paper and code: 1, 3, 5 or 9.
        points: `accumulated` (ours: an iteration gives all points so far, as in evaluation) or
            `new` (paper and published code: only the newest).
        box_probability: Probability that a batch starts with boxes rather than points; 0.5.
        box_jitter: `coordinate` (paper, ours), `shift` (published code), `grow` (MedSAM: outwards
            only) or `none`.
        box_jitter_pixels: Largest jitter; 5 pixels.
        mask_only: Whether one random middle iteration and the last give no points, only the mask
            of the iteration before; paper, code and we: yes.

    Raises:
        ValueError: A field is invalid; the message names it, with the expected and the found value.
    """

    iterations: fields.PositiveInt = 9
    point_counts: tuple[fields.PositiveInt, ...] = (1, 3, 5, 9)
    points: Literal["accumulated", "new"] = "accumulated"
    box_probability: fields.Probability = 0.5
    box_jitter: box_prompts.Jitter = "coordinate"
    box_jitter_pixels: fields.NonNegativeFloat = 5.0
    mask_only: bool = True

    @property
    def gives_points(self) -> bool:
        """Whether any iteration gives points."""
        return self.iterations > 1 or self.box_probability < 1

    def __post_init__(self) -> None:
        fields.check(self)
        if not self.point_counts:
            raise fields.FieldError("point_counts", "expected at least one count, found none")

    @property
    def max_points(self) -> int:
        """Largest number of points of an object, the static size of the prompts."""
        rounds = max(self.iterations - 1 - self.mask_only, 0)
        most = max(self.point_counts)
        return 1 + most * rounds if self.points == "accumulated" else most if rounds else 1


@struct.dataclass
class Plan:
    """Random choices that are made once for a whole batch.

    Attributes:
        starts_with_box: Whether the first iteration gives boxes rather than points.
        point_counts: Number of points that each iteration adds, 0 where it gives only the mask;
            entry 0 is not used.
        mask_only: Whether an iteration gives only the mask.
    """

    starts_with_box: Bool[Array, "*batch"]
    point_counts: Int[Array, "*batch n"]
    mask_only: Bool[Array, "*batch n"]


def plan(key: PRNGKeyArray, config: PromptingConfig) -> Plan:
    """Draws the choices that all objects of a batch share."""
    box_key, count_key, middle_key = jax.random.split(key, 3)
    n = config.iterations
    counts = jax.random.choice(count_key, jnp.array(config.point_counts), (n,))
    iteration = jnp.arange(n)
    mask_only = jnp.zeros(n, bool)
    if config.mask_only and n > 1:
        mask_only = iteration == n - 1
        if n > 3:  # Neither of the first two, nor the one before the last.
            mask_only |= iteration == jax.random.randint(middle_key, (), 2, n - 1)
    starts_with_box = jax.random.bernoulli(box_key, config.box_probability)
    return Plan(starts_with_box, jnp.where(mask_only, 0, counts), mask_only)


def first_prompts(
    keys: Key[Array, "b k"],
    truth: Bool[Array, "b k s s"],
    boxes: Float[Array, "b k 4"],
    starts_with_box: Bool[Array, ""],
    config: PromptingConfig,
    mask_size: int,
) -> types.Prompts:
    """Returns the first iteration's prompts: a jittered box, or one foreground point.

    Args:
        keys: One key per object, (b, k).
        truth: True masks at input resolution.
        boxes: Their tight boxes, pixels.
        starts_with_box: Whether to give the box rather than the point.
        config: Settings.
        mask_size: Side of the mask prompt, pixels.
    """
    b, k, size, _ = truth.shape
    points, labels = point_prompts.first_point(sample_keys.fold_in(keys, 0), truth)
    box_keys = sample_keys.fold_in(keys, 1)
    boxes = box_prompts.jitter_boxes(
        box_keys, boxes, config.box_jitter, config.box_jitter_pixels, size
    )
    empty = types.no_prompts(b, k, config.max_points, mask_size)
    labels = jnp.where(starts_with_box, types.PADDING, labels)
    return dataclasses.replace(
        empty,
        points=empty.points.at[:, :, :1].set(points),
        labels=empty.labels.at[:, :, :1].set(labels),
        boxes=boxes,
        has_box=jnp.broadcast_to(starts_with_box, (b, k)),
    )


def next_prompts(
    keys: Key[Array, "b k"],
    previous: types.Prompts,
    predicted: Bool[Array, "b k s s"],
    truth: Bool[Array, "b k s s"],
    mask: Float[Array, "b k m m"],
    iteration: Int[Array, ""],
    count: Int[Array, ""],
    config: PromptingConfig,
) -> types.Prompts:
    """Returns a later iteration's prompts: points in the last errors, the last mask, no box.

    Args:
        keys: One key per object, (b, k).
        previous: Prompts of the iteration before, with all of their points.
        predicted: Last prediction at input resolution.
        truth: True masks at input resolution.
        mask: Mask prompt made of the last prediction.
        iteration: Number of this iteration, from 1.
        count: Number of points to give.
        config: Settings.
    """
    updated = dataclasses.replace(
        previous,
        has_box=jnp.zeros_like(previous.has_box),
        mask=mask,
        has_mask=jnp.ones_like(previous.has_mask),
    )
    most = max(config.point_counts)
    if config.max_points < most:  # No iteration but mask-only ones.
        return updated
    keys = sample_keys.fold_in(keys, iteration + 1)
    points, labels = point_prompts.correction_points(keys, predicted, truth, most)
    labels = jnp.where(jnp.arange(most) < count, labels, types.PADDING)
    if config.points == "new":
        absent = jnp.full_like(previous.labels, types.PADDING)
        return dataclasses.replace(
            updated,
            points=previous.points.at[:, :, :most].set(points),
            labels=absent.at[:, :, :most].set(labels),
        )
    slot = 1 + most * (iteration - 1)
    # The last iteration, if it is mask-only, has no place for new points, and needs none.
    fits = slot + most <= config.max_points
    points = jax.lax.dynamic_update_slice_in_dim(previous.points, points, slot, axis=2)
    labels = jax.lax.dynamic_update_slice_in_dim(previous.labels, labels, slot, axis=2)
    return dataclasses.replace(
        updated,
        points=jnp.where(fits, points, previous.points),
        labels=jnp.where(fits, labels, previous.labels),
    )


def hide_points(prompts: types.Prompts, hidden: Bool[Array, ""]) -> types.Prompts:
    """Removes all points where `hidden`, for mask-only iterations."""
    return dataclasses.replace(prompts, labels=jnp.where(hidden, types.PADDING, prompts.labels))
