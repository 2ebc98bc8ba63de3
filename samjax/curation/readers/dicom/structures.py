"""Labels in RTSTRUCT: contours."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from samjax.curation.case import LabelMap
from samjax.curation.readers.dicom import contours
from samjax.curation.readers.geometry import Volume


def of_volume(data: Any, volume: Volume, wanted: Iterable[str]) -> list[LabelMap]:
    """Fills the contours of every region of an RTSTRUCT; only those `wanted`, if any are named."""
    names = {int(roi.ROINumber): str(roi.ROIName) for roi in data.StructureSetROISequence}
    keep = set(wanted)
    maps = []
    for region in data.get("ROIContourSequence", []):
        name = names.get(int(region.ReferencedROINumber), f"roi_{region.ReferencedROINumber}")
        if keep and name not in keep:
            continue
        outlines = [
            np.array(contour.ContourData, float).reshape(-1, 3)
            for contour in region.get("ContourSequence", [])
            if str(contour.ContourGeometricType).startswith("CLOSED_PLANAR")
        ]
        if outlines:
            values = contours.fill(outlines, volume.affine, volume.values.shape[:3])
            maps.append(LabelMap(values, {1: name}))
    return maps
