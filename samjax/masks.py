"""From the decoder's low-resolution logits to masks: selection, upsampling, original size.

Shared by training, evaluation and prediction, so that a mask means the same everywhere.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

THRESHOLD = 0.0  # A pixel is foreground where its logit is above this (probability one half).


def mask_prompt(logits: Float[Array, "*n m m"], kind: str) -> Float[Array, "*n m m"]:
    """Turns the low-res logits of the step before into the mask prompt a checkpoint expects.

    Args:
        logits: Low-resolution logits.
        kind: `logits` (SAM) or `sigmoid` (SAM-Med2D), see `samjax.data.inputs.InputConfig`.
    """
    return jax.nn.sigmoid(logits) if kind == "sigmoid" else logits


def select(values: Float[Array, "b k c *rest"], index: Int[Array, "b k"]) -> jax.Array:
    """Picks one of `c` candidates for every object: (b, k, c, ...) -> (b, k, ...)."""
    trailing = (1,) * (values.ndim - 2)
    picked = jnp.take_along_axis(values, index.reshape(*index.shape, *trailing), axis=2)
    return jnp.squeeze(picked, axis=2)


def upsample(logits: Float[Array, "*n m m"], size: int) -> Float[Array, "*n s s"]:
    """Bilinear upsampling of logits to the network's input size (no corner alignment)."""
    return _resize(logits, (*logits.shape[:-2], size, size))


def restore_logits(
    logits: Float[Array, "n c m m"], placement: Int[Array, "n 6"], size: int, canvas: int
) -> Float[Array, "n c h w"]:
    """Brings logits back to the original images, on a canvas of one static shape.

    Bilinear to the input size, then the placement's rectangle bilinear to the original size:
    a plain crop where the image was padded. Both are interpolation matrices, multiplied with each
    other first: images of all sizes share one compiled function, and logits at the input size,
    sixteen times as many, are never made.

    Args:
        logits: Low-resolution logits of `c` masks for each of `n` images.
        placement: `samjax.data.inputs.Placement.as_array` of every image.
        size: Side of the network's input.
        canvas: Side of the result; at least every original height and width.

    Returns:
        Logits of which the first height rows and width columns count; the rest is zero.
    """
    height, width, top, left, inner_height, inner_width = jnp.moveaxis(placement, 1, 0)
    product = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)
    side = logits.shape[-1]
    to_size = _resize(jnp.eye(side), (size, side))  # One axis of `upsample`, as a matrix.
    sample = jax.vmap(_interpolation, (0, 0, 0, None, None))
    rows = product("nhs,sm->nhm", sample(height, top, inner_height, size, canvas), to_size)
    columns = product("nws,sm->nwm", sample(width, left, inner_width, size, canvas), to_size)
    return product("nwl,nchl->nchw", columns, product("nhm,ncml->nchl", rows, logits))


def canvas_size(height: int, width: int) -> int:
    """Side of a canvas for originals up to this size: few different ones, to compile rarely."""
    longest = max(height, width)
    step = 256 if longest <= 1024 else 1024
    return -(-longest // step) * step


def _resize(x: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    highest = jax.lax.Precision.HIGHEST
    return jax.image.resize(x, shape, "bilinear", antialias=False, precision=highest)


def _interpolation(
    length: jax.Array, first: jax.Array, inner: jax.Array, size: int, canvas: int
) -> Float[Array, "canvas size"]:
    """Matrix that resamples `inner` pixels from `first` on to `length` pixels, bilinearly."""
    target = jnp.arange(canvas, dtype=jnp.float32)
    source = (target + 0.5) * (inner / length) - 0.5
    source = jnp.clip(source, 0.0, inner - 1.0)
    low = jnp.floor(source)
    high = jnp.minimum(low + 1.0, inner - 1.0)
    fraction = source - low
    columns = jnp.arange(size) - first
    weights = jnp.where(columns == low[:, None], 1.0 - fraction[:, None], 0.0)
    weights += jnp.where(columns == high[:, None], fraction[:, None], 0.0)
    return jnp.where(target[:, None] < length, weights, 0.0)
