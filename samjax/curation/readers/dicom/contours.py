"""Filling contours that were drawn in the patient."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from samjax.curation.case import CaseError


def fill(
    outlines: Sequence[NDArray[np.float64]], affine: NDArray[np.float64], shape: Sequence[int]
) -> NDArray[np.uint8]:
    """Fills closed contours: a voxel is inside if its centre is, by the even-odd rule.

    So a contour within another one is a hole, and one that runs back along itself cuts one out.

    Args:
        outlines: Corners of each contour, (n, 3) mm.
        affine: From voxel numbers to mm.
        shape: Voxels along x, y, z; contours lie in planes of one z.

    Returns:
        1 inside, (x, y, z).

    Raises:
        CaseError: A contour is not in a plane of the volume's slices.
    """
    filled = np.zeros(shape, np.uint8)
    to_voxels = np.linalg.inv(affine)
    for corners in outlines:
        voxels = corners @ to_voxels[:3, :3].T + to_voxels[:3, 3]
        plane = int(np.rint(voxels[:, 2].mean()))
        if np.abs(voxels[:, 2] - plane).max() > 0.5:
            raise CaseError(
                "expected contours in the planes of the slices, found one from "
                f"{voxels[:, 2].min():.2f} to {voxels[:, 2].max():.2f} slices"
            )
        if 0 <= plane < shape[2]:
            filled[:, :, plane] ^= polygon(voxels[:, :2], shape[:2])
    return filled


def polygon(corners: NDArray[np.float64], shape: Sequence[int]) -> NDArray[np.uint8]:
    """Fills one polygon by the even-odd rule.

    Args:
        corners: (n, 2), in pixels; a pixel's centre has whole coordinates.
        shape: Pixels along both axes.

    Returns:
        1 where the centre is inside, of that shape.
    """
    start, end = corners, np.roll(corners, -1, axis=0)
    inside = np.zeros(shape, np.uint8)
    for row in range(shape[1]):
        crosses = (start[:, 1] <= row) != (end[:, 1] <= row)
        if crosses.any():
            a, b = start[crosses], end[crosses]
            at = a[:, 0] + (row - a[:, 1]) / (b[:, 1] - a[:, 1]) * (b[:, 0] - a[:, 0])
            before = np.searchsorted(np.sort(at), np.arange(shape[0]), side="right")
            inside[:, row] = before % 2
    return inside
