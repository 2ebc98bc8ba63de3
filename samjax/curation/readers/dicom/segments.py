"""Labels in SEG: masks on the slices of an image."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samjax.curation.case import CaseError, LabelMap
from samjax.curation.labels import layered
from samjax.curation.readers import geometry
from samjax.curation.readers.dicom import file


def of_image(
    path: Path,
    shape: Sequence[int],
    numbers: Mapping[tuple[str, int], int],
    affine: NDArray[np.float64] | None,
) -> list[LabelMap]:
    """The segments of a SEG, on the voxels of an image.

    Args:
        path: The file.
        shape: Voxels along x, y, z.
        numbers: Which slice a frame of a file is, by the file's UID and the frame's number.
        affine: From voxel numbers to mm; None if the image has no place in the patient.

    Raises:
        CaseError: It cannot be read, or one of its frames is not on a slice of the image.
    """
    data = file.read(path)
    segments = data.get("SegmentSequence", [])
    names = {int(s.SegmentNumber): str(s.SegmentLabel) for s in segments if int(s.SegmentNumber)}
    frames = file.decoded(str(path), data)
    frames = frames if file.frame_count(data) > 1 else frames[None]
    half = int(data.get("MaximumFractionalValue") or 1) / 2
    shared = file.shared(data)
    shown: dict[int, list[tuple[np.ndarray, int]]] = {number: [] for number in names}
    for frame, group in zip(frames, data.get("PerFrameFunctionalGroupsSequence", []), strict=False):
        number = _number(group, shared, numbers, affine)
        if number is None or not 0 <= number < shape[2] or frame.T.shape != tuple(shape[:2]):
            raise CaseError(
                f"{path}: expected segments on the image's {shape[2]} slices of "
                f"{shape[1]} x {shape[0]}, found one of {' x '.join(map(str, frame.shape))} "
                f"{'elsewhere' if number is None else f'on slice {number}'}"
            )
        named = file.item("SegmentIdentificationSequence", group, *shared)
        is_map = "ReferencedSegmentNumber" not in named
        for segment in names if is_map else [int(named.ReferencedSegmentNumber)]:
            pixels = np.equal(frame.T, segment) if is_map else np.greater(frame.T, half)
            if segment in shown and pixels.any():
                shown[segment].append((pixels, number))
    return layered((names[segment], _stacked(of, shape)) for segment, of in shown.items() if of)


def _stacked(slices: Iterable[tuple[np.ndarray, int]], shape: Sequence[int]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    for pixels, number in slices:
        mask[:, :, number] |= pixels
    return mask


def _number(
    group: Any,
    shared: Sequence[Any],
    numbers: Mapping[tuple[str, int], int],
    affine: NDArray[np.float64] | None,
) -> int | None:
    """The slice that a frame of a SEG lies on: by its place, or by what it was derived from."""
    place = file.item("PlanePositionSequence", group, *shared)
    turn = file.item("PlaneOrientationSequence", group, *shared)
    if affine is not None and "ImagePositionPatient" in place and "ImageOrientationPatient" in turn:
        return _slice_at(place, turn, file.item("PixelMeasuresSequence", group, *shared), affine)
    derived = file.item("DerivationImageSequence", group, *shared)
    for source in derived.get("SourceImageSequence", []):
        frame = source.get("ReferencedFrameNumber") or 1
        frame = frame[0] if isinstance(frame, Sequence) else frame
        key = str(source.get("ReferencedSOPInstanceUID", "")), int(frame)
        if key in numbers:
            return numbers[key]
    return None


def _slice_at(place: Any, turn: Any, measures: Any, affine: NDArray[np.float64]) -> int | None:
    """The slice that has these pixels; None if there is none."""
    to_voxels = np.linalg.inv(affine)
    first = to_voxels @ [*map(float, place.ImagePositionPatient), 1.0]
    number = int(np.rint(first[2]))
    axes = np.array(turn.ImageOrientationPatient, float).reshape(2, 3).T
    size = tuple(np.linalg.norm(affine[:3, :2], axis=0))
    if "PixelSpacing" in measures:
        down, across = map(float, measures.PixelSpacing)
        size = across, down
    fits = np.allclose(to_voxels[:3, :3] @ (axes * size), np.eye(3)[:, :2], atol=1e-2)
    return (
        number if fits and np.abs(first[:3] - [0, 0, number]).max() < geometry.TOLERANCE else None
    )
