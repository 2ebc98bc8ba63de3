"""Point prompts, drawn on the device from a mask or from the model's errors (paper, 3.2 C).

Every object has its own random key, so that a click depends neither on the other objects of a
batch nor on how the batch is spread over devices. Shapes are static.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray, Shaped

from samjax import types

Mask = Shaped[Array, "b k s s"]


def sample_from(
    key: PRNGKeyArray, region: Bool[Array, "h w"], count: int
) -> tuple[Float[Array, "count 2"], Bool[Array, ""]]:
    """Draws pixels of a region uniformly, with replacement.

    First a row is drawn in proportion to its pixels, then a pixel within the row.

    Args:
        key: Random key.
        region: Pixels to draw from.
        count: Number of points.

    Returns:
        Coordinates (x, y), and whether the region has any pixel; the coordinates of an empty
        region are meaningless.
    """
    row_ends = jnp.cumsum(region.sum(axis=1, dtype=jnp.int32))
    total = row_ends[-1]
    rank = jax.random.randint(key, (count,), 0, jnp.maximum(total, 1))
    row = jnp.sum(row_ends <= rank[:, None], axis=1)
    row = jnp.minimum(row, region.shape[0] - 1)
    before = jnp.where(row > 0, row_ends[row - 1], 0)
    column_ends = jnp.cumsum(region[row], axis=1, dtype=jnp.int32)
    column = jnp.sum(column_ends <= (rank - before)[:, None], axis=1)
    column = jnp.minimum(column, region.shape[1] - 1)
    return jnp.stack([column, row], axis=-1).astype(jnp.float32), total > 0


def first_point(
    keys: Key[Array, "b k"], masks: Mask
) -> tuple[Float[Array, "b k 1 2"], Int[Array, "b k 1"]]:
    """Draws one foreground point from every mask.

    Args:
        keys: One key per object, (b, k).
        masks: True masks; nonzero is foreground.

    Returns:
        Coordinates (x, y) in pixels and labels: 1, or -1 where a mask is empty.
    """
    points, found = _per_object(sample_from, 1)(keys, masks != 0)
    labels = jnp.where(found, types.FOREGROUND, types.NOT_A_POINT)
    return points, labels[..., None].astype(jnp.int32)


def correction_points(
    keys: Key[Array, "b k"], predicted: Mask, truth: Mask, count: int
) -> tuple[Float[Array, "b k count 2"], Int[Array, "b k count"]]:
    """Draws points where prediction and truth differ, with replacement.

    Args:
        keys: One key per object, (b, k).
        predicted: Predicted masks; nonzero is foreground.
        truth: True masks; nonzero is foreground.
        count: Points per object.

    Returns:
        Coordinates (x, y) in pixels and labels: 1 for false negatives, 0 for false positives,
        -1 ("not a point") where there is no error.
    """
    truth = truth != 0
    points, found = _per_object(sample_from, count)(keys, truth != (predicted != 0))
    labels = jax.vmap(jax.vmap(_labels_at))(truth, points)
    labels = jnp.where(found[..., None], labels, types.NOT_A_POINT)
    return points, labels.astype(jnp.int32)


def _labels_at(mask: Bool[Array, "s s"], points: Float[Array, "p 2"]) -> Int[Array, " p"]:
    """Returns the label of each point: foreground where `mask` is true."""
    at = points.astype(jnp.int32)
    return jnp.where(mask[at[:, 1], at[:, 0]], types.FOREGROUND, types.BACKGROUND)


def _per_object(function, count: int):
    """Maps `function(key, region, count)` over images and objects."""
    return jax.vmap(jax.vmap(lambda key, region: function(key, region, count)))
