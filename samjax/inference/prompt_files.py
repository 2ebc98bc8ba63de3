"""Prompts in files: which objects are meant in which image."""

import csv
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from samjax.inference.objects import ObjectPrompt

Objects = dict[str, ObjectPrompt]  # Prompts of one image, by the object's name.

NAMES = ("image", "object")
BOX = ("x0", "y0", "x1", "y1")
POINT = ("x", "y", "label")


def read_prompts(path: str | Path) -> dict[str, Objects]:
    """Reads a file of prompts in original pixels.

    A `.csv` has the columns `image`, `object`, and `x0,y0,x1,y1` (a box), `x,y,label` (a point) or
    all of them. A row holds one box, one point or one of each; what is absent stays empty. Rows of
    the same image and object belong together.

    A `.json` is `{image: [{"box": [x0, y0, x1, y1], "points": [[x, y, label], ...]}, ...]}` with
    a box, points or both; its objects are named by their number from 0.

    Returns:
        Objects by image, as the file spells it, and by name.

    Raises:
        ValueError: The file is not like this; the message names the file and line or object.
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
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: expected JSON: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(v, list) for v in content.values()):
        raise ValueError(f"{path}: expected {{image: [object, ...]}}")
    return {
        image: {
            str(index): _json_object(entry, f"{path}: {image}, object {index}")
            for index, entry in enumerate(entries)
        }
        for image, entries in content.items()
        if entries
    }


def _json_object(entry: Any, where: str) -> ObjectPrompt:
    if not isinstance(entry, dict) or not entry or not entry.keys() <= {"box", "points"}:
        raise ValueError(f"{where}: expected an object with box, points or both, found {entry!r}")
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
            _check_header(rows.fieldnames or (), path)
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


def _check_header(header: Any, path: Path) -> None:
    columns = set(header)
    given = [group for group in (BOX, POINT) if columns & set(group)]
    if not given or columns != set(NAMES).union(*given) or len(columns) != len(header):
        expected = ",".join(NAMES + BOX + POINT)
        raise ValueError(
            f"{path}: expected the header {expected} (or without the box's or the point's "
            f"columns), found {','.join(header)}"
        )


def _add_row(
    gathered: dict[tuple[str, str], dict[str, Any]], row: Mapping[str, Any], where: str
) -> None:
    if None in row or None in row.values():
        raise ValueError(f"{where}: expected as many values as the header has columns")
    image, name = (row[column].strip() for column in NAMES)
    if not image or not re.fullmatch(r"[\w.-]+", name):
        raise ValueError(
            f"{where}: expected an image and the name of an object, of letters, digits, '.', '-' "
            f"and '_', found {image!r} and {name!r}"
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
    """A row's box or point; None where all its columns are empty or not in the file."""
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
    """An object from a box (x0, y0, x1, y1) and points (x, y, label); either may be absent."""
    if not points:
        return ObjectPrompt(box=box)
    clicks = np.array(points, np.float32)
    return ObjectPrompt(points=clicks[:, :2], labels=clicks[:, 2], box=box)
