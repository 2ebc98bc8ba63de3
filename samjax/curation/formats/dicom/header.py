"""Reads the header fields of a DICOM file that discovery needs."""

import dataclasses
from pathlib import Path

from samjax.curation.case import CaseError
from samjax.curation.formats.dicom import file, references

SUFFIXES = (".dcm", ".dicom", ".ima")
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
# Modalities with pixels that are not pictures of a patient.
_NO_IMAGES = ("RTDOSE", "REG")
_PREFIX = 132  # Bytes before the content; the last four are `DICM`.


@dataclasses.dataclass(frozen=True)
class Header:
    """Header fields of a file.

    Attributes:
        uid: UID of the file.
        series: UID of its series; its own UID for an image without a position in the patient,
            such as an X-ray or a film: it is no slice.
        series_uid: UID of its series in any case.
        kind: `RTSTRUCT`, `SEG`, or the modality of an image.
        is_image: Whether it is an image, not a label, report or plan.
        patient: The patient's ID; may be empty.
        study: UID of its study; may be empty.
        description: Description of the series.
        frame: UID of its frame of reference.
        parts: Labelled regions or segments and their references, of a label file.
    """

    uid: str
    series: str
    series_uid: str
    kind: str
    is_image: bool
    patient: str
    study: str
    description: str
    frame: str
    parts: tuple[references.LabelPart, ...]

    @property
    def is_label(self) -> bool:
        """Whether it labels images."""
        return self.kind in (references.STRUCTURES, references.SEGMENTATION)


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM: by its suffix or its first bytes."""
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        with path.open("rb") as content:
            start = content.read(_PREFIX)
    except OSError:
        return False
    return start[128:] == b"DICM" or _starts_with_an_element(start)


def header(path: Path) -> Header:
    """Reads a file's header, without its pixels.

    Raises:
        CaseError: The file is cut off or not DICOM.
    """
    with file.unwarned():
        return _header(path)


def _header(path: Path) -> Header:
    data = file.read(path, stop_before_pixels=True)
    try:
        kind = references.kind_of(data)
        whole = "SeriesInstanceUID" if file.has_place(data) else "SOPInstanceUID"
        is_label = kind in (references.STRUCTURES, references.SEGMENTATION)
        return Header(
            uid=str(data.get("SOPInstanceUID", "")),
            # Slices without the UID of a series are a series if they are in one folder.
            series=str(data.get(whole, "")) or str(path if whole[1] == "O" else path.parent),
            series_uid=str(data.get("SeriesInstanceUID", "")),
            kind=kind,
            is_image="Rows" in data and kind not in _NO_IMAGES and not is_label,
            patient=str(data.get("PatientID", "") or "").strip(),
            study=str(data.get("StudyInstanceUID", "") or ""),
            description=str(data.get("SeriesDescription", "") or ""),
            frame=str(data.get("FrameOfReferenceUID", "") or ""),
            parts=references.parts(data),
        )
    except CaseError as error:
        raise CaseError(f"{path}: {error}") from error
    except Exception as error:  # Values that are no numbers, items without required fields.
        reason = f"{type(error).__name__}: {error}"
        raise CaseError(f"{path}: cannot be read as DICOM: {reason}") from error


def _starts_with_an_element(start: bytes) -> bool:
    """Whether a file without a preamble begins as DICOM does: with a tag of group 2 or 8.

    Then comes a representation of two letters and a length, or a short length.
    """
    if len(start) < 12:
        return False
    groups = {b"\x02\0", b"\x08\0", b"\0\x02", b"\0\x08"}
    little = start[0] != 0
    if start[:2] not in groups or start[3 if little else 2] != 0:
        return False
    if start[4:6] in (b"UL", b"OB", b"UI", b"CS", b"DA", b"TM", b"SH", b"LO", b"PN", b"SQ", b"DT"):
        return True
    return little and int.from_bytes(start[4:8], "little") <= 64
