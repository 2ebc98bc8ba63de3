"""Labels in RTSTRUCT: contours."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from samjax.curation.case import LabelMap
from samjax.curation.labels import layered
from samjax.curation.readers.dicom import contours
from samjax.curation.readers.geometry import Volume


def of_volume(data: Any, volume: Volume, wanted: Iterable[str]) -> list[LabelMap]:
    """Fills the contours of every region of an RTSTRUCT; only those `wanted`, if any are named."""
    return layered(_masks(data, volume, set(wanted)))


def _masks(data: Any, volume: Volume, wanted: set[str]) -> Iterator[tuple[str, np.ndarray]]:
    names = {int(roi.ROINumber): str(roi.ROIName) for roi in data.StructureSetROISequence}
    for region in data.get("ROIContourSequence", []):
        name = names.get(int(region.ReferencedROINumber), f"roi_{region.ReferencedROINumber}")
        if wanted and name not in wanted:
            continue
        outlines = [
            np.array(contour.ContourData, float).reshape(-1, 3)
            for contour in region.get("ContourSequence", [])
            if str(contour.ContourGeometricType).startswith("CLOSED_PLANAR")
        ]
        if outlines:
            yield name, contours.fill(outlines, volume.affine, volume.values.shape[:3]) > 0
