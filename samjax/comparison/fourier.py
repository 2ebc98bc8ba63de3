"""Complexity of a mask's boundary: the order of an elliptic Fourier series that fits its contour.

Kuhl and Giardina, "Elliptic Fourier features of a closed contour", Computer Graphics and Image
Processing 18 (1982); COSMOS (Huang et al., Medical Image Analysis 92, 2024), section 4.8.
"""

import dataclasses
from collections.abc import Iterator
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

ENOUGH = 0.97  # Dice of the fitted shape, above which a series is taken.
GAIN = 0.001  # Smallest gain of Dice by one more order, below which COSMOS stops.
CAP = 100  # Largest order.
_WEIGHT = 2.0  # COSMOS's n, of the part of the shape that is not fitted, in percent.
_FINE = 4  # Points of a fitted contour for each pixel of the original's length.
_FEWEST = 64


@dataclasses.dataclass(frozen=True)
class FourierFit:
    """An elliptic Fourier series of a contour.

    Attributes:
        order: Number of harmonics.
        dice: Dice of the fitted shape and the original one.
        stopped: `fitted`: Dice is above `ENOUGH`; `gain`: the last harmonic gained less than
            `GAIN`; `cap`: the order is `CAP`; `point`: the contour is a single pixel.
    """

    order: int
    dice: float
    stopped: Literal["fitted", "gain", "cap", "point"]

    @property
    def complexity(self) -> float:
        """COSMOS's measure: the order, and 2 for each percent of Dice that is missing."""
        return self.order + _WEIGHT * 100 * (1 - self.dice)


def fit(mask: Bool[np.ndarray, "h w"] | UInt8[np.ndarray, "h w"], patient: bool) -> FourierFit:
    """Fits the longest external contour of a mask by as few harmonics as are enough.

    Args:
        mask: The mask, not empty; nonzero is foreground.
        patient: Whether to go on, until Dice is above `ENOUGH`, after a harmonic that gains less
            than `GAIN`. COSMOS stops there; but a shape with k arms needs orders near k, and the
            ones before gain nothing.

    Raises:
        ValueError: The mask is empty.
    """
    points = longest_contour(mask)
    if len(points) == 1:
        return FourierFit(1, 1.0, "point")
    shape = _filled(points, mask.shape)
    before, order, found = 0.0, 0, 0.0
    for order, decoded in enumerate(decode(points), start=1):
        found = _dice(_filled(decoded, mask.shape), shape)
        if found > ENOUGH:
            return FourierFit(order, found, "fitted")
        if order > 1 and found - before < GAIN and not patient:
            return FourierFit(order, found, "gain")
        before = found
    return FourierFit(order, found, "cap")


def longest_contour(mask: np.ndarray) -> Float[np.ndarray, "n 2"]:
    """Returns the pixels (x, y) along the longest external contour of a mask, in order.

    Raises:
        ValueError: The mask is empty.
    """
    binary = (mask != 0).astype(np.uint8)
    contours, _ = cv2.findContours(binary, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        raise ValueError("contour: expected a mask with foreground, found an empty one")
    longest = max(contours, key=lambda contour: cv2.arcLength(contour, True))
    return longest[:, 0].astype(float)


def coefficients(points: Float[np.ndarray, "n 2"], order: int) -> Float[np.ndarray, "2 2"]:
    """Returns one harmonic of the elliptic Fourier series of a closed polygon.

    Args:
        points: Its corners (x, y), of which no two neighbours are equal.
        order: The harmonic, from 1.

    Returns:
        Amplitudes of cosine and sine (columns) in x and y (rows): Kuhl and Giardina's
        ((a, b), (c, d)).
    """
    steps = np.diff(points, axis=0, append=points[:1])
    lengths = np.linalg.norm(steps, axis=1)
    ends = np.cumsum(lengths)
    total = ends[-1]
    phases = 2 * np.pi * order * np.append(0, ends) / total
    waves = np.diff(np.stack([np.cos(phases), np.sin(phases)]), axis=1)
    return total / (2 * np.pi**2 * order**2) * (steps / lengths[:, None]).T @ waves.T


def decode(points: Float[np.ndarray, "n 2"]) -> Iterator[Float[np.ndarray, "m 2"]]:
    """Yields the closed contours that the first 1, 2, ... `CAP` harmonics of a polygon describe."""
    steps = np.diff(points, axis=0, append=points[:1])
    lengths = np.linalg.norm(steps, axis=1)
    centre = (lengths[:, None] * (points + steps / 2)).sum(axis=0) / lengths.sum()
    count = max(_FEWEST, int(_FINE * lengths.sum()))
    time = 2 * np.pi * np.arange(count) / count
    contour = np.tile(centre, (count, 1))
    for order in range(1, CAP + 1):
        waves = np.stack([np.cos(order * time), np.sin(order * time)])
        contour = contour + (coefficients(points, order) @ waves).T
        yield contour


def _filled(points: np.ndarray, shape: tuple[int, ...]) -> Bool[np.ndarray, "h w"]:
    canvas = np.zeros(shape, np.uint8)
    cv2.fillPoly(canvas, [np.rint(points).astype(np.int32)], color=[1])
    return canvas != 0


def _dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))
