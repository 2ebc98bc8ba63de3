"""DICOM series, single images and films, with what labels them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from samjax.curation.case import Case, CaseError, LabelMap, Source
from samjax.curation.labels import to_label_map
from samjax.curation.options import Options
from samjax.curation.readers import geometry, pictures, volumes
from samjax.curation.readers.dicom import file, header, segments, structures
from samjax.curation.readers.geometry import Volume


def read(root: Path, source: Source, options: Options) -> Case:
    """Reads a series, in its own units (slope and intercept), and what labels it."""
    files = [(path, file.read(root / path)) for path in source.images]
    first = files[0][1]
    datasets = [slice_ for path, data in files for slice_ in file.slices(path, data)]
    by_pictures = source.labels[0][0].lower().endswith(pictures.SUFFIXES)
    if not file.has_place(first) or (len(datasets) == 1 and by_pictures):
        return _without_place(root, source, *files[0])
    volume, order = _stack(datasets)
    if case := _labelled(root, source, volume, options):
        return case
    slices = (datasets[i][1] for i in order)
    numbers = {
        (str(one.get("SOPInstanceUID", "")), getattr(one, "number", 1)): number
        for number, one in enumerate(slices)
    }
    maps = []
    for path, _ in source.labels:
        label = file.read(root / path)
        of_file = (
            structures.of_volume(label, volume, source.known.classes)
            if str(label.get("Modality", "")) == header.STRUCTURES
            else segments.of_image(root / path, volume.values.shape[:3], numbers, volume.affine)
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
    if len(datasets) == 1:
        return _picture(turned.values, maps, turned.spacing)
    return Case(turned.values, True, tuple(maps), turned.spacing)


def _without_place(root: Path, source: Source, path: str, data: Any) -> Case:
    """A picture, or a film, whose labels fit it by their pixels."""
    pixels, is_film = file.pixels(path, data), file.frame_count(data) > 1
    if is_film:  # (x, y, frame), as if it were a volume.
        pixels = np.moveaxis(pixels, 0, 2).swapaxes(0, 1)
    image = pictures.grey_if_it_is(pixels)
    spacing = file.spacing(data)
    if source.labels[0][0].lower().endswith(pictures.SUFFIXES):
        extent = image.shape[: 3 if is_film else 2]
        return Case(image, is_film, pictures.labels(root, source, extent), spacing, is_film)
    volume = Volume(image if is_film else image.swapaxes(0, 1)[:, :, None], np.eye(4))
    maps, count = [], volume.values.shape[2]
    for label, name in source.labels:
        if label.lower().endswith(volumes.NIFTI + volumes.ITK):
            maps.append(to_label_map(volumes.load(root / label).values, source.known, name))
        else:
            numbers = {(str(data.SOPInstanceUID), frame + 1): frame for frame in range(count)}
            maps += segments.of_image(root / label, volume.values.shape[:3], numbers, None)
    if is_film:
        return Case(volume.values, True, tuple(maps), spacing, is_film)
    return _picture(volume.values, maps, spacing)


def _picture(values: np.ndarray, maps: Sequence[LabelMap], spacing: Any) -> Case:
    """A case of the only slice of a volume."""
    flat = tuple(LabelMap(m.values[:, :, 0].swapaxes(0, 1), m.names, m.split) for m in maps)
    return Case(values[:, :, 0].swapaxes(0, 1), False, flat, spacing)


def _labelled(root: Path, source: Source, volume: Volume, options: Options) -> Case | None:
    """The case of a series whose labels are volumes in other formats; None if they are DICOM."""
    if not source.labels[0][0].lower().endswith(volumes.NIFTI + volumes.ITK):
        return None
    labels = [(path, name, volumes.load(root / path)) for path, name in source.labels]
    return volumes.on_voxels_of(volume, labels, source.known, options)


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
    planes = [file.pixels(*files[i]) for i in order]
    return Volume(np.stack([plane.swapaxes(0, 1) for plane in planes], axis=2), affine), order
