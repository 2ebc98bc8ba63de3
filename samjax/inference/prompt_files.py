"""Readers of prompts files: CSV and JSON with the objects of each image."""

import csv
import difflib
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from samjax.data.metadata import read_json
from samjax.inference.object_prompt import ObjectPrompt

_log = logging.getLogger(__name__)

Objects = dict[str, ObjectPrompt]  # Prompts of one image, by the object's name.

KEYS = ("box", "points", "object")  # In JSON.
NAMES = ("image", "object")
BOX = ("x0", "y0", "x1", "y1")
POINT = ("x", "y", "label")


def read_prompts(path: str | Path) -> dict[str, Objects]:
    """Reads a file of prompts in original pixels.

    A `.csv` has the columns `image`, `object`, and `x0,y0,x1,y1` (a box), `x,y,label` (a point) or
    all of them. A row holds one box, one point or one of each; what is absent stays empty. Rows of
    the same image and object belong together.

    A `.json` is `{image: [{"box": [x0, y0, x1, y1], "points": [[x, y, label], ...]}, ...]}` with
    a box, points or both. The key `object` names an object; by default it is its number from 0.

    Other columns and keys are ignored, with a warning.

    Returns:
        Objects by image, as the file spells it, and by name.

    Raises:
        ValueError: The file has another format; the message names the file and line or object.
        OSError: The file cannot be read.
    """
    path = Path(path)
    readers: dict[str, Callable[[Path], dict[str, Objects]]] = {
        ".csv": _read_csv,
        ".json": _read_json,
    }
    if path.suffix.lower() not in readers:
        raise ValueError(f"{path}: expected a .csv or .json file of prompts")
    prompts = readers[path.suffix.lower()](path)
    if not prompts:
        raise ValueError(f"{path}: expected prompts, found none")
    return prompts


def _read_json(path: Path) -> dict[str, Objects]:
    content = read_json(path, distinct=True)
    for image, entries in content.items():
        if not isinstance(entries, list):
            raise ValueError(f"{path}: {image}: expected [object, ...], found {entries!r}")
    prompts: dict[str, Objects] = {}
    unknown: Counter[str] = Counter()
    for image, entries in content.items():
        for index, entry in enumerate(entries):
            where = f"{path}: {image}, object {index}"
            if not isinstance(entry, dict) or not entry.keys() & {"box", "points"}:
                raise ValueError(
                    f"{where}: expected an object with box, points or both, found {entry!r}"
                )
            _check_spelling(entry.keys() - set(KEYS), where)
            unknown.update(entry.keys() - set(KEYS))
            name = str(entry.get("object", index)).strip() or str(index)
            objects = prompts.setdefault(image, {})
            if name in objects:
                raise ValueError(f"{where}: expected another name, found a second {name!r}")
            objects[name] = _json_object(entry, where)
    _warn_unknown(unknown, path)
    return prompts


def _check_spelling(names: Iterable[str], where: str) -> None:
    """Checks that unknown keys are not misspelt ones, which would change the masks if ignored."""
    for name in names:
        similar = [known for known in KEYS if known.rstrip("s") in name.lower()]
        similar = similar or difflib.get_close_matches(name.lower(), KEYS)
        if similar:
            raise ValueError(f"{where}: expected {', '.join(KEYS)}, found {name!r}")


def _warn_unknown(unknown: Mapping[str, int], path: Path) -> None:
    for name, count in unknown.items():
        _log.warning("%s: left out: %r, which says nothing here (%d times)", path, name, count)


def _json_object(entry: Mapping[str, Any], where: str) -> ObjectPrompt:
    points = entry.get("points")
    well_formed = isinstance(points, list) and all(
        isinstance(point, list) and len(point) == len(POINT) for point in points
    )
    if points is not None and not well_formed:
        raise ValueError(f"{where}: points: expected [[x, y, label], ...], found {points!r}")
    return _object(where, entry.get("box"), points)


def _read_csv(path: Path) -> dict[str, Objects]:
    gathered: dict[tuple[str, str], dict[str, Any]] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, strict=True)
            unknown = _check_header(rows.fieldnames or (), path)
            _warn_unknown(dict.fromkeys(unknown, 1), path)
            for row in rows:
                where = f"{path}, line {rows.line_num}"
                _add_row(gathered, row, where)
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: expected CSV: {error}") from error
    prompts: dict[str, Objects] = {}
    for (image, name), entry in gathered.items():
        prompt = _object(entry["where"], entry["box"], entry["points"])
        prompts.setdefault(image, {})[name] = prompt
    return prompts


def _check_header(header: Sequence[str], path: Path) -> list[str]:
    """Checks the header of a CSV file, and returns its unknown columns."""
    columns = set(header)
    groups = [group for group in (BOX, POINT) if columns & set(group)]
    if not groups or not columns >= set(NAMES).union(*groups) or len(columns) != len(header):
        expected = ",".join(NAMES + BOX + POINT)
        raise ValueError(
            f"{path}: expected the header {expected} (or without the box's or the point's "
            f"columns), found {','.join(header)}"
        )
    return [name for name in header if name not in (*NAMES, *BOX, *POINT)]


def _add_row(
    gathered: dict[tuple[str, str], dict[str, Any]], row: Mapping[str, Any], where: str
) -> None:
    if None in row or None in row.values():
        raise ValueError(f"{where}: expected as many values as the header has columns")
    image, name = (row[column].strip() for column in NAMES)
    if not image or not name:
        raise ValueError(
            f"{where}: expected an image and the name of an object, found {image!r} and {name!r}"
        )
    box, point = (_numbers(row, group, where) for group in (BOX, POINT))
    if box is None and point is None:
        raise ValueError(f"{where}: expected a box or a point, found neither")
    entry = gathered.setdefault((image, name), {"where": where, "box": None, "points": []})
    if box is not None and entry["box"] is not None:
        raise ValueError(f"{where}: a second box for object {name!r} of {image}")
    entry["box"] = box or entry["box"]
    entry["points"] += [point] if point else []


def _numbers(row: Mapping[str, Any], columns: tuple[str, ...], where: str) -> list[float] | None:
    """Returns a row's box or point; None if all its columns are empty or missing."""
    texts = [row.get(column, "").strip() for column in columns]
    if not any(texts):
        return None
    try:
        return [float(text) for text in texts]
    except ValueError:
        expected = ",".join(columns)
        raise ValueError(
            f"{where}: expected numbers for {expected}, found {','.join(texts)}"
        ) from None


def _object(where: str, box: list[float] | None, points: list[list[float]] | None) -> ObjectPrompt:
    try:
        return from_clicks(box, points)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def from_clicks(box: Any, points: Any) -> ObjectPrompt:
    """Returns an object with a box (x0, y0, x1, y1), points (x, y, label), or both."""
    if not points:
        return ObjectPrompt(box=box)
    clicks = np.array(points, np.float32)
    return ObjectPrompt(points=clicks[:, :2], labels=clicks[:, 2], box=box)
