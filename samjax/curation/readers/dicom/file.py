"""One DICOM file by pydicom: its pixels, its frames, and where they are."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from samjax.curation import extra
from samjax.curation.case import CaseError


def read(path: Path, stop_before_pixels: bool = False) -> Any:
    """Reads a file.

    Raises:
        CaseError: It is cut off or no DICOM.
    """
    pydicom = extra.require("pydicom")
    try:
        return pydicom.dcmread(path, stop_before_pixels=stop_before_pixels)
    except FileNotFoundError:
        raise CaseError(f"{path}: no such file") from None
    except (
        OSError,
        EOFError,
        ValueError,
        KeyError,
        AttributeError,
        NotImplementedError,
        pydicom.errors.InvalidDicomError,
    ) as error:
        raise CaseError(f"{path}: cannot be read as DICOM: {error}") from error


def pixels(path: str, data: Any) -> np.ndarray:
    """Pixels of a file: in physical units, dark to bright, or RGB.

    Raises:
        CaseError: They are cut off, or in a compression that no installed library knows.
    """
    process = extra.require("pydicom.pixels")
    values = decoded(path, data)
    interpretation = str(data.get("PhotometricInterpretation", "MONOCHROME2"))
    if interpretation.startswith("YBR"):
        values = process.convert_color_space(values, interpretation, "RGB", per_frame=True)
    elif interpretation == "PALETTE COLOR":
        values = process.apply_color_lut(values, data)
    if int(data.get("SamplesPerPixel", 1)) == 3 or interpretation == "PALETTE COLOR":
        if values.dtype != np.uint8:
            values = (values >> (8 * (values.dtype.itemsize - 1))).astype(np.uint8)
        return values
    if interpretation == "MONOCHROME1":  # Low values are bright.
        signed = int(data.get("PixelRepresentation", 0))
        values = (-1 if signed else 2 ** int(data.BitsStored) - 1) - values.astype(np.int32)
    values = process.apply_rescale(values, data)
    if values.dtype == np.float64:
        whole = np.rint(values)
        values = whole.astype(np.int32) if np.array_equal(whole, values) else values.astype("f4")
    return values


def decoded(path: str, data: Any) -> np.ndarray:
    """Pixels as they are stored.

    Raises:
        CaseError: They are cut off, or in a compression that no installed library knows.
    """
    try:
        return data.pixel_array
    except Exception as error:  # Every decoder has its own.
        raise CaseError(f"{path}: pixels cannot be decoded: {error}") from error


def has_place(data: Any) -> bool:
    """Whether slices, or frames, say where in the patient they are."""
    if "PerFrameFunctionalGroupsSequence" in data:
        groups = (*data.PerFrameFunctionalGroupsSequence[:1], *shared(data))
        return any("PlanePositionSequence" in group for group in groups)
    return "ImagePositionPatient" in data and frame_count(data) == 1


def frame_count(data: Any) -> int:
    """Number of frames."""
    return int(data.get("NumberOfFrames") or 1)


def spacing(data: Any) -> tuple[float, float, float] | None:
    """Distance of columns and of rows, mm, where the file knows it, and none of frames."""
    for name in ("PixelSpacing", "ImagerPixelSpacing"):
        if data.get(name):
            down, across = map(float, data[name].value)
            return across, down, 0.0
    return None


def slices(path: str, data: Any) -> list[tuple[str, Any]]:
    """A file, or, if it is an enhanced one with a place for each, its frames as files."""
    if "PerFrameFunctionalGroupsSequence" not in data or not has_place(data):
        return [(path, data)]
    pydicom = extra.require("pydicom")
    values = pixels(path, data)
    values = values if frame_count(data) > 1 else values[None]
    frames = []
    for number, group in enumerate(data.PerFrameFunctionalGroupsSequence):
        frame = pydicom.Dataset()
        frame.Rows, frame.Columns = data.Rows, data.Columns
        for sequence, names in (
            ("PlaneOrientationSequence", ["ImageOrientationPatient"]),
            ("PlanePositionSequence", ["ImagePositionPatient"]),
            ("PixelMeasuresSequence", ["PixelSpacing", "SliceThickness"]),
            ("PixelValueTransformationSequence", ["RescaleSlope", "RescaleIntercept"]),
        ):
            found = item(sequence, group, *shared(data))
            for name in names:
                if name in found:
                    setattr(frame, name, getattr(found, name))
        frame.SOPInstanceUID = data.SOPInstanceUID
        frames.append((f"{path}, frame {number + 1}", Frame(frame, values[number], number + 1)))
    return frames


class Frame:
    """A frame's header with its pixels."""

    def __init__(self, header: Any, pixels: np.ndarray, number: int):
        self._header, self.pixel_array, self.number = header, pixels, number

    def __getattr__(self, name: str) -> Any:
        return getattr(self._header, name)

    def __getitem__(self, name: str) -> Any:
        return self._header[name]

    def __contains__(self, name: str) -> bool:
        return name in self._header


def item(sequence: str, *holders: Any) -> Any:
    """The item of a functional group of the first that has it; empty if none has."""
    return next((h[sequence][0] for h in holders if h.get(sequence)), {})


def shared(data: Any) -> Sequence[Any]:
    """The functional groups of all frames, if there are any."""
    return data.get("SharedFunctionalGroupsSequence", [])[:1]
