"""Prompts moved at random by a distance within given bounds, as people miss (COSMOS, table 8).

The paper moves boxes and points "randomly in 0-10, 10-20 and 20-30 pixels", and does not say
whether a box is shifted or its sides move, or whether all points move or the first. All four are
here.
"""

import dataclasses
import re

import numpy as np
from jaxtyping import Float

UNITS = ("px", "pct")
_NAME = re.compile(rf"(\d+)-(\d+)({'|'.join(UNITS)})")


@dataclasses.dataclass(frozen=True)
class JitterRange:
    """Bounds of a random distance.

    Attributes:
        low: Smallest distance.
        high: Largest distance.
        unit: `px`, or `pct` for percent of the box's width (in x) and height (in y); points, which
            have no box, of the mean of both.

    Raises:
        ValueError: The bounds are in the wrong order, or the unit is unknown.
    """

    low: int
    high: int
    unit: str = "px"

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high or not self.high:
            found = f"{self.low} to {self.high}"
            raise ValueError(f"jitter: expected 0 <= smallest <= largest > 0, found {found}")
        if self.unit not in UNITS:
            raise ValueError(f"jitter: expected a unit of {UNITS}, found {self.unit!r}")

    @classmethod
    def parse(cls, name: str) -> "JitterRange":
        """Reads `10-20px` or `10-20pct`.

        Raises:
            ValueError: It is written otherwise, or its bounds are in the wrong order.
        """
        found = _NAME.fullmatch(name)
        if found is None:
            raise ValueError(f"jitter: expected a range such as 10-20px or 5-10pct, found {name!r}")
        low, high, unit = found.groups()
        return cls(int(low), int(high), unit)

    def __str__(self) -> str:
        return f"{self.low}-{self.high}{self.unit}"

    def draw(self, count: int, rng: np.random.Generator) -> Float[np.ndarray, " n"]:
        """Draws `count` distances uniformly: pixels, or shares of a side."""
        return rng.uniform(self.low, self.high, count) / (1 if self.unit == "px" else 100)

    def draw_vectors(self, count: int, rng: np.random.Generator) -> Float[np.ndarray, "n 2"]:
        """Draws `count` vectors (x, y) of such lengths in uniform directions."""
        length, angle = self.draw(count, rng), rng.uniform(0, 2 * np.pi, count)
        return length[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def move_sides(
    box: Float[np.ndarray, "4"],
    distance: JitterRange,
    extent: tuple[int, int],
    rng: np.random.Generator,
) -> Float[np.ndarray, "4"]:
    """Moves every side of a box by a distance of its own, inwards or outwards.

    Args:
        box: Corners (x0, y0, x1, y1), the upper ones exclusive, pixels.
        distance: Bounds of the distances.
        extent: Height and width of the image, within which the box is kept, at least one pixel
            wide and high. A side that has passed the opposite one takes its place.
        rng: Random numbers.
    """
    moves = distance.draw(4, rng) * rng.choice([-1, 1], 4)
    return _mended(box + moves * np.tile(_scale(box, distance), 2), extent)


def move_box(
    box: Float[np.ndarray, "4"],
    distance: JitterRange,
    extent: tuple[int, int],
    rng: np.random.Generator,
) -> Float[np.ndarray, "4"]:
    """Shifts a box in a uniform direction; arguments as in `move_sides`.

    Parts out of the image are cut off.
    """
    shift = distance.draw_vectors(1, rng)[0] * _scale(box, distance)
    return _mended(box + np.tile(shift, 2), extent)


def move_points(
    points: Float[np.ndarray, "n 2"],
    box: Float[np.ndarray, "4"],
    distance: JitterRange,
    extent: tuple[int, int],
    rng: np.random.Generator,
    first_only: bool = False,
) -> Float[np.ndarray, "n 2"]:
    """Moves points in uniform directions, each by a distance of its own, within the image.

    Args:
        points: Coordinates (x, y), pixels.
        box: Tight box of the object, whose mean side is the unit of percentages.
        distance: Bounds of the distances.
        extent: Height and width of the image.
        rng: Random numbers.
        first_only: Whether only the first point moves, as in the paper's results.
    """
    moves = distance.draw_vectors(len(points), rng) * _scale(box, distance).mean()
    if first_only:
        moves[1:] = 0
    height, width = extent
    return np.clip(points + moves, 0, [width - 1, height - 1]).astype(np.float32)


def _scale(box: np.ndarray, distance: JitterRange) -> Float[np.ndarray, "2"]:
    """Returns the lengths in x and y, pixels, of a distance of 1."""
    return np.ones(2) if distance.unit == "px" else np.asarray(box[2:] - box[:2], float)


def _mended(corners: np.ndarray, extent: tuple[int, int]) -> Float[np.ndarray, "4"]:
    """Returns a box in the image, its corners in order, at least one pixel wide and high."""
    limit = np.array(extent[::-1], float)
    low, high = np.sort(np.clip(corners.reshape(2, 2), 0, limit), axis=0)
    thin = high - low < 1
    low = np.where(thin, np.clip((low + high - 1) / 2, 0, limit - 1), low)
    high = np.where(thin, low + 1, high)
    return np.concatenate([low, high]).astype(np.float32)
