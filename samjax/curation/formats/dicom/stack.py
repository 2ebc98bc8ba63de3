"""Sorts the slices of a series into a stack in patient coordinates."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samjax import extra
from samjax.curation.case import CaseError
from samjax.curation.formats import geometry
from samjax.curation.formats.dicom import file, pixels
from samjax.curation.formats.geometry import Volume

SAME = 1e-3  # Orientations and spacings (relative) that differ by less are rounded differently.


@dataclasses.dataclass(frozen=True)
class DicomSlice:
    """A slice: a file, or a frame of an enhanced one.

    Attributes:
        path: Path of the file, with the number of the frame.
        uid: UID of the file.
        frame: Number of the frame, from 1 on.
        extent: Number of columns and of rows.
        position: Centre of the first pixel, mm.
        axes: (3, 2), directions along a row and along a column.
        spacing: Distance of columns and of rows, mm.
        thickness: Thickness of the slice, mm.
        load: Function that decodes the pixels, (rows, columns[, 3]).
    """

    path: str
    uid: str
    frame: int
    extent: tuple[int, int]
    position: NDArray[np.float64]
    axes: NDArray[np.float64]
    spacing: NDArray[np.float64]
    thickness: float
    load: Callable[[], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Stack:
    """Parallel slices in the order of their positions.

    Attributes:
        slices: Slices, by rising position along the normal.
    """

    slices: tuple[DicomSlice, ...]

    @functools.cached_property
    def positions(self) -> NDArray[np.float64]:
        """Centre of each slice's first pixel, (slices, 3) mm."""
        return np.array([one.position for one in self.slices])

    @functools.cached_property
    def normal(self) -> NDArray[np.float64]:
        """Direction across the slices."""
        return np.cross(self.slices[0].axes[:, 0], self.slices[0].axes[:, 1])

    @functools.cached_property
    def heights(self) -> NDArray[np.float64]:
        """Height of each slice along the normal, mm, rising."""
        return self.positions @ self.normal

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along x, y, z."""
        return *self.slices[0].extent, len(self.slices)

    @property
    def step(self) -> NDArray[np.float64]:
        """Vector from one slice to the next, mm; not along the normal if the gantry was tilted."""
        if len(self.slices) > 1:
            return (self.positions[-1] - self.positions[0]) / (len(self.slices) - 1)
        return self.normal * self.slices[0].thickness

    @property
    def affine(self) -> NDArray[np.float64]:
        """Matrix from voxel numbers to mm, (4, 4)."""
        affine = np.eye(4)
        affine[:3, :2] = self.slices[0].axes * self.slices[0].spacing
        affine[:3, 2], affine[:3, 3] = self.step, self.positions[0]
        return affine

    def nearest(self, heights: NDArray[np.float64]) -> NDArray[np.intp]:
        """Returns the slice nearest to each height; the lower one of two."""
        apart = np.abs(heights[:, None] - self.heights)
        return np.rint(apart / (0.01 * self.gap)).argmin(axis=1)

    @property
    def gap(self) -> float:
        """Distance of slices along the normal, mm."""
        return float(self.step @ self.normal)

    def in_pixels(self, points: NDArray[np.float64], number: int) -> NDArray[np.float64]:
        """Converts points in mm, (n, 3), to columns and rows of a slice, (n, 2)."""
        one = self.slices[number]
        return (points - one.position) @ np.linalg.pinv(one.axes * one.spacing).T

    def volume(self) -> Volume:
        """Decodes all slices."""
        planes = [one.load().swapaxes(0, 1) for one in self.slices]
        return Volume(np.stack(planes, axis=2), self.affine)


def slices(path: str, data: Any) -> list[DicomSlice]:
    """Reads the slice of a file, or the frames of an enhanced one.

    Raises:
        CaseError: A position or another needed field is missing or invalid.
    """
    try:
        return _slices(path, data)
    except CaseError:
        raise
    except Exception as error:  # Values that cannot be converted.
        reason = str(error) or type(error).__name__
        raise CaseError(f"{path}: cannot be read as DICOM: {reason}") from error


def _slices(path: str, data: Any) -> list[DicomSlice]:
    if "PerFrameFunctionalGroupsSequence" not in data:
        return [_slice(path, data, data, 1, functools.partial(pixels.pixels, path, data))]
    frames = []
    values = functools.cache(lambda: pixels.picture(path, data))
    several = file.frame_count(data) > 1
    for number, group in enumerate(data.PerFrameFunctionalGroupsSequence):
        header = extra.require("pydicom", "data").Dataset()
        for sequence in (
            "PlaneOrientationSequence",
            "PlanePositionSequence",
            "PixelMeasuresSequence",
            "PixelValueTransformationSequence",
        ):
            header.update(file.item(sequence, group, *file.shared(data)))

        def load(number: int = number, header: Any = header) -> np.ndarray:
            plane = values()[number] if several else values()
            return plane if plane.ndim == 3 else pixels.in_units(path, plane, header)

        frames.append(_slice(f"{path}, frame {number + 1}", header, data, number + 1, load))
    return frames


def stack(slices: Sequence[DicomSlice]) -> Stack:
    """Sorts parallel slices along their normal.

    Raises:
        CaseError: The slices do not make one volume with equal steps.
    """
    first = slices[0]
    for one in slices:
        for name, found, expected, same in (
            ("Rows", one.extent[1], first.extent[1], one.extent[1] == first.extent[1]),
            ("Columns", one.extent[0], first.extent[0], one.extent[0] == first.extent[0]),
            (
                "ImageOrientationPatient", one.axes.T.ravel().tolist(),
                first.axes.T.ravel().tolist(), np.abs(one.axes - first.axes).max() < SAME,
            ),
            (
                "PixelSpacing", one.spacing[::-1].tolist(), first.spacing[::-1].tolist(),
                np.allclose(one.spacing, first.spacing, rtol=SAME, atol=0),
            ),
        ):  # fmt: skip
            if not same:
                raise CaseError(
                    f"{first.path}: expected one {name} in a series, found {expected} and, in "
                    f"{one.path}, {found}"
                )
    normal = np.cross(first.axes[:, 0], first.axes[:, 1])
    whole = Stack(tuple(sorted(slices, key=lambda one: one.position @ normal)))
    if len(slices) > 1:
        _check_steps(whole)
    return whole


def _check_steps(whole: Stack) -> None:
    steps = np.diff(whole.heights)
    if steps.min() < 1e-3:
        here, there = (whole.slices[int(steps.argmin()) + i].path for i in (0, 1))
        raise CaseError(
            f"{here}: expected one slice at a place, found {there} there, too; "
            "several series, times or echoes in one?"
        )
    if steps.max() - steps.min() > 0.1 * np.median(steps):
        raise CaseError(
            f"{whole.slices[0].path}: expected slices at equal steps, found from "
            f"{steps.min():.2f} to {steps.max():.2f} mm; is one missing?"
        )
    line = whole.positions[0] + np.arange(len(whole.slices))[:, None] * whole.step
    apart = whole.positions - line
    along = apart @ whole.normal
    across = np.linalg.norm(apart - along[:, None] * whole.normal, axis=1)
    off = np.maximum(np.abs(along) / whole.gap, across / whole.slices[0].spacing.min())
    if off.max() > geometry.TOLERANCE:
        worst = int(off.argmax())
        raise CaseError(
            f"{whole.slices[worst].path}: expected slices along one line, found it "
            f"{np.linalg.norm(apart[worst]):.2f} mm off"
        )


def _slice(
    path: str, header: Any, data: Any, frame: int, load: Callable[[], np.ndarray]
) -> DicomSlice:
    extent = tuple(int(_numbers(path, data, name, 1)[0]) for name in ("Columns", "Rows"))
    orientation = _numbers(path, header, "ImageOrientationPatient", 6)
    axes = orientation.reshape(2, 3).T
    if np.abs(axes.T @ axes - np.eye(2)).max() > 10 * SAME:
        raise CaseError(
            f"{path}: ImageOrientationPatient: expected two unit vectors at a right angle, found "
            f"{orientation.tolist()}"
        )
    spacing = _numbers(path, header, "PixelSpacing", 2)[::-1]
    if spacing.min() <= 0:
        raise CaseError(f"{path}: PixelSpacing: expected two lengths, found {spacing.tolist()}")
    thickness = header.get("SliceThickness") and _numbers(path, header, "SliceThickness", 1)[0]
    return DicomSlice(
        path,
        str(data.get("SOPInstanceUID", "")),
        frame,
        (extent[0], extent[1]),
        _numbers(path, header, "ImagePositionPatient", 3),
        axes,
        spacing,
        float(thickness or 1),
        load,
    )


def _numbers(path: str, header: Any, name: str, count: int) -> NDArray[np.float64]:
    if name not in header:
        raise CaseError(f"{path}: expected a slice of a series, found no {name}")
    try:
        found = header[name].value
        values = np.array(found, float).ravel()
    except (ValueError, TypeError, OverflowError) as error:
        raise CaseError(f"{path}: {name}: expected {count} numbers, found {error}") from error
    if len(values) != count or not np.isfinite(values).all():
        raise CaseError(f"{path}: {name}: expected {count} numbers, found {found}")
    return values
