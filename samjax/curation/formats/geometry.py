"""Volumes with their position in the patient: reorientation and alignment."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from samjax.curation.case import CaseError

TOLERANCE = 0.5  # Of a voxel: less is rounding in a file's header.
SKEW = 0.02  # Cosine of the angle of two axes: below it the angle is a right one.


@dataclasses.dataclass(frozen=True)
class Volume:
    """Voxels and their position.

    Attributes:
        values: Voxels, (x, y, z) or (x, y, z, channels).
        affine: Matrix (4, 4) from voxel numbers to mm to the patient's left, back and head (LPS).
    """

    values: np.ndarray
    affine: NDArray[np.float64]

    @property
    def spacing(self) -> tuple[float, ...]:
        """Size of a voxel along its axes, mm."""
        return tuple(np.linalg.norm(self.affine[:3, :3], axis=0).tolist())

    @property
    def skewed(self) -> str:
        """Axes across which slices are no rectangles, as the other two axes are not orthogonal.

        In a CT with a tilted gantry these are the sagittal slices.
        """
        directions = self.affine[:3, :3] / np.maximum(self.spacing, 1e-12)
        cosines = np.abs(directions.T @ directions)
        pairs = zip("xyz", ((1, 2), (0, 2), (0, 1)), strict=True)
        return "".join(axis for axis, pair in pairs if cosines[pair] > SKEW)


def anatomical(volume: Volume) -> Volume:
    """Turns a volume so that its axes run, as near as can be, to the left, the back and the feet.

    Slices across any axis are then upright, as a radiologist sees them. Voxels are only reordered,
    never resampled.

    Raises:
        CaseError: The affine does not have three axes.
    """
    directions = volume.affine[:3, :3] / np.maximum(volume.spacing, 1e-12)
    if not np.isfinite(directions).all() or abs(np.linalg.det(directions)) < 1e-3:
        raise CaseError(f"expected an affine with three axes, found {volume.affine.tolist()}")
    # The best aligned axis is assigned first: two axes of oblique volumes may be similar.
    order, left = [-1, -1, -1], np.abs(directions)
    for _ in range(3):
        world, axis = np.unravel_index(left.argmax(), left.shape)
        order[world] = int(axis)
        left[world], left[:, axis] = -1, -1
    values = volume.values.transpose(*order, *range(3, volume.values.ndim))
    affine = volume.affine[:, [*order, 3]].copy()
    for axis, sign in enumerate((1, 1, -1)):
        if affine[axis, axis] * sign < 0:
            last = np.array([0, 0, 0, 1.0])
            last[axis] = values.shape[axis] - 1
            affine[:, 3] = affine @ last
            affine[:, axis] *= -1
            values = np.flip(values, axis)
    return Volume(values, affine)


def embedded(label: Volume, image: Volume) -> Volume:
    """Pads a label volume that covers only a part of its image's voxels to all of them.

    One that does not lie on whole voxels of the image, or not within it, stays as it is.
    """
    shape, extent = image.values.shape[:3], label.values.shape
    between = np.linalg.inv(image.affine) @ label.affine
    first = np.rint(between[:3, 3]).astype(int)
    is_part = (
        np.allclose(between[:3, :3], np.eye(3), atol=1e-3)
        and np.abs(between[:3, 3] - first).max() < TOLERANCE
        and (first >= 0).all()
        and (first + extent <= shape).all()
    )
    if not is_part or extent == shape:
        return label
    values = np.zeros(shape, label.values.dtype)
    values[tuple(slice(a, a + n) for a, n in zip(first, extent, strict=True))] = label.values
    return Volume(values, image.affine)


def check_aligned(image: Volume, label: Volume) -> None:
    """Refuses a label that does not lie on its image's voxels.

    Raises:
        CaseError: Shape or position differ.
    """
    shape = image.values.shape[:3]
    if label.values.shape != shape:
        raise CaseError(f"expected labels of the image's shape {shape}, found {label.values.shape}")
    corners = np.array([[x, y, z, 1] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
    corners[:, :3] *= np.array(shape) - 1
    apart = (corners @ (image.affine - label.affine).T)[:, :3]
    largest = np.abs(apart).max()
    if largest > TOLERANCE * min(image.spacing):
        raise CaseError(
            f"expected labels at the image's place, found them up to {largest:.1f} mm away "
            f"(affine of the image {_short(image)}, of the labels {_short(label)})"
        )


def _short(volume: Volume) -> list[list[float]]:
    return np.round(volume.affine[:3], 3).tolist()
