"""Exact Euclidean distance transform on the device."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int


def squared_distance(region: Bool[Array, "*n h w"]) -> Int[Array, "*n h w"]:
    """Returns the squared distance of every pixel of a region to the nearest pixel outside.

    Pixels beyond the border of the image are outside, so distances equal those of SciPy's and
    OpenCV's transforms of a region that is padded by one pixel. They are whole numbers, exact.

    First along columns, then the lower envelope of parabolas along rows (Felzenszwalb and
    Huttenlocher, 2012), one offset after the other until none can lower any distance: as many as
    the largest distance has pixels.

    Args:
        region: Pixels inside; 0 is returned for all others.
    """
    along_columns = jnp.minimum(_since_outside(region, False), _since_outside(region, True))
    squared = along_columns**2
    width = region.shape[-1]
    # Columns beyond the border are outside.
    padded = jnp.pad(squared, [(0, 0)] * (region.ndim - 1) + [(width, width)])

    def can_improve(state: tuple[jax.Array, jax.Array]) -> jax.Array:
        offset, nearest = state
        return (offset <= width) & (offset * offset < nearest.max(initial=0))

    def improve(state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        offset, nearest = state
        for first in (width - offset, width + offset):
            beside = jax.lax.dynamic_slice_in_dim(padded, first, width, axis=-1)
            nearest = jnp.minimum(nearest, beside + offset * offset)
        return offset + 1, nearest

    _, nearest = jax.lax.while_loop(can_improve, improve, (jnp.int32(1), squared))
    return nearest


def _since_outside(region: Bool[Array, "*n h w"], reverse: bool) -> Int[Array, "*n h w"]:
    """Returns the rows since the last pixel outside in the same column, in one direction."""
    height = region.shape[-2]
    row = jnp.arange(1, height + 1)[:, None]
    row = height + 1 - row if reverse else row
    # The last row outside, or that beyond the border, 0.
    last = jax.lax.cummax(jnp.where(region, 0, row), axis=region.ndim - 2, reverse=reverse)
    return (row - last).astype(jnp.int32)
