"""Box prompts: tight boxes with jitter, like an annotator's (paper section 3.2 C)."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

Jitter = Literal["coordinate", "shift", "grow", "none"]


def jitter_boxes(
    keys: Key[Array, "b k"], boxes: Float[Array, "b k 4"], kind: Jitter, pixels: float, size: int
) -> Float[Array, "b k 4"]:
    """Jitters tight boxes.

    The largest move is `pixels`; but for `grow`, never more than half of the box's shorter side.

    Args:
        keys: One key per object, (b, k).
        boxes: Tight boxes (x0, y0, x1, y1), pixels.
        kind: `coordinate` (paper: each coordinate on its own, kept within the image), `shift`
            (published code: one whole-pixel shift of the box in x and one in y, possibly out of
            the image), `grow` (MedSAM: each side moves outwards by 0 to `pixels` whole pixels, kept
            within the image), or `none`.
        pixels: Largest move, pixels.
        size: Side of the image, pixels.
    """
    if kind == "none":
        return boxes
    if kind == "grow":
        outwards = jnp.floor((pixels + 1) * _uniform(keys, 4)) * jnp.array([-1, -1, 1, 1])
        return jnp.clip(boxes + outwards, 0, size)
    sides = jnp.stack([boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1]])
    limit = jnp.minimum(pixels, 0.5 * sides.min(axis=0))[..., None]
    if kind == "coordinate":
        uniform = _uniform(keys, 4)
        return jnp.clip(boxes + limit * (2 * uniform - 1), 0, size)
    limit = jnp.floor(limit)  # Whole pixels from -limit to limit - 1, as the code draws them.
    shift = jnp.floor(2 * limit * _uniform(keys, 2)) - limit
    return boxes + jnp.concatenate([shift, shift], axis=-1)


def _uniform(keys: Key[Array, "b k"], count: int) -> Float[Array, "b k count"]:
    """Draws uniform numbers in 0..1 for every object, from its own key."""
    return jax.vmap(jax.vmap(lambda key: jax.random.uniform(key, (count,))))(keys)
