"""COCO: pictures with polygons or run lengths in one JSON file, by pycocotools."""

import functools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from samjax.curation import extra
from samjax.curation.case import Case, CaseError, LabelMap, Source
from samjax.curation.options import Options
from samjax.curation.readers import paths, pictures


def is_coco(path: Path) -> bool:
    """Whether a JSON file looks like COCO's, by its first characters and its keys."""
    content = _load(path)
    return isinstance(content, dict) and {"images", "annotations"} <= content.keys()


def entries(root: Path, path: str) -> Iterator[tuple[str, str]]:
    """The pictures of a file: their number and their path relative to the source.

    Raises:
        CaseError: A file name leads out of the source, or names no picture there.
    """
    content = _load(root / path)
    if not isinstance(content["images"], list):
        raise CaseError(f"{path}: expected a list of images, found {type(content['images'])}")
    for entry in content["images"]:
        if not isinstance(entry, Mapping) or not {"id", "file_name"} <= entry.keys():
            raise CaseError(f"{path}: expected images with id and file_name, found {entry}")
        yield str(entry["id"]), paths.picture(root, path, str(entry["file_name"]))


def read(root: Path, source: Source, options: Options) -> Case:
    """Reads a picture with a label map for every annotation: they may overlap."""
    del options
    path = source.labels[0][0]
    image, is_volume = pictures.load(root / source.images[0])
    if is_volume:
        raise CaseError(f"{source.images[0]}: expected one picture, found several pages")
    annotations, categories = _tables(root / path)
    maps = []
    for annotation in annotations.get(source.item, ()):
        name = categories.get(annotation.get("category_id"), "object")
        try:
            values = _mask(annotation["segmentation"], *image.shape[:2])
        except (KeyError, TypeError, ValueError, IndexError) as error:
            number = annotation.get("id")
            raise CaseError(
                f"{path}: annotation {number}: expected polygons or run lengths, found {error!r}"
            ) from error
        maps.append(LabelMap(values, {1: name}, split=not annotation.get("iscrowd", 0)))
    return Case(image, False, tuple(maps))


@functools.lru_cache(maxsize=2)  # The file is one for all its pictures.
def _tables(path: Path) -> tuple[dict[str, list[dict[str, Any]]], dict[Any, str]]:
    content = _load(path)
    annotations: dict[str, list[dict[str, Any]]] = {}
    for annotation in content["annotations"]:
        annotations.setdefault(str(annotation.get("image_id")), []).append(annotation)
    return annotations, {c["id"]: str(c["name"]) for c in content.get("categories", [])}


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CaseError(f"{path}: expected JSON, found: {error}") from error


def _mask(segmentation: Any, height: int, width: int) -> np.ndarray:
    codec = extra.require("pycocotools.mask")
    if isinstance(segmentation, list):
        if not segmentation or any(len(p) < 6 or len(p) % 2 for p in segmentation):
            raise ValueError("no polygon of x, y, x, y, ...")
        encoded = codec.merge(codec.frPyObjects(segmentation, height, width))
    elif isinstance(segmentation["counts"], list):
        encoded = codec.frPyObjects(segmentation, height, width)
    else:
        encoded = segmentation
    if list(encoded["size"]) != [height, width]:
        raise ValueError(f"size {encoded['size']} for an image of {[height, width]}")
    return codec.decode(encoded).astype(np.uint8)
