"""Prompts of the strategies S2 to S6 of COSMOS, from a mask in pixels of its own image.

Huang et al., "Segment anything model for medical images?", Medical Image Analysis 92 (2024),
sections 3.3 and 4.1. S2: one positive point; S3: five; S4: five positive and five negative ones;
S5: the box; S6: the box and one positive point. (S1 has no prompt: everything is segmented.)
The first positive point is the centre of mass, where that is inside the mask.

Three details differ from the published code. Its step between sampled pixels gives one point too
many for some sizes; here the pixels are in the middle of bins of equal size, so their number is
exact. It truncates the centre of mass, and does not test that it is inside; here it is the nearest
pixel, tested as the paper says. Its box has inclusive maxima; here the upper corners are exclusive,
as in all of samjax.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from samjax.types import BACKGROUND, FOREGROUND, NOT_A_POINT

_CONTENTS = {  # Positive points, negative points, whether there is a box.
    "S2": (1, 0, False),
    "S3": (5, 0, False),
    "S4": (5, 5, False),
    "S5": (0, 0, True),
    "S6": (1, 0, True),
}
STRATEGIES = tuple(_CONTENTS)
_ENLARGED = 2  # Of the box around the negative points, over the tight box.

Mask = Bool[np.ndarray, "h w"] | UInt8[np.ndarray, "h w"]


@dataclasses.dataclass(frozen=True)
class StrategyPrompt:
    """Prompts of one mask.

    Attributes:
        points: Coordinates (x, y) of `n` pixels, (n, 2) float32.
        labels: 1 positive, 0 negative, -1 where there is no pixel for a negative point, (n,) int32.
        box: Corners (x0, y0, x1, y1), the upper ones exclusive, (4,) float32; None without a box.
    """

    points: Float[np.ndarray, "n 2"]
    labels: Int[np.ndarray, " n"]
    box: Float[np.ndarray, "4"] | None


def prompt(name: str, mask: Mask) -> StrategyPrompt:
    """Returns the prompts of a strategy for a mask; they are not random.

    Args:
        name: One of `STRATEGIES`.
        mask: The mask; nonzero is foreground.

    Raises:
        ValueError: The strategy is unknown, or the mask is empty.
    """
    if name not in _CONTENTS:
        raise ValueError(f"strategy: expected one of {STRATEGIES}, found {name!r}")
    positive, negative, has_box = _CONTENTS[name]
    inside, outside = positive_points(mask, positive), negative_points(mask, negative)
    labels = np.repeat([FOREGROUND, BACKGROUND], [positive, len(outside)])
    missing = negative - len(outside)
    points = np.concatenate([inside, outside, np.zeros((missing, 2), np.float32)])
    labels = np.append(labels, np.full(missing, NOT_A_POINT)).astype(np.int32)
    return StrategyPrompt(points, labels, whole_box(mask) if has_box else None)


def point_count(name: str) -> int:
    """Returns the number of points of a strategy; 0 for any other name."""
    positive, negative, _ = _CONTENTS.get(name, (0, 0, True))
    return positive + negative


def has_box(name: str) -> bool:
    """Whether a strategy has a box; so has any other name."""
    return _CONTENTS.get(name, (0, 0, True))[2]


def positive_points(mask: Mask, count: int) -> Float[np.ndarray, "n 2"]:
    """Returns the centre of mass and evenly sampled pixels of a mask: `count` points.

    Without the centre of mass, where it falls outside the mask.

    Raises:
        ValueError: The mask is empty.
    """
    centre = centre_of_mass(mask)
    x, y = centre.astype(int)
    if not count or not mask[y, x]:
        return even_points(mask, count)
    return np.concatenate([centre[None], even_points(mask, count - 1)])


def negative_points(mask: Mask, count: int) -> Float[np.ndarray, "n 2"]:
    """Returns evenly sampled pixels of the background near a mask.

    Near is the tight box with sides twice as long, about the same centre, within the image. There
    are no points where the mask fills it.

    Raises:
        ValueError: The mask is empty.
    """
    box = whole_box(mask)
    outwards = (_ENLARGED - 1) / 2 * (box[2:] - box[:2])
    height, width = mask.shape
    x0, y0 = np.maximum(np.floor(box[:2] - outwards), 0).astype(int)
    x1, y1 = np.minimum(np.ceil(box[2:] + outwards), [width, height]).astype(int)
    background = mask[y0:y1, x0:x1] == 0
    if not background.any():
        return np.zeros((0, 2), np.float32)
    return even_points(background, count) + np.array([x0, y0], np.float32)


def centre_point(mask: Mask) -> Float[np.ndarray, "2"]:
    """Returns the pixel (x, y) at the centre of mass; outside the mask, its middle pixel by rows.

    Raises:
        ValueError: The mask is empty.
    """
    return positive_points(mask, 1)[0]


def centre_of_mass(mask: Mask) -> Float[np.ndarray, "2"]:
    """Returns the pixel (x, y) nearest to the centre of mass, inside the mask or not.

    Raises:
        ValueError: The mask is empty.
    """
    rows, columns = np.nonzero(_checked(mask))
    return np.rint([columns.mean(), rows.mean()]).astype(np.float32)


def even_points(mask: Mask, count: int) -> Float[np.ndarray, "n 2"]:
    """Returns `count` pixels (x, y), evenly sampled of a mask's pixels by rows.

    They are cut into bins of equal size, and the one in the middle of each is taken. In a mask of
    fewer pixels some are taken more than once.

    Raises:
        ValueError: The mask is empty.
    """
    pixels = np.flatnonzero(_checked(mask))
    middle = ((np.arange(count) + 0.5) * len(pixels) / max(count, 1)).astype(int)
    rows, columns = np.divmod(pixels[middle], mask.shape[1])
    return np.stack([columns, rows], axis=1).astype(np.float32)


def whole_box(mask: Mask) -> Float[np.ndarray, "4"]:
    """Returns the tight box of a whole mask, not of its largest component alone.

    Raises:
        ValueError: The mask is empty.
    """
    columns, rows = (np.flatnonzero(_checked(mask).any(axis=axis)) for axis in (0, 1))
    corners = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    return np.array(corners, np.float32)


def _checked(mask: Mask) -> Mask:
    if not mask.any():
        raise ValueError("strategy: expected a mask with foreground, found an empty one")
    return mask
