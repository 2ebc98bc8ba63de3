"""Comparison of predictions with the truth at original resolution, on the device."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt8

from samjax import masks


@functools.partial(jax.jit, static_argnames=("size", "keep"))
def count_pixels(
    logits: Float[Array, "c m m"],
    placement: Int[Array, " 6"],
    truth: UInt8[Array, "h w"],
    size: int,
    keep: bool = False,
) -> tuple[Int[Array, "c 2"], UInt8[Array, "c h w8"] | None]:
    """Compares the predictions of one mask with the truth at original resolution.

    One prediction at a time: those of a large original would not fit into memory all at once.

    Args:
        logits: Low-resolution logits of `c` predicted masks.
        placement: `samjax.data.inputs.Placement.as_array` of the mask's image.
        truth: The true mask at original size, on a canvas (`samjax.masks.canvas_size`), zero
            beyond the image.
        size: Side of the network's input.
        keep: Whether to return the predicted masks, too.

    Returns:
        Numbers of pixels in the intersection and in the predicted mask; the predicted masks on the
        canvas, eight pixels of a row in a byte, or None.
    """
    canvas = (truth.shape[0], truth.shape[1])

    def count_one(low_res: jax.Array) -> tuple[jax.Array, jax.Array | None]:
        at_input = low_res[None, None], placement[None]
        restored = masks.restore_logits(*at_input, size, canvas)[0, 0]
        predicted = restored > masks.THRESHOLD
        counts = jnp.stack([(predicted & (truth != 0)).sum(), predicted.sum()])
        return counts, jnp.packbits(predicted, axis=1) if keep else None

    return jax.lax.map(count_one, logits)
