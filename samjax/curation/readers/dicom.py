"""DICOM: series and single images by pydicom, labels in RTSTRUCT and SEG."""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from samjax.curation import extra
from samjax.curation.case import Case, CaseError, LabelMap, Source
from samjax.curation.options import Options
from samjax.curation.readers import contours, geometry, pictures, volumes
from samjax.curation.readers.geometry import Volume

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
        series: Its series.
        kind: `RTSTRUCT`, `SEG`, or the modality of an image.
        patient: The patient's ID.
        description: The series' description.
        refers_to: Series that a label belongs to; empty if it does not say.
        frame: Frame of reference.
    """

    series: str
    kind: str
    patient: str
    description: str
    refers_to: str
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
    data = _read(path, stop_before_pixels=True)
    kind = str(data.get("Modality", "")) or "OT"
    return Header(
        series=str(data.get("SeriesInstanceUID", "")) or str(path),
        kind=kind,
        patient=str(data.get("PatientID", "")),
        description=str(data.get("SeriesDescription", "")),
        refers_to=_refers_to(data, kind),
        frame=str(data.get("FrameOfReferenceUID", "")) or _frame_of_structures(data),
    )


def read(root: Path, source: Source, options: Options) -> Case:
    """Reads a series, in its own units (slope and intercept), and what labels it."""
    files = [(path, _read(root / path)) for path in source.images]
    first = files[0][1]
    if len(files) == 1 and "NumberOfFrames" in first and int(first.NumberOfFrames) > 1:
        if "SharedFunctionalGroupsSequence" not in first:
            raise CaseError(
                f"{files[0][0]}: expected frames with a place in the patient, found a film"
            )
        datasets = _frames(first)
    else:
        datasets = files
    if len(datasets) == 1 and source.labels[0][0].lower().endswith(pictures.SUFFIXES):
        image = _pixels(*files[0])
        labels = pictures.labels(root, source, image.shape[:2])
        return Case(image, False, labels)
    if "ImageOrientationPatient" not in datasets[0][1]:
        return _flat(root, source, datasets)
    volume, order = _stack(datasets)
    if case := _labelled(root, source, volume, options):
        return case
    maps = []
    for path, _ in source.labels:
        label = _read(root / path)
        of_file = (
            _structures(label, volume, source.known.classes)
            if str(label.get("Modality", "")) == STRUCTURES
            else _segments(root / path, volume, [datasets[i][1] for i in order], order)
        )
        if not of_file:
            raise CaseError(f"{path}: expected labels on this series, found none")
        maps.extend(of_file)
    turned = volume
    if options.orientation == "anatomical":
        turned = geometry.anatomical(volume)
        maps = [
            LabelMap(geometry.anatomical(Volume(label.values, volume.affine)).values, label.names)
            for label in maps
        ]
    if turned.values.shape[2] == 1 and len(datasets) == 1:
        flat = tuple(LabelMap(m.values[:, :, 0].swapaxes(0, 1), m.names) for m in maps)
        return Case(
            turned.values[:, :, 0].swapaxes(0, 1),
            False,
            flat,
            turned.spacing[:2],
        )
    return Case(turned.values, True, tuple(maps), turned.spacing)


def _labelled(root: Path, source: Source, volume: Volume, options: Options) -> Case | None:
    """The case of a series whose labels are volumes in other formats; None if they are DICOM."""
    if not source.labels[0][0].lower().endswith(volumes.NIFTI + volumes.ITK):
        return None
    labels = [(path, name, volumes.load(root / path)) for path, name in source.labels]
    return volumes.on_voxels_of(volume, labels, source.known, options)


def _read(path: Path, stop_before_pixels: bool = False) -> Any:
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


def _pixels(path: str, data: Any) -> np.ndarray:
    """Pixels of a file: in physical units, dark to bright, or RGB.

    Raises:
        CaseError: They are cut off, or in a compression that no installed library knows.
    """
    pixels = extra.require("pydicom.pixels")
    try:
        values = data.pixel_array
    except Exception as error:  # Every decoder has its own.
        raise CaseError(f"{path}: pixels cannot be decoded: {error}") from error
    interpretation = str(data.get("PhotometricInterpretation", "MONOCHROME2"))
    if interpretation.startswith("YBR"):
        values = pixels.convert_color_space(values, interpretation, "RGB", per_frame=True)
    elif interpretation == "PALETTE COLOR":
        values = pixels.apply_color_lut(values, data)
    if int(data.get("SamplesPerPixel", 1)) == 3 or interpretation == "PALETTE COLOR":
        if values.dtype != np.uint8:
            values = (values >> (8 * (values.dtype.itemsize - 1))).astype(np.uint8)
        return values
    values = pixels.apply_rescale(values, data)
    if values.dtype == np.float64:
        whole = np.rint(values)
        values = whole.astype(np.int32) if np.array_equal(whole, values) else values.astype("f4")
    if interpretation == "MONOCHROME1":  # Low values are bright.
        values = values.max() + values.min() - values
    return values


def _stack(files: Sequence[tuple[str, Any]]) -> tuple[Volume, list[int]]:
    """Stacks the slices of a series from their positions; the volume, and the order of the files.

    Raises:
        CaseError: They do not make one volume with equal steps.
    """
    for name in ("Rows", "Columns", "ImageOrientationPatient", "PixelSpacing"):
        kinds: dict[str, str] = {}
        for path, data in files:
            if name not in data:
                raise CaseError(f"{path}: expected a slice of a series, found no {name}")
            value = data[name].value
            rounded = np.round(np.array(value, float), 3).tolist()
            kinds.setdefault(str(rounded), path)
        if len(kinds) > 1:
            (one, here), (two, there), *_ = kinds.items()
            raise CaseError(
                f"{here}: expected one {name} in a series, found {one} and, in {there}, {two}"
            )
    first = files[0][1]
    along_row, along_column = np.array(first.ImageOrientationPatient, float).reshape(2, 3)
    normal = np.cross(along_row, along_column)
    positions = np.array([np.array(d.ImagePositionPatient, float) for _, d in files])
    heights = positions @ normal
    order = np.argsort(heights, kind="stable").tolist()
    steps = np.diff(heights[order])
    if len(steps) and steps.min() < 1e-3:
        twice = int(steps.argmin())
        here, there = (files[order[i]][0] for i in (twice, twice + 1))
        raise CaseError(
            f"{here}: expected one slice at a place, found {there} there, too; "
            "several series, times or echoes in one?"
        )
    if len(steps) and steps.max() - steps.min() > 0.1 * np.median(steps):
        raise CaseError(
            f"{files[0][0]}: expected slices at equal steps, found from {steps.min():.2f} to "
            f"{steps.max():.2f} mm; is one missing?"
        )
    step = float(np.median(steps)) if len(steps) else float(first.get("SliceThickness") or 1)
    down, across = map(float, first.PixelSpacing)
    affine = np.eye(4)
    affine[:3, :3] = np.stack([along_row * across, along_column * down, normal * step], axis=1)
    affine[:3, 3] = positions[order[0]]
    planes = [_pixels(*files[i]) for i in order]
    return Volume(np.stack([plane.swapaxes(0, 1) for plane in planes], axis=2), affine), order


def _frames(data: Any) -> list[tuple[str, Any]]:
    """The frames of an enhanced multi-frame file as if each were a file of its own."""
    pydicom = extra.require("pydicom")
    shared = data.SharedFunctionalGroupsSequence[0]
    values = _pixels(str(data.filename), data)
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
            holder = group if sequence in group else shared
            for name in names:
                if sequence in holder and name in holder[sequence][0]:
                    setattr(frame, name, getattr(holder[sequence][0], name))
        frame.SOPInstanceUID = data.SOPInstanceUID
        frames.append((f"{data.filename}, frame {number + 1}", _Frame(frame, values[number])))
    return frames


class _Frame:
    """A frame's header with its pixels."""

    def __init__(self, header: Any, pixels: np.ndarray):
        self._header, self.pixel_array = header, pixels

    def __getattr__(self, name: str) -> Any:
        return getattr(self._header, name)

    def __getitem__(self, name: str) -> Any:
        return self._header[name]

    def __contains__(self, name: str) -> bool:
        return name in self._header


def _flat(root: Path, source: Source, files: Sequence[tuple[str, Any]]) -> Case:
    """An image without a place in the patient: a SEG fits it by its pixels."""
    if len(files) > 1:
        raise CaseError(
            f"{files[0][0]}: expected slices with a place, found no ImageOrientationPatient"
        )
    path, data = files[0]
    image = _pixels(path, data)
    maps = []
    for label, _ in source.labels:
        data = _read(root / label)
        frames, names = data.pixel_array, _segment_names(data)
        frames = frames[None] if frames.ndim == 2 else frames
        for number, frame in enumerate(frames, start=1):
            maps.append(LabelMap(frame.astype(np.uint8), {1: names.get(number, f"label_{number}")}))
    return Case(image, False, tuple(maps))


def _structures(data: Any, volume: Volume, wanted: Iterable[str]) -> list[LabelMap]:
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


def _segments(
    path: Path, volume: Volume, files: Sequence[Any], order: Sequence[int]
) -> list[LabelMap]:
    """The segments of a SEG, on the voxels of the series or of the frames of its only file."""
    highdicom = extra.require("highdicom")
    uids = [str(data.SOPInstanceUID) for data in files]
    options = {"ignore_spatial_locations": True, "assert_missing_frames_are_empty": True}
    try:
        segmentation = highdicom.seg.segread(str(path))
        if len(uids) > len(set(uids)):
            numbers = [i + 1 for i in order]
            values = segmentation.get_pixels_by_source_frame(uids[0], numbers, **options)
        else:
            values = segmentation.get_pixels_by_source_instance(uids, **options)
    except (ValueError, TypeError, AttributeError, KeyError, RuntimeError) as error:
        raise CaseError(f"{path}: cannot be read as a segmentation: {error}") from error
    names = _segment_names(segmentation)
    if values.shape[:3] != tuple(volume.values.shape[i] for i in (2, 1, 0)):
        raise CaseError(
            f"{path}: expected the series' slices {volume.values.shape[:3]}, "
            f"found {values.shape[:3]}"
        )
    return [
        LabelMap((values[..., i] > 0).transpose(2, 1, 0).astype(np.uint8), {1: name})
        for i, name in enumerate(names.values())
    ]


def _segment_names(data: Any) -> dict[int, str]:
    return {int(s.SegmentNumber): str(s.SegmentLabel) for s in data.SegmentSequence}


def _refers_to(data: Any, kind: str) -> str:
    try:
        if kind == STRUCTURES:
            study = data.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
            return str(study.RTReferencedSeriesSequence[0].SeriesInstanceUID)
        if kind == SEGMENTATION:
            return str(data.ReferencedSeriesSequence[0].SeriesInstanceUID)
    except (AttributeError, IndexError):
        pass
    return ""


def _frame_of_structures(data: Any) -> str:
    frames = data.get("ReferencedFrameOfReferenceSequence") or []
    return str(frames[0].get("FrameOfReferenceUID", "")) if len(frames) else ""
