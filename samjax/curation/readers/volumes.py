"""Volumes in NIfTI (by nibabel), NRRD and MetaImage (by SimpleITK)."""

import zlib
from pathlib import Path

import numpy as np

from samjax.curation import extra
from samjax.curation.case import Case, CaseError, Source
from samjax.curation.labels import to_label_map
from samjax.curation.options import Dataset, Options
from samjax.curation.readers import geometry
from samjax.curation.readers.geometry import Volume

NIFTI = (".nii", ".nii.gz")
ITK = (".nrrd", ".nhdr", ".mha", ".mhd")


def read(root: Path, source: Source, options: Options) -> Case:
    """Reads a volume and its label volumes, on the same voxels."""
    image = load(root / source.images[0])
    labels = []
    for path, name in source.labels:
        label = load(root / path)
        if label.values.ndim != 3:
            raise CaseError(f"{path}: expected one label a voxel, found {label.values.shape}")
        labels.append((path, name, label))
    return on_voxels_of(image, labels, source.known, options)


def on_voxels_of(
    image: Volume, labels: list[tuple[str, str, Volume]], known: Dataset, options: Options
) -> Case:
    """A case of a volume and of label volumes with their paths and classes."""
    turn = geometry.anatomical if options.orientation == "anatomical" else lambda volume: volume
    image = turn(image)
    maps = []
    for path, name, label in labels:
        turned = turn(label)
        try:
            geometry.check_aligned(image, turned)
            maps.append(to_label_map(turned.values, known, name))
        except CaseError as error:
            raise CaseError(f"{path}: {error}") from None
    return Case(image.values, True, tuple(maps), image.spacing, skewed=image.skewed)


def load(path: Path) -> Volume:
    """Reads one volume, (x, y, z) or with three channels, in its own intensities.

    Raises:
        CaseError: It is cut off, no volume, or one with more dimensions.
    """
    volume = _load_nifti(path) if path.name.lower().endswith(NIFTI) else _load_itk(path)
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


def _load_nifti(path: Path) -> Volume:
    nibabel = extra.require("nibabel")
    try:
        image = nibabel.load(path)
        scaled = image.dataobj.slope not in (1.0, None) or image.dataobj.inter not in (0.0, None)
        values = image.get_fdata(dtype=np.float32) if scaled else np.asanyarray(image.dataobj)
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
    return Volume(values, to_lps @ image.affine)


def _load_itk(path: Path) -> Volume:
    sitk = extra.require("SimpleITK")
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
    return Volume(values, affine)
