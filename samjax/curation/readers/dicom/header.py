"""What discovery needs to know of a DICOM file."""

import dataclasses
from pathlib import Path
from typing import Any

from samjax.curation.readers.dicom import file

SUFFIXES = (".dcm", ".dicom", ".ima")
STRUCTURES, SEGMENTATION = "RTSTRUCT", "SEG"
MODALITIES = {
    "CT": "ct",
    "MR": "mr",
    "PT": "pet",
    "US": "ultrasound",
    "CR": "x_ray",
    "DX": "x_ray",
    "MG": "x_ray",
    "RF": "x_ray",
    "XA": "x_ray",
    "ES": "endoscopy",
    "OP": "fundus",
    "SM": "histopathology",
}


@dataclasses.dataclass(frozen=True)
class Header:
    """What discovery needs to know of a file.

    Attributes:
        series: Its series; of an image without a place in the patient, such as an X-ray or a film,
            itself: it is no slice.
        kind: `RTSTRUCT`, `SEG`, or the modality of an image.
        patient: The patient's ID.
        description: The series' description.
        refers_to: What a label says that it belongs to: series and images.
        frame: Frame of reference.
    """

    series: str
    kind: str
    patient: str
    description: str
    refers_to: tuple[str, ...]
    frame: str


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM, by its name or, where that has no suffix, by its first bytes."""
    if path.suffix:
        return path.suffix.lower() in SUFFIXES
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def header(path: Path) -> Header:
    """Reads a file's header, without its pixels.

    Raises:
        CaseError: It is cut off or no DICOM.
    """
    data = file.read(path, stop_before_pixels=True)
    kind = str(data.get("Modality", "")) or "OT"
    whole = "SeriesInstanceUID" if file.has_place(data) else "SOPInstanceUID"
    return Header(
        series=str(data.get(whole, "")) or str(path),
        kind=kind,
        patient=str(data.get("PatientID", "")),
        description=str(data.get("SeriesDescription", "")),
        refers_to=_refers_to(data, kind),
        frame=str(data.get("FrameOfReferenceUID", "")) or _frame_of_structures(data),
    )


def _refers_to(data: Any, kind: str) -> tuple[str, ...]:
    try:
        if kind == STRUCTURES:
            study = data.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
            return (str(study.RTReferencedSeriesSequence[0].SeriesInstanceUID),)
        if kind == SEGMENTATION:
            series = data.ReferencedSeriesSequence[0]
            images = series.get("ReferencedInstanceSequence", [])
            of_images = (str(image.ReferencedSOPInstanceUID) for image in images)
            return (str(series.SeriesInstanceUID), *of_images)
    except (AttributeError, IndexError):
        pass
    return ()


def _frame_of_structures(data: Any) -> str:
    frames = data.get("ReferencedFrameOfReferenceSequence") or []
    return str(frames[0].get("FrameOfReferenceUID", "")) if len(frames) else ""
