"""Windowed attention, the parts that both image encoders share.

Where windows do not divide the grid, both pad it with equal tokens, which are keys and values
like any others. All padding of a window thus acts as one more key, whose logit is the log of the
summed exponentials over the padded places. A single padding token is projected, and none queries.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Float


def apply(
    attend: Callable[[jax.Array], jax.Array], x: Float[Array, "b h w i"], window: int
) -> Float[Array, "b h w o"]:
    """Applies `attend` to each part of a grid in which windows have one size.

    These are the whole windows, and the narrower windows at the end of each axis.

    Args:
        attend: Attends within the windows of a part.
        x: The whole grid.
        window: Side of a window, tokens.
    """
    _, h, w, _ = x.shape
    return jnp.concatenate(
        [
            jnp.concatenate(
                [attend(x[:, top:bottom, left:right]) for left, right in _spans(w, window)], axis=2
            )
            for top, bottom in _spans(h, window)
        ],
        axis=1,
    )


def apply_padded(
    function: Callable[[jax.Array], jax.Array],
    x: Float[Array, "b h w i"],
    padding: Float[Array, "1 1 1 i"],
    window: int,
) -> Float[Array, "b h w o"]:
    """Applies `function` to the windows of a grid, in reading order along the batch axis.

    Args:
        function: Keeps the shape of `(b windows) window window i`, but for the last axis.
        x: The whole grid.
        padding: The token that makes every window whole.
        window: Side of a window, tokens.
    """
    b, h, w, i = x.shape
    rows, columns = -(-h // window), -(-w // window)
    padded = jnp.broadcast_to(padding, (b, rows * window, columns * window, i)).at[:, :h, :w].set(x)
    split, joined = "b (y h) (x w) i", "(b y x) h w i"
    y = function(rearrange(padded, f"{split} -> {joined}", h=window, w=window))
    return rearrange(y, f"{joined} -> {split}", y=rows, x=columns)[:, :h, :w]


def append_padding(
    tokens: Float[Array, "n heads t d"], padding: Float[Array, "1 heads 1 d"]
) -> Float[Array, "n heads t1 d"]:
    """Appends the one key, or value, of the padding to those of every window."""
    padding = jnp.broadcast_to(padding, (*tokens.shape[:2], 1, tokens.shape[3]))
    return jnp.concatenate([tokens, padding], axis=2)


def _spans(length: int, window: int) -> list[tuple[int, int]]:
    """Returns start and end of the whole windows, and of the narrower one after them."""
    whole = length - length % window
    return [(a, b) for a, b in ((0, whole), (whole, length)) if a < b]
