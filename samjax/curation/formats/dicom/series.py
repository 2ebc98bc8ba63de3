"""Reads DICOM series, single images and films, with their labels."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from samjax.curation import rules, suffixes
from samjax.curation.case import UNNAMED, Case, CaseError, CaseSource, LabelMap
from samjax.curation.formats import geometry, pictures, volumes
from samjax.curation.formats.dicom import (
    file,
    pixels,
    references,
    segments,
    slice_pictures,
    structures,
)
from samjax.curation.formats.dicom import stack as stacks
from samjax.curation.formats.geometry import Volume
from samjax.curation.labels import to_label_maps
from samjax.curation.options import CurationOptions


def read(root: Path, source: CaseSource, options: CurationOptions) -> Case:
    """Reads a series, in its own units (slope and intercept), and its labels."""
    with file.unwarned():
        return _read(root, source, options)


def _read(root: Path, source: CaseSource, options: CurationOptions) -> Case:
    files = [(path, file.read(root / path)) for path in source.images]
    slices = [
        one for path, data in files if file.has_place(data) for one in stacks.slices(path, data)
    ]
    by_pictures = source.labels[0][0].lower().endswith(suffixes.PICTURES)
    if not slices or (len(slices) == 1 and by_pictures):
        return _without_place(root, source, *files[0])
    stack = stacks.stack(slices)
    volume = stack.volume()
    if case := _labelled(root, source, stack, volume, options):
        return case
    numbers = {(one.uid, one.frame): number for number, one in enumerate(stack.slices)}
    left_out: Counter[str] = Counter()
    maps, empty = [], 0
    for path, _ in source.labels:
        label = file.read(root / path)
        parts = source.parts.get(path, ())
        classes = source.known.classes
        if references.kind_of(label) == references.STRUCTURES:
            of_file = structures.of_stack(path, label, stack, classes, parts, left_out)
        else:
            of_file = segments.of_image(
                path, label, stack.shape, numbers, stack, classes, bool(parts), left_out
            )
        empty += not of_file
        maps.extend(of_file)
    if not maps:
        detail = "".join(f"; {n} {what}" for what, n in (+left_out).items())
        raise CaseError(
            f"{source.labels[0][0]}: expected labels on this series, found none{detail}"
        )
    maps[0] = dataclasses.replace(maps[0], unnamed=left_out.pop(UNNAMED, 0))
    left_out["files of labels that show nothing on their series"] = empty
    turned = volume
    if options.orientation == "anatomical":
        turned = geometry.anatomical(volume)
        for index, one in enumerate(maps):
            values = geometry.anatomical(Volume(one.values, volume.affine)).values
            maps[index] = dataclasses.replace(one, values=values)
    if len(slices) == 1:
        return _picture(turned.values, maps, turned.spacing, +left_out)
    return Case(
        turned.values, True, tuple(maps), turned.spacing, left_out=+left_out, skewed=turned.skewed
    )


def _without_place(root: Path, source: CaseSource, path: str, data: Any) -> Case:
    """Reads a picture or film without position, whose labels have the same pixels."""
    values, is_film = pixels.pixels(path, data), file.frame_count(data) > 1
    if is_film:  # (x, y, frame), as if it were a volume.
        values = np.moveaxis(values, 0, 2).swapaxes(0, 1)
    image = pictures.to_grey(values, is_film)
    spacing = file.spacing(data)
    if source.labels[0][0].lower().endswith(suffixes.PICTURES):
        extent = image.shape[: 3 if is_film else 2]
        return Case(image, is_film, pictures.labels(root, source, extent), spacing, is_film)
    volume = Volume(image if is_film else image.swapaxes(0, 1)[:, :, None], np.eye(4))
    shape = volume.values.shape[:3]
    left_out: Counter[str] = Counter()
    maps = []
    for label, name in source.labels:
        if label.lower().endswith(suffixes.NIFTI + suffixes.ITK):
            maps += to_label_maps(
                volumes.load(root / label).values, source.known, name, source.coding
            )
        else:
            content = file.read(root / label)
            if references.kind_of(content) == references.STRUCTURES:
                raise CaseError(
                    f"{label}: expected an image that says where in the patient it is, found {path}"
                )
            numbers = {(str(data.SOPInstanceUID), frame + 1): frame for frame in range(shape[2])}
            maps += segments.of_image(
                label, content, shape, numbers, None, source.known.classes,
                label in source.parts, left_out,
            )  # fmt: skip
    if is_film:
        return Case(volume.values, True, tuple(maps), spacing, is_film, left_out=+left_out)
    return _picture(volume.values, maps, spacing, +left_out)


def _picture(
    values: np.ndarray, maps: Sequence[LabelMap], spacing: Any, left_out: Mapping[str, int]
) -> Case:
    """Makes a case of the only slice of a volume, along whichever axis it is."""
    number = values.shape[:3].index(1)
    axis = rules.AXES[number]
    flat = tuple(dataclasses.replace(m, values=rules.cut(m.values, axis, 0)) for m in maps)
    if spacing and len(spacing) == 3:
        spacing = tuple(np.delete(spacing, number).tolist())
    return Case(rules.cut(values, axis, 0), False, flat, spacing, left_out=left_out)


def _labelled(
    root: Path, source: CaseSource, stack: stacks.Stack, volume: Volume, options: CurationOptions
) -> Case | None:
    """Reads a series whose labels are in other formats; returns None if they are DICOM."""
    first = source.labels[0][0].lower()
    if first.endswith(suffixes.PICTURES):
        turn = geometry.anatomical if options.orientation == "anatomical" else lambda one: one
        stored = slice_pictures.stacked(root, source, stack)
        maps = tuple(
            dataclasses.replace(one, values=turn(Volume(one.values, volume.affine)).values)
            for one in to_label_maps(stored, source.known, coding=source.coding)
        )
        turned = turn(volume)
        return Case(turned.values, True, maps, turned.spacing, skewed=turned.skewed)
    if not first.endswith(suffixes.NIFTI + suffixes.ITK):
        return None
    return volumes.on_voxels_of(volume, root, source, options)
