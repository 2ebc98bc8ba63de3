"""Reads volumes in NIfTI (by nibabel), NRRD and MetaImage (by SimpleITK)."""

import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from samjax import extra
from samjax.curation import suffixes
from samjax.curation.case import Case, CaseError, CaseSource
from samjax.curation.formats import geometry, segment_names
from samjax.curation.formats.geometry import Volume
from samjax.curation.label_pixels import LabelPixels
from samjax.curation.labels import to_label_maps
from samjax.curation.options import CurationOptions

_RATIO = 1100  # Highest ratio of gzip's compression.


def read(root: Path, source: CaseSource, options: CurationOptions) -> Case:
    """Reads a volume and its label volumes, on the same voxels."""
    return on_voxels_of(load(root / source.images[0], source.item), root, source, options)


def on_voxels_of(image: Volume, root: Path, source: CaseSource, options: CurationOptions) -> Case:
    """Makes a case of a volume and the label volumes of a source.

    Raises:
        CaseError: A label volume cannot be read, or is not on the image's voxels.
    """
    turn = geometry.anatomical if options.orientation == "anatomical" else lambda volume: volume
    turned = turn(image)
    maps = []
    for path, name in source.labels:
        try:
            for label, names in _load_labels(root / path):
                placed = turn(geometry.embedded(label, image) if names else label)
                geometry.check_aligned(turned, placed)
                if names:
                    maps.append(segment_names.label_map(placed.values, names, source.known))
                else:
                    maps += to_label_maps(_pixels(placed), source.known, name, source.coding)
        except CaseError as error:
            raise error if path in str(error) else CaseError(f"{path}: {error}") from None
    return Case(turned.values, True, tuple(maps), turned.spacing, skewed=turned.skewed)


def load(path: Path, channel: str = "") -> Volume:
    """Reads one volume, (x, y, z) or with three channels, in its own intensities.

    Args:
        path: Path of the file.
        channel: Number of the volume to take from a file with several.

    Raises:
        CaseError: The file is cut off, or does not hold a volume of 3 dimensions.
    """
    stored = _stored(path)[0]
    if channel:
        if stored.values.ndim != 4 or int(channel) >= stored.values.shape[3]:
            found = stored.values.shape
            raise CaseError(f"{path}: expected 4 dimensions with channel {channel}, found {found}")
        stored = Volume(np.asarray(stored.values[..., int(channel)]), stored.affine)
    return _checked(path, stored)


def stored_labels(path: Path) -> LabelPixels | None:
    """Reads labels of a volume as they are stored; returns None if the file names them itself.

    Raises:
        CaseError: The file cannot be read.
    """
    ((label, names), *others) = _load_labels(path)
    return None if names or others else _pixels(label)


def _pixels(label: Volume) -> LabelPixels:
    return LabelPixels(label.values, label.values.ndim == 4)


def _checked(path: Path, volume: Volume) -> Volume:
    values = volume.values
    while values.ndim > 3 and values.shape[-1] == 1:
        values = values[..., 0]
    colour = values.ndim == 4 and values.shape[3] == 3 and values.dtype == np.uint8
    if values.ndim != 3 and not colour:
        raise CaseError(
            f"{path}: expected a volume of 3 dimensions, found {values.shape}; "
            "split a series of volumes into one file each"
        )
    if 0 in values.shape:
        raise CaseError(f"{path}: expected voxels, found shape {values.shape}")
    return Volume(values, volume.affine)


def _load_labels(path: Path) -> list[tuple[Volume, dict[int, str]]]:
    """Reads a label volume, or several that overlap, each with the names stored in the file."""
    stored, texts = _stored(path)
    if segment_names.is_slicer(texts):
        layers = segment_names.of_slicer(stored.values, texts)
        return [(Volume(values, stored.affine), names) for values, names in layers]
    label = _checked(path, stored)
    return [(label, segment_names.of_table(texts.values()))]


def _stored(path: Path) -> tuple[Volume, dict[str, str]]:
    """Reads a volume as it is stored, and the file's text fields."""
    return _load_nifti(path) if path.name.lower().endswith(suffixes.NIFTI) else _load_itk(path)


def _load_nifti(path: Path) -> tuple[Volume, dict[str, str]]:
    nibabel = extra.require("nibabel", "data")
    try:
        image = nibabel.load(path)
        _check_declared(path, image)
        scaled = image.dataobj.slope not in (1.0, None) or image.dataobj.inter not in (0.0, None)
        values = image.get_fdata(dtype=np.float32) if scaled else np.asanyarray(image.dataobj)
        values = _channels(path, values)
    except (
        OSError,
        EOFError,
        ValueError,
        zlib.error,
        nibabel.spatialimages.HeaderDataError,
        nibabel.filebasedimages.ImageFileError,
    ) as error:
        raise CaseError(f"{path}: cannot be read: {error}") from error
    to_lps = np.diag([-1.0, -1.0, 1.0, 1.0])  # NIfTI's world is to the right, front and head.
    texts = {str(n): _text(one.get_content()) for n, one in enumerate(image.header.extensions)}
    return Volume(values, to_lps @ image.affine), texts


def _channels(path: Path, values: np.ndarray) -> np.ndarray:
    """Converts RGB voxels to three channels; others stay as they are."""
    if values.dtype.names:
        colours = [values[name] for name in values.dtype.names if name in "RGB"]
        return np.stack(colours, axis=-1)
    if values.dtype.kind == "c":
        raise CaseError(f"{path}: expected real numbers, found complex ones")
    return values


def _check_declared(path: Path, image: Any) -> None:
    """Refuses a header that declares more than the file can hold, before memory is allocated."""
    declared = math.prod(image.shape) * image.get_data_dtype().itemsize
    held = path.stat().st_size
    if declared > held * (_RATIO if path.name.lower().endswith(".gz") else 1):
        raise CaseError(
            f"{path}: expected {declared:,} bytes of voxels as its header says {image.shape}, "
            f"found a file of {held:,}"
        )


def _text(content: object) -> str:
    return content.decode("utf-8", "replace") if isinstance(content, bytes) else str(content)


def _load_itk(path: Path) -> tuple[Volume, dict[str, str]]:
    sitk = extra.require("SimpleITK", "data")
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise CaseError(f"{path}: cannot be read: {reason}") from error
    values = sitk.GetArrayFromImage(image)  # (z, y, x)
    dimensions = image.GetDimension()
    values = values.transpose(*reversed(range(dimensions)), *range(dimensions, values.ndim))
    affine = np.eye(4)
    if dimensions == 3:
        directions = np.array(image.GetDirection()).reshape(3, 3)
        affine[:3, :3] = directions * image.GetSpacing()
        affine[:3, 3] = image.GetOrigin()
    return Volume(values, affine), {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
