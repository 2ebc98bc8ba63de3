"""Prompts and parameters, the data types shared by all of samjax."""

from typing import Any

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int

FOREGROUND = 1
BACKGROUND = 0
NOT_A_POINT = -1  # SAM's own padding point: it has an embedding and takes part in attention.
PADDING = -10  # For static shapes; masked out of attention, so it never changes an output.


@struct.dataclass
class Prompts:
    """Points, boxes and masks for `k` objects in each of `b` images; any of them may be absent.

    Shapes never depend on which prompts are present, so one compiled function serves every
    combination. Coordinates are (x, y) in pixels of the network's input.

    Attributes:
        points: Point coordinates.
        labels: 1 foreground, 0 background, -1 "not a point", `PADDING` for an absent point.
        boxes: Corners (x0, y0, x1, y1); ignored where `has_box` is false.
        has_box: Whether the object has a box.
        mask: Mask prompt on a grid four times as fine as the image embedding, in the kind that
            the checkpoint was trained on (logits or their sigmoid); ignored where `has_mask`
            is false.
        has_mask: Whether the object has a mask prompt.
    """

    points: Float[Array, "b k p 2"]
    labels: Int[Array, "b k p"]
    boxes: Float[Array, "b k 4"]
    has_box: Bool[Array, "b k"]
    mask: Float[Array, "b k m m"]
    has_mask: Bool[Array, "b k"]


def no_prompts(images: int, objects: int, points: int, mask_size: int) -> Prompts:
    """Returns prompts of static shape in which nothing is present.

    Args:
        images: Number of images `b`.
        objects: Objects per image `k`.
        points: Room for points per object `p`.
        mask_size: Side of the mask prompt `m`, four times the embedding grid.
    """
    lead = (images, objects)
    return Prompts(
        points=jnp.zeros((*lead, points, 2), jnp.float32),
        labels=jnp.full((*lead, points), PADDING, jnp.int32),
        boxes=jnp.zeros((*lead, 4), jnp.float32),
        has_box=jnp.zeros(lead, bool),
        mask=jnp.zeros((*lead, mask_size, mask_size), jnp.float32),
        has_mask=jnp.zeros(lead, bool),
    )


Params = dict[str, Any]  # Nested: names to names to ... to arrays.
