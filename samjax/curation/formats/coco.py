"""Finds and reads COCO: pictures with polygons or run lengths in one JSON file."""

import functools
import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import cv2

from samjax.curation import naming
from samjax.curation.case import Case, CaseError, CaseSource, LabelMap
from samjax.curation.discovery_result import DiscoveryResult, Problem
from samjax.curation.formats import coco_masks, pictures, safe_paths
from samjax.curation.options import CurationOptions

OBJECT = "object"
_NAMED = 5  # Most annotations in a message.

Annotations = Mapping[str, list[dict[str, Any]]]
Categories = Mapping[str, Collection[str]]  # Names by number.


def discover(
    root: Path, files: Sequence[str], options: CurationOptions, result: DiscoveryResult
) -> set[str]:
    """Finds COCO's annotation files and the pictures that they name."""
    taken: set[str] = set()
    for path in (p for p in files if p.lower().endswith(".json")):
        try:
            if not is_coco(root / path):
                continue
            taken.add(path)
            images, wrong = entries(root, path)
        except CaseError as error:
            result.problems.append(Problem(path, "unreadable", str(error)))
            continue
        result.problems += [Problem(path, "unreadable", detail) for detail in wrong]
        folder = str(PurePosixPath(path).parent)
        known = options.dataset_of(path)
        for item, image in images:
            taken.add(image)
            stem = PurePosixPath(image).stem
            result.sources.append(
                CaseSource(
                    reader="coco",
                    name=naming.safe(stem),
                    subject="",
                    dataset=naming.safe(known.name or naming.title(root, folder)),
                    modality=known.modality or naming.modality(image),
                    images=(image,),
                    labels=((path, ""),),
                    item=item,
                    known=known,
                )
            )
    return taken


def is_coco(path: Path) -> bool:
    """Whether a JSON file looks like COCO's, by its keys."""
    content = _load(path)
    return isinstance(content, dict) and {"images", "annotations"} <= content.keys()


def entries(root: Path, path: str) -> tuple[list[tuple[str, str]], list[str]]:
    """Reads the list of pictures of a file.

    Returns:
        Number and path, relative to the source, of every usable picture; faults of the others.

    Raises:
        CaseError: The file holds no list of images.
    """
    content = _load(root / path)
    if not isinstance(content["images"], list):
        raise CaseError(f"{path}: expected a list of images, found {type(content['images'])}")
    if not isinstance(content["annotations"], list):
        kind = type(content["annotations"])
        raise CaseError(f"{path}: expected a list of annotations, found {kind}")
    found: dict[str, list[str]] = defaultdict(list)
    faults = []
    for entry in content["images"]:
        if not isinstance(entry, Mapping) or not {"id", "file_name"} <= entry.keys():
            faults.append(f"{path}: expected images with id and file_name, found {entry}")
            continue
        try:
            found[_key(entry["id"])].append(safe_paths.picture(root, path, str(entry["file_name"])))
        except CaseError as error:
            faults.append(str(error))
            found[_key(entry["id"])] += []
    image_ids = [
        annotation.get("image_id") if isinstance(annotation, Mapping) else annotation
        for annotation in content["annotations"]
    ]
    unknown = [number for number in map(_key, image_ids) if number not in found]
    if unknown:
        faults.append(
            f"{path}: expected annotations of the images that it lists, found {len(unknown)} of "
            f"image {_listed(sorted(set(unknown)))}"
        )
    for number, several in found.items():
        if len(several) > 1:
            names = ", ".join(several)
            faults.append(f"{path}: expected one image with the id {number}, found {names}")
    return [(number, files[0]) for number, files in found.items() if len(files) == 1], faults


def read(root: Path, source: CaseSource, options: CurationOptions) -> Case:
    """Reads a picture with a label map for every annotation: they may overlap.

    An annotation, or a part of it, that cannot be used is reported; the others are used.

    Raises:
        CaseError: The picture cannot be read, or does not have the size stated in the file.
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
    maps, faults, seen = [], defaultdict(list), set()
    for annotation in annotations.get(source.item, ()):
        number = str(annotation.get("id", "without id"))
        try:
            name = _name(annotation, categories)
            same = json.dumps([name, annotation.get("segmentation")])
            if same in seen:
                raise ValueError("expected every object once, found it again; it is used once")
            seen.add(same)
            values, reasons = coco_masks.mask(annotation, *size, stated=source.item in stated)
        except Exception as error:  # Any error of one annotation: the others are used.
            faults[str(error) if type(error) is ValueError else repr(error)].append(number)
            continue
        for reason in reasons:
            faults[reason].append(number)
        if values.shape != (height, width):
            values = cv2.resize(values, (width, height), interpolation=cv2.INTER_NEAREST)
        maps.append(LabelMap(values, {1: name}, split=not annotation.get("iscrowd", 0)))
    bad = tuple(
        f"{path}: annotation {_listed(numbers)} of {source.images[0]}: {reason}"
        for reason, numbers in faults.items()
    )
    return Case(image, False, tuple(maps), bad=bad)


def _tables(
    path: Path,
) -> tuple[Mapping[str, tuple[int, int]], Annotations, Categories]:
    """Returns sizes (height, width) and annotations by image, and names of categories."""
    state = path.stat()
    return _tables_of(path, (state.st_size, state.st_mtime_ns, state.st_ino))


@functools.lru_cache(maxsize=2)  # All pictures share one file.
def _tables_of(
    path: Path, state: tuple[int, ...]
) -> tuple[Mapping[str, tuple[int, int]], Annotations, Categories]:
    del state  # Part of the cache key, so that an edited file is read again.
    content = _load(path)
    entries = [entry for entry in content["images"] if isinstance(entry, Mapping)]
    sizes = {_key(e.get("id")): size for e in entries if (size := _size(e))}
    annotations: dict[str, list[dict[str, Any]]] = {}
    for annotation in content["annotations"]:
        if isinstance(annotation, dict):
            annotations.setdefault(_key(annotation.get("image_id")), []).append(annotation)
    listed = [c for c in content.get("categories") or [] if isinstance(c, Mapping) and "id" in c]
    categories: dict[str, set[str]] = {}
    for c in listed:
        categories.setdefault(_key(c["id"]), set()).add(str(c.get("name") or f"category_{c['id']}"))
    if not categories:  # Some tools leave the list out.
        used = {_key(a.get("category_id")) for of in annotations.values() for a in of}
        alone = len(used) == 1
        categories = {number: {OBJECT if alone else f"category_{number}"} for number in used}
    return sizes, annotations, categories


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise CaseError(f"{path}: expected JSON, found: {error}") from error


def _name(annotation: Mapping[str, Any], categories: Categories) -> str:
    number = _key(annotation.get("category_id"))
    if number not in categories:
        raise ValueError(f"expected one of the categories {sorted(categories)}, found {number}")
    if len(names := categories[number]) > 1:
        raise ValueError(f"expected one category of number {number}, found {sorted(names)}")
    return next(iter(names))


def _key(number: Any) -> str:
    """Returns an ID as text for comparison: some tools write numbers as text, or as 1.0."""
    whole = isinstance(number, float) and number.is_integer()
    return str(int(number)) if whole else str(number).strip()


def _size(entry: Mapping[str, Any]) -> tuple[int, int] | None:
    """Returns height and width of a picture, or None if the file does not state them."""
    try:
        size = int(entry["height"]), int(entry["width"])
    except (KeyError, TypeError, ValueError):
        return None
    return size if min(size) > 0 else None


def _listed(numbers: list[str]) -> str:
    listed = ", ".join(numbers[:_NAMED])
    return listed + (f" and {len(numbers) - _NAMED} more" if len(numbers) > _NAMED else "")
