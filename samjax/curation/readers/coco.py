"""COCO: pictures with polygons or run lengths in one JSON file, by pycocotools."""

import functools
import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from samjax.curation import extra
from samjax.curation.case import Case, CaseError, LabelMap, Source
from samjax.curation.options import Options
from samjax.curation.readers import paths, pictures

OBJECT = "object"
_BEYOND = 0.02  # Of a picture's side: how far tools let polygons reach beyond it.
_NAMED = 5  # Annotations that a message lists.

Annotations = Mapping[str, list[dict[str, Any]]]


def is_coco(path: Path) -> bool:
    """Whether a JSON file looks like COCO's, by its keys."""
    content = _load(path)
    return isinstance(content, dict) and {"images", "annotations"} <= content.keys()


def entries(root: Path, path: str) -> tuple[list[tuple[str, str]], list[str]]:
    """The pictures of a file.

    Returns:
        Their numbers and their paths relative to the source; and what is wrong with the others.

    Raises:
        CaseError: The file holds no list of images.
    """
    content = _load(root / path)
    if not isinstance(content["images"], list):
        raise CaseError(f"{path}: expected a list of images, found {type(content['images'])}")
    found: dict[str, list[str]] = defaultdict(list)
    wrong = []
    for entry in content["images"]:
        if not isinstance(entry, Mapping) or not {"id", "file_name"} <= entry.keys():
            wrong.append(f"{path}: expected images with id and file_name, found {entry}")
            continue
        try:
            found[str(entry["id"])].append(paths.picture(root, path, str(entry["file_name"])))
        except CaseError as error:
            wrong.append(str(error))
    for number, several in found.items():
        if len(several) > 1:
            names = ", ".join(several)
            wrong.append(f"{path}: expected one image with the id {number}, found {names}")
    return [(number, one[0]) for number, one in found.items() if len(one) == 1], wrong


def read(root: Path, source: Source, options: Options) -> Case:
    """Reads a picture with a label map for every annotation: they may overlap.

    An annotation, or a part of it, that cannot be used is named; the others are used.

    Raises:
        CaseError: The picture cannot be read, or has another size than the file says.
    """
    del options
    path = source.labels[0][0]
    image, is_volume = pictures.load(root / source.images[0])
    if is_volume:
        raise CaseError(f"{source.images[0]}: expected one picture, found several pages")
    stated, annotations, categories = _tables(root / path)
    height, width = image.shape[:2]
    high, wide = size = stated.get(source.item, (height, width))
    if size != (height, width) and not source.known.rescale:
        raise CaseError(
            f"{source.images[0]}: expected a picture of {wide} x {high} pixels as {path} says, "
            f"found {width} x {height}; where annotations are to be scaled to the pictures, say "
            "`rescale = true` in a description"
        )
    maps, wrong = [], defaultdict(list)
    for annotation in annotations.get(source.item, ()):
        number = str(annotation.get("id", "without id"))
        try:
            name = _name(annotation, categories)
            values, left = _mask(annotation, *size, stated=source.item in stated)
        except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
            wrong[str(error) if isinstance(error, ValueError) else repr(error)].append(number)
            continue
        for reason in left:
            wrong[reason].append(number)
        if values.shape != (height, width):
            values = cv2.resize(values, (width, height), interpolation=cv2.INTER_NEAREST)
        maps.append(LabelMap(values, {1: name}, split=not annotation.get("iscrowd", 0)))
    bad = tuple(f"{path}: annotation {_listed(of)}: {why}" for why, of in wrong.items())
    return Case(image, False, tuple(maps), bad=bad)


def _tables(path: Path) -> tuple[Mapping[str, tuple[int, int]], Annotations, Mapping[str, str]]:
    """Sizes (height, width) and annotations by image, and names of categories."""
    state = path.stat()
    return _tables_of(path, (state.st_size, state.st_mtime_ns, state.st_ino))


@functools.lru_cache(maxsize=2)  # The file is one for all its pictures.
def _tables_of(
    path: Path, state: tuple[int, ...]
) -> tuple[Mapping[str, tuple[int, int]], Annotations, Mapping[str, str]]:
    del state  # The file's, so that an edited one is read again.
    content = _load(path)
    sizes = {}
    for entry in content["images"]:
        if isinstance(entry, Mapping) and entry.get("height") and entry.get("width"):
            sizes[str(entry.get("id"))] = int(entry["height"]), int(entry["width"])
    annotations: dict[str, list[dict[str, Any]]] = {}
    for annotation in content["annotations"]:
        annotations.setdefault(str(annotation.get("image_id")), []).append(annotation)
    listed = content.get("categories") or []
    categories = {str(c["id"]): str(c["name"]) for c in listed if {"id", "name"} <= c.keys()}
    if not categories:  # Some tools leave the list out.
        used = {str(a.get("category_id")) for of in annotations.values() for a in of}
        alone = len(used) == 1
        categories = {number: OBJECT if alone else f"category_{number}" for number in used}
    return sizes, annotations, categories


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise CaseError(f"{path}: expected JSON, found: {error}") from error


def _name(annotation: Mapping[str, Any], categories: Mapping[str, str]) -> str:
    number = str(annotation.get("category_id"))
    if number not in categories:
        raise ValueError(f"expected one of the categories {sorted(categories)}, found {number}")
    return categories[number]


def _mask(
    annotation: Mapping[str, Any], height: int, width: int, stated: bool
) -> tuple[np.ndarray, list[str]]:
    """The mask of an annotation, (height, width) uint8, and what of it was left out.

    Raises:
        ValueError: Nothing of it can be used.
    """
    codec = extra.require("pycocotools.mask")
    segmentation, left = annotation.get("segmentation"), []
    if not segmentation:
        found = "only a box" if annotation.get("bbox") else "nothing"
        raise ValueError(f"expected polygons or run lengths, found {found}")
    if isinstance(segmentation, list):
        polygons = []
        for polygon in segmentation:
            reason = _fault(polygon, height, width, stated)
            (left if reason else polygons).append(reason or polygon)
        if not polygons:
            raise ValueError(left[0])
        encoded = codec.merge(codec.frPyObjects(polygons, height, width))
    elif isinstance(segmentation["counts"], list):
        encoded = codec.frPyObjects(segmentation, height, width)
    else:
        encoded = segmentation
    if list(encoded["size"]) != [height, width]:
        raise ValueError(f"expected run lengths of {height} x {width}, found {encoded['size']}")
    mask = codec.decode(encoded).astype(np.uint8)
    if not mask.any():
        raise ValueError(f"expected an object in the picture of {width} x {height}, found none")
    return mask, left


def _fault(polygon: Any, height: int, width: int, stated: bool) -> str:
    """What is wrong with a polygon; nothing if it can be used."""
    flat = isinstance(polygon, list) and all(isinstance(x, int | float) for x in polygon)
    if not flat or len(polygon) < 6 or len(polygon) % 2 or not np.isfinite(polygon).all():
        return f"expected a polygon of x, y, x, y, x, y, ..., found {str(polygon)[:60]}"
    x, y = np.array(polygon, float).reshape(-1, 2).T
    margin = 2 + _BEYOND * max(height, width)
    if not stated and (x.max() > width + margin or y.max() > height + margin):
        return (
            f"expected a polygon within the picture of {width} x {height}, found one that "
            f"reaches ({x.max():g}, {y.max():g})"
        )
    return ""


def _listed(numbers: list[str]) -> str:
    shown = ", ".join(numbers[:_NAMED])
    return shown + (f" and {len(numbers) - _NAMED} more" if len(numbers) > _NAMED else "")
