"""Reads labels in RTSTRUCT: contours."""

from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samjax.curation.case import UNNAMED, CaseError, LabelMap
from samjax.curation.formats.dicom import contours, references
from samjax.curation.formats.dicom.stack import Stack
from samjax.curation.labels import layered

OTHER_TYPES = "contours that enclose nothing (points, open lines)"


def of_stack(
    path: str,
    data: Any,
    stack: Stack,
    wanted: Collection[str],
    regions: Collection[int],
    left_out: Counter[str],
) -> list[LabelMap]:
    """Fills the contours of the regions of an RTSTRUCT.

    Args:
        path: Path of the file, for messages.
        data: Content of the file.
        stack: Slices of the image.
        wanted: Names of the regions to take; all if empty.
        regions: Numbers of the regions that belong to the image; all if empty. Of these, contours
            on other images are left out.
        left_out: Counters of parts left out, by reason; updated.

    Raises:
        CaseError: A contour cannot be read, or is across slices.
    """
    return layered(_masks(path, data, stack, wanted, regions, left_out))


def _masks(
    path: str,
    data: Any,
    stack: Stack,
    wanted: Collection[str],
    regions: Collection[int],
    left_out: Counter[str],
) -> Iterator[tuple[str, np.ndarray]]:
    names = {part.number: part.name for part in references.parts(data)}
    images = {one.uid for one in stack.slices}
    for region in data.get("ROIContourSequence") or []:
        number = int(region.ReferencedROINumber)
        if number not in names or (regions and number not in regions):
            continue
        if wanted and names[number] not in wanted:
            left_out[UNNAMED] += 1
            continue
        outlines = []
        on_image = [not images.isdisjoint(references.images_of(c)) for c in region.ContourSequence]
        for contour, is_on_image in zip(region.ContourSequence, on_image, strict=True):
            if regions and any(on_image) and not is_on_image and references.images_of(contour):
                left_out["contours on images of another series"] += 1
                continue
            corners = _corners(f"{path}: {names[number]}", contour)
            closed = str(contour.get("ContourGeometricType", "")).startswith("CLOSED")
            if closed and len(corners) > 2:
                outlines.append(corners)
            else:
                left_out[OTHER_TYPES] += 1
        try:
            filled, uncounted = contours.fill(outlines, stack)
        except CaseError as error:
            raise CaseError(f"{path}: {names[number]}: {error}") from None
        left_out.update(uncounted)
        if outlines and not filled.any():
            left_out["regions that are on no slice"] += 1
        if filled.any():
            yield names[number], filled


def _corners(where: str, contour: Any) -> NDArray[np.float64]:
    try:
        values = np.array(contour.get("ContourData") or [], float)
        if np.isfinite(values).all():
            return values.reshape(-1, 3)
        raise ValueError("numbers that are not finite")
    except (ValueError, TypeError, OverflowError) as error:
        raise CaseError(f"{where}: ContourData: expected corners in mm, found {error}") from error
