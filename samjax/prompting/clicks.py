"""Simulated clicks of an annotator in the larger error of a prediction, by policies, on the device.

`centre` is the clicker of interactive segmentation (RITM, Sofiiuk et al., 2022; as in f-BRS and
SimpleClick): of the pixels that the prediction misses and those that it has too many, the larger
error is the one with the largest distance to its border, and the click is the pixel with that
distance. People click less exactly: `jittered` draws a pixel around that one, `boundary` one near
the border of the error. `uniform` is the one of SAM-Med2D
(`samjax.prompting.points.correction_points`).
"""

import typing
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray

from samjax import types
from samjax.prompting.distance import squared_distance
from samjax.prompting.points import sample_from

Placed = Literal["centre", "boundary", "jittered"]
PLACED: tuple[Placed, ...] = typing.get_args(Placed)
Policy = Literal["uniform"] | Placed

BORDER = 0.25  # `boundary`: largest distance to the border over that of the centre.
SPREAD = 0.5  # `jittered`: standard deviation over the distance of the centre to the border.


def click(
    keys: Key[Array, " n"],
    predicted: Bool[Array, "n s s"],
    truth: Bool[Array, "n s s"],
    clicked: Float[Array, "n p 2"],
    labels: Int[Array, "n p"],
    policy: Policy,
) -> tuple[Float[Array, "n 2"], Int[Array, " n"]]:
    """Returns the next click on each of `n` predictions.

    Args:
        keys: Random keys, which `centre` does not use.
        predicted: Predicted masks; an empty one has the whole object as its error.
        truth: True masks.
        clicked: Earlier clicks (x, y), pixels; no pixel is clicked twice.
        labels: Their labels; clicks of `samjax.types.PADDING` do not count.
        policy: The place within the error; not `uniform`.

    Returns:
        Points (x, y), pixels, and labels: 1 for an object that is missed, 0 for a background that
        is not, -1 ("not a point") where there is no error.
    """
    missed, excess = truth & ~predicted, predicted & ~truth
    distance = squared_distance(jnp.stack([missed, excess], axis=1))
    distance = jnp.where(_clicked(clicked, labels, truth.shape[-1])[:, None], 0, distance)
    highest = distance.max(axis=(2, 3))
    is_missed = highest[:, 0] > highest[:, 1]  # Of equal ones, the excess, as published.
    chosen = jnp.where(is_missed[:, None, None], distance[:, 0], distance[:, 1])
    points = jax.vmap(_PLACES[policy])(keys, chosen)
    found = highest.max(axis=1) > 0
    of_error = jnp.where(is_missed, types.FOREGROUND, types.BACKGROUND)
    return points, jnp.where(found, of_error, types.NOT_A_POINT).astype(jnp.int32)


def _clicked(
    points: Float[Array, "n p 2"], labels: Int[Array, "n p"], side: int
) -> Bool[Array, "n s s"]:
    """Returns the pixels that were clicked."""
    at = points.astype(jnp.int32)
    row = jnp.arange(len(points))[:, None]
    counts = (labels != types.PADDING).astype(jnp.int32)
    return (
        jnp.zeros((len(points), side, side), jnp.int32).at[row, at[..., 1], at[..., 0]].add(counts)
        > 0
    )


def _centre(key: PRNGKeyArray, distance: Int[Array, "s s"]) -> Float[Array, " 2"]:
    """Returns the pixel with the largest distance, the first of equal ones by rows."""
    row, column = jnp.divmod(distance.argmax(), distance.shape[1])
    return jnp.stack([column, row]).astype(jnp.float32)


def _boundary(key: PRNGKeyArray, distance: Int[Array, "s s"]) -> Float[Array, " 2"]:
    """Draws a pixel of the error near its border."""
    limit = jnp.maximum(BORDER**2 * distance.max(), 1)
    points, _ = sample_from(key, (distance > 0) & (distance <= limit), 1)
    return points[0]


def _jittered(key: PRNGKeyArray, distance: Int[Array, "s s"]) -> Float[Array, " 2"]:
    """Draws a pixel of the error around its centre, with normally distributed distances."""
    height, width = distance.shape
    column, row = _centre(key, distance)
    y, x = jnp.mgrid[:height, :width]
    squared = (x - column) ** 2 + (y - row) ** 2
    logits = -squared / (2 * SPREAD**2 * jnp.maximum(distance.max(), 1))
    drawn = jax.random.categorical(key, jnp.where(distance > 0, logits, -jnp.inf).ravel())
    row, column = jnp.divmod(drawn, width)
    return jnp.stack([column, row]).astype(jnp.float32)


_PLACES = {"centre": _centre, "boundary": _boundary, "jittered": _jittered}
