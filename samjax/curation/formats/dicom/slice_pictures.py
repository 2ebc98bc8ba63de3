"""Reads labels of a series from pictures, one for each slice."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from samjax.curation.case import CaseError, CaseSource
from samjax.curation.formats import pictures
from samjax.curation.formats.dicom.stack import Stack
from samjax.curation.label_pixels import LabelPixels


def stacked(root: Path, source: CaseSource, stack: Stack) -> LabelPixels:
    """Stacks the label pictures of a series into one volume, in the order of the slices.

    Args:
        root: The source folder.
        source: The series, with its labels in the order of its images.
        stack: Slices of the series.

    Raises:
        CaseError: A picture cannot be decoded, has another size or is missing.
    """
    if len(source.labels) != len(source.images) or len(stack.slices) != len(source.images):
        raise CaseError(
            f"{source.labels[0][0]}: expected a label picture for each of {len(stack.slices)} "
            f"slices, found {len(source.labels)}"
        )
    of_image: Mapping[str, str] = {
        image: path for image, (path, _) in zip(source.images, source.labels, strict=True)
    }
    planes = []
    for one in stack.slices:
        path = of_image[one.path]
        plane = pictures.stored_labels(root / path)
        expected, found = one.extent[::-1], plane.values.shape
        if found[:2] != expected or len(found) > (3 if plane.is_colour else 2):
            raise CaseError(f"{path}: expected labels of the slice's {expected}, found {found}")
        planes.append(plane)
    kinds = {(plane.is_colour, plane.values.shape) for plane in planes}
    if len(kinds) > 1:
        raise CaseError(f"{source.labels[0][0]}: expected slices of one kind, grey or colour")
    indices = [plane.indices for plane in planes]
    return LabelPixels(
        _volume([plane.values for plane in planes]),
        planes[0].is_colour,
        None if any(one is None for one in indices) else _volume(indices),
    )


def _volume(planes: Sequence[np.ndarray | None]) -> np.ndarray:
    """Stacks slices (y, x) into a volume (x, y, z)."""
    return np.stack([np.asarray(plane).swapaxes(0, 1) for plane in planes], axis=2)
