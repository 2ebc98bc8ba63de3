"""Reads labels in SEG: masks on the slices of an image."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samjax.curation import class_table
from samjax.curation.case import LABEL, UNNAMED, CaseError, LabelMap
from samjax.curation.formats import geometry
from samjax.curation.formats.dicom import file, pixels, references
from samjax.curation.formats.dicom.stack import Stack
from samjax.curation.labels import layered


def of_image(
    path: str,
    data: Any,
    shape: Sequence[int],
    numbers: Mapping[tuple[str, int], int],
    stack: Stack | None,
    classes: Mapping[str, Any],
    is_shared: bool,
    left_out: Counter[str],
) -> list[LabelMap]:
    """Returns the segments of a SEG on the voxels of an image.

    Args:
        path: Path of the file, for messages.
        data: Content of the file.
        shape: Voxels along x, y, z.
        numbers: Slice number by the image file's UID and frame number.
        stack: Slices of the image; None if it has no position in the patient.
        classes: Table of classes that selects segments.
        is_shared: Whether frames may belong to other series; these are left out.
        left_out: Counters of parts left out, by reason; updated.

    Raises:
        CaseError: The file cannot be read, or a frame is not on a slice of the image.
    """
    segments = _names(path, data)
    names = class_table.chosen(segments, classes)
    left_out[UNNAMED] += len(segments) - len(names)
    frames = pixels.decoded(path, data)
    frames = frames if file.frame_count(data) > 1 else frames[None]
    half = int(data.get("MaximumFractionalValue") or 1) / 2
    shared = file.shared(data)
    images = {uid for uid, _ in numbers}
    masks: dict[int, list[tuple[np.ndarray, int]]] = {number: [] for number in names}
    groups = data.get("PerFrameFunctionalGroupsSequence") or [{}] * len(frames)
    if len(groups) != len(frames):
        raise CaseError(f"{path}: expected the place of {len(frames)} frames, found {len(groups)}")
    derivations = [references.sources_of(group, shared) for group in groups]
    on_image = [not images.isdisjoint(uid for uid, _ in origins) for origins in derivations]
    is_shared &= any(on_image)
    for frame, group, origins, is_on_image in zip(
        frames, groups, derivations, on_image, strict=True
    ):
        if is_shared and origins and not is_on_image:
            left_out["segments' frames on images of another series"] += 1
            continue
        number = _number(group, shared, origins, numbers, stack)
        if number is None or not 0 <= number < shape[2] or frame.T.shape != tuple(shape[:2]):
            raise CaseError(
                f"{path}: expected segments on the image's {shape[2]} slices of "
                f"{shape[1]} x {shape[0]}, found one of {' x '.join(map(str, frame.shape))} "
                f"{'elsewhere' if number is None else f'on slice {number}'}"
            )
        named = file.item("SegmentIdentificationSequence", group, *shared)
        is_map = "ReferencedSegmentNumber" not in named
        for segment in names if is_map else [int(named.ReferencedSegmentNumber)]:
            mask = np.equal(frame.T, segment) if is_map else np.greater(frame.T, half)
            if segment in masks and mask.any():
                masks[segment].append((mask, number))
    return layered(
        (names[segment], _stacked(planes, shape)) for segment, planes in masks.items() if planes
    )


def _names(path: str, data: Any) -> dict[int, str]:
    """Returns the name of every segment; 0, the background of a label map, is left out."""
    names = {}
    try:
        for one in data.SegmentSequence:
            coded = one.get("SegmentedPropertyTypeCodeSequence") or [{}]
            name = one.get("SegmentLabel") or coded[0].get("CodeMeaning")
            names[int(one.SegmentNumber)] = str(name or LABEL.format(int(one.SegmentNumber)))
    except (AttributeError, TypeError, ValueError) as error:
        raise CaseError(f"{path}: expected segments with their numbers, found {error}") from error
    names.pop(0, None)
    return names


def _stacked(slices: Iterable[tuple[np.ndarray, int]], shape: Sequence[int]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    for plane, number in slices:
        mask[:, :, number] |= plane
    return mask


def _number(
    group: Any,
    shared: Sequence[Any],
    sources: Collection[tuple[str, int]],
    numbers: Mapping[tuple[str, int], int],
    stack: Stack | None,
) -> int | None:
    """Returns the slice of a SEG's frame: by its position, or by its source image."""
    place = file.item("PlanePositionSequence", group, *shared)
    turn = file.item("PlaneOrientationSequence", group, *shared)
    if stack and "ImagePositionPatient" in place and "ImageOrientationPatient" in turn:
        return _slice_at(place, turn, file.item("PixelMeasuresSequence", group, *shared), stack)
    return next((numbers[source] for source in sources if source in numbers), None)


def _slice_at(place: Any, turn: Any, measures: Any, stack: Stack) -> int | None:
    """Returns the slice at a position; None if there is none."""
    first: NDArray[np.float64] = np.array(place.ImagePositionPatient, float)
    height = first @ stack.normal
    number = int(stack.nearest(np.array([height]))[0])
    axes = np.array(turn.ImageOrientationPatient, float).reshape(2, 3).T
    spacing = stack.slices[number].spacing
    if "PixelSpacing" in measures:
        spacing = np.array(measures.PixelSpacing, float)[::-1]
    to_pixels = np.linalg.pinv(stack.slices[number].axes * stack.slices[number].spacing)
    fits = np.allclose(to_pixels @ (axes * spacing), np.eye(2), atol=1e-2)
    along = np.cross(axes[:, 0], axes[:, 1]) @ stack.normal
    off = np.abs(stack.in_pixels(first[None], number)).max()
    apart = abs(height - stack.heights[number]) / stack.gap
    is_there = fits and abs(along - 1) < 1e-2 and max(off, apart) < geometry.TOLERANCE
    return number if is_there else None
