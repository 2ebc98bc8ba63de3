"""Reads one DICOM file by pydicom: header fields, frames and their positions."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from samjax import extra
from samjax.curation.case import CaseError

_ANY_OF = (
    "SOPClassUID",
    "Modality",
    "Rows",
    "DirectoryRecordSequence",
)  # Fields, one of which any DICOM file has.


def unwarned() -> contextlib.AbstractContextManager[None]:
    """Returns a context in which pydicom does not validate values: needed ones are checked here."""
    return extra.require("pydicom.config", "data").disable_value_validation()


def read(path: Path, stop_before_pixels: bool = False) -> Any:
    """Reads a file, also one without preamble or transfer syntax.

    Raises:
        CaseError: The file is cut off or not DICOM.
    """
    pydicom = extra.require("pydicom", "data")
    try:
        data = pydicom.dcmread(path, stop_before_pixels=stop_before_pixels, force=True)
        has_fields = any(data.get(name) for name in _ANY_OF)
    except FileNotFoundError:
        raise CaseError(f"{path}: no such file") from None
    except Exception as error:  # pydicom raises many kinds.
        reason = str(error) or type(error).__name__
        raise CaseError(f"{path}: cannot be read as DICOM: {reason}") from error
    if not has_fields:
        raise CaseError(f"{path}: cannot be read as DICOM: none of its fields was found")
    if "TransferSyntaxUID" not in data.file_meta:
        is_implicit, is_little = data.original_encoding
        names = {
            (True, True): "ImplicitVRLittleEndian",
            (False, True): "ExplicitVRLittleEndian",
            (False, False): "ExplicitVRBigEndian",
        }
        data.file_meta.TransferSyntaxUID = getattr(pydicom.uid, names[is_implicit, is_little])
    return data


def has_place(data: Any) -> bool:
    """Whether slices, or frames, have a position in the patient."""
    if "PerFrameFunctionalGroupsSequence" in data:
        groups = (*data.PerFrameFunctionalGroupsSequence[:1], *shared(data))
        return any("PlanePositionSequence" in group for group in groups)
    return "ImagePositionPatient" in data and frame_count(data) == 1


def frame_count(data: Any) -> int:
    """Returns the number of frames.

    Raises:
        CaseError: The field is not a number.
    """
    try:
        return int(data.get("NumberOfFrames") or 1)
    except (ValueError, TypeError) as error:
        raise CaseError(f"NumberOfFrames: expected a number, found: {error}") from error


def spacing(data: Any) -> tuple[float, float, float] | None:
    """Returns the distance of columns and of rows, mm, and 0 for frames; None if not stated."""
    for name in ("PixelSpacing", "ImagerPixelSpacing"):
        if data.get(name):
            down, across = map(float, data[name].value)
            return across, down, 0.0
    return None


def item(sequence: str, *holders: Any) -> Any:
    """Returns a functional group's item from the first holder that has it, or an empty one."""
    return next((h[sequence][0] for h in holders if h.get(sequence)), {})


def shared(data: Any) -> Sequence[Any]:
    """Returns the functional groups that all frames share, if there are any."""
    return data.get("SharedFunctionalGroupsSequence", [])[:1]
