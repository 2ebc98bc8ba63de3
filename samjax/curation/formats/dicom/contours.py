"""Fills contours given in patient coordinates."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from samjax.curation.case import CaseError
from samjax.curation.formats.dicom.stack import Stack

# Shares of the distance of two slices: nearer contours are in one plane; planes up to ONE_THING
# apart belong to one object; differences below ROUNDING are rounding.
PLANE, ONE_THING, ROUNDING = 0.1, 1.5, 0.01
SAME = 0.1  # Of a pixel: nearer corners are equal.


def fill(
    outlines: Sequence[NDArray[np.float64]], stack: Stack
) -> tuple[NDArray[np.bool_], Mapping[str, int]]:
    """Fills closed contours: a voxel is inside if its centre is, by the even-odd rule.

    So a contour within another one of its plane is a hole, and one that runs back along itself
    cuts one out; a contour that is there twice counts once. A plane of contours extends half way
    to its neighbours, or half the distance of two slices where it has none; a slice takes
    the nearest of the planes that stand for it, or all of those that are equally near.

    Args:
        outlines: Corners of each contour, (n, 3) mm.
        stack: The slices.

    Returns:
        Mask of the voxels inside, (x, y, z); and the number of contours left out, by reason.

    Raises:
        CaseError: A contour is not in a plane that is parallel to the slices.
    """
    filled = np.zeros(stack.shape, bool)
    left_out: Counter[str] = Counter()
    planes = _planes(outlines, stack)
    used = np.zeros(len(planes), bool)
    heights = np.array([height for height, _ in planes])
    low, high = _spans(heights, stack.gap)
    for number, slice_height in enumerate(stack.heights):
        apart = np.abs(heights - slice_height)
        meant = (low <= slice_height) & (slice_height < high)
        if not meant.any():
            continue
        meant &= apart <= apart[meant].min() + ROUNDING * stack.gap
        used |= meant
        for index in np.flatnonzero(meant):
            corners = [stack.in_pixels(outline, number) for outline in planes[index][1]]
            inside, twice = _inside(corners, stack.shape[:2])
            filled[:, :, number] |= inside
            left_out["contours that were there twice"] += twice
    for (height, plane), is_used in zip(planes, used, strict=True):
        off = max(stack.heights[0] - height, height - stack.heights[-1]) > 0.5 * stack.gap
        if not is_used:
            left_out["contours off all slices" if off else "contours between slices"] += len(plane)
    return filled, +left_out


def _spans(
    heights: NDArray[np.float64], gap: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the range of heights of each plane; a slice half way belongs to the lower one."""
    between = np.diff(heights)
    inner = between[between <= ONE_THING * gap]
    end = min(gap, float(np.median(inner))) if len(inner) else gap
    widths = np.where(between <= ONE_THING * gap, between, end)
    low = heights - np.append(end, widths)[: len(heights)] / 2
    high = heights + np.append(widths, end)[: len(heights)] / 2
    return low - ROUNDING * gap, high - ROUNDING * gap


def _planes(
    outlines: Sequence[NDArray[np.float64]], stack: Stack
) -> list[tuple[float, list[NDArray[np.float64]]]]:
    """Groups contours by plane, with the height of each plane."""
    of: list[tuple[float, NDArray[np.float64]]] = []
    for corners in outlines:
        heights = corners @ stack.normal
        height = float(heights.mean())
        if np.abs(heights - height).max() > 0.5 * stack.gap:
            low, high = ((edge - stack.heights[0]) / stack.gap for edge in _extremes(heights))
            raise CaseError(
                "expected contours in the planes of the slices, found one from "
                f"{low:.2f} to {high:.2f} slices"
            )
        of.append((height, corners))
    planes: list[tuple[float, list[NDArray[np.float64]]]] = []
    for height, corners in sorted(of, key=lambda one: one[0]):
        if planes and height - planes[-1][0] < PLANE * stack.gap:
            planes[-1][1].append(corners)
        else:
            planes.append((height, [corners]))
    return planes


def _extremes(values: NDArray[np.float64]) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def _inside(
    plane: Sequence[NDArray[np.float64]], shape: Sequence[int]
) -> tuple[NDArray[np.bool_], int]:
    """Fills the contours of one plane; also returns the number of repeated ones."""
    inside, seen, repeated = np.zeros(shape, np.uint8), [], 0
    for corners in plane:
        if any(_coincide(corners, other) for other in seen):
            repeated += 1
            continue
        seen.append(corners)
        inside ^= polygon(corners, shape)
    return inside > 0, repeated


def _coincide(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    """Whether two contours have the same corners, whatever their start and direction."""
    for edge in (np.min, np.max):
        if np.abs(edge(one, axis=0) - edge(other, axis=0)).max() > SAME:
            return False
    apart = np.linalg.norm(one[:, None] - other[None], axis=2)
    return bool(apart.min(axis=1).max() <= SAME and apart.min(axis=0).max() <= SAME)


def polygon(corners: NDArray[np.float64], shape: Sequence[int]) -> NDArray[np.uint8]:
    """Fills one polygon by the even-odd rule.

    Args:
        corners: (n, 2), in pixels; a pixel's centre has whole coordinates.
        shape: Pixels along both axes.

    Returns:
        1 where the centre is inside, of that shape.
    """
    start, end = corners, np.roll(corners, -1, axis=0)
    # Upwards, so that an edge and its reverse are crossed at exactly the same point.
    upwards = (start[:, 1] <= end[:, 1])[:, None]
    start, end = np.where(upwards, start, end), np.where(upwards, end, start)
    inside = np.zeros(shape, np.uint8)
    low, high = np.ceil(corners[:, 1].min()), np.floor(corners[:, 1].max())
    for row in range(max(0, int(low)), min(shape[1], int(high) + 1)):
        crosses = (start[:, 1] <= row) != (end[:, 1] <= row)
        if crosses.any():
            a, b = start[crosses], end[crosses]
            at = a[:, 0] + (row - a[:, 1]) / (b[:, 1] - a[:, 1]) * (b[:, 0] - a[:, 0])
            before = np.searchsorted(np.sort(at), np.arange(shape[0]), side="right")
            inside[:, row] = before % 2
    return inside
