"""Reads tables of classes beside the data: `labels.json`."""

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from samjax.curation.case import CaseError
from samjax.curation.options import Dataset, several

NAME = "labels.json"
_BACKGROUND = re.compile(r"(?i)_*(back_?ground|bg|none|nothing|empty|clear)_*")
_IGNORE = re.compile(r"(?i)_*(ignored?|ignore_?label|void|unlabell?ed|don'?t_?care)_*")


def with_table(root: Path, files: Iterable[str], known: Dataset) -> Dataset:
    """Adds the classes of the nearest `labels.json`: beside an image or its labels, or above.

    It maps names to labels or labels to names; a label is a number, `#rrggbb` or three numbers of
    red, green and blue. See `with_classes` for the background and for what is ignored.

    Args:
        root: The source: the uppermost folder that is searched.
        files: Paths of an image and its labels.
        known: Description of them; its classes take precedence over a table's.

    Raises:
        CaseError: The file is not such a table.
    """
    folders = {PurePosixPath(".")}.union(*(PurePosixPath(path).parents for path in files))
    near = sorted(folders, key=lambda folder: (-len(folder.parts), folder))
    table = next((t for folder in near if (t := root / folder / NAME).is_file()), None)
    if known.classes or table is None:
        return known
    try:
        content = json.loads(table.read_text(encoding="utf-8-sig"))
        if {"images", "annotations"} <= content.keys():  # Some tools name COCO's file so.
            return known
        swapped = any(_label(label) is None for label in content.values())
        pairs = ((label, name) if swapped else (name, label) for name, label in content.items())
        labels = [(str(name), _label(label)) for name, label in pairs]
        if any(label is None for _, label in labels):
            raise ValueError(content)
        return with_classes(known, [(n, (v,)) for n, v in labels if v is not None])
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise CaseError(
            f"{table}: expected class names and their labels, found: {error}"
        ) from error


def with_classes(known: Dataset, labels: Sequence[tuple[str, tuple[int | str, ...]]]) -> Dataset:
    """Adds named labels as classes; `background` and `ignore` are not classes.

    Number 0 and black are the background, unless another label has that name.
    """
    background = [v for name, values in labels if _BACKGROUND.fullmatch(name) for v in values]
    ignored = [v for name, values in labels if _IGNORE.fullmatch(name) for v in values]
    backgrounds = {*background} or {0, "#000000"}
    classes = {}
    for name, values in labels:
        remaining = tuple(v for v in values if v not in backgrounds and v not in ignored)
        if remaining:
            classes[name] = remaining[0] if len(remaining) == 1 else remaining
    elsewhere = {*background} - {0, "#000000"}
    return dataclasses.replace(
        known,
        classes=classes,
        background=known.background or (tuple(background) if elsewhere else ()),
        ignore=known.ignore or tuple(ignored),
    )


def _label(value: Any) -> int | str | None:
    """Returns a label as number or colour; None if it is neither."""
    if isinstance(value, list) and len(value) == 3:
        return "#" + bytes(value).hex()
    if isinstance(value, str) and re.fullmatch("#[0-9a-fA-F]{6}", value):
        return value.lower()
    if isinstance(value, int) or (isinstance(value, str) and value.isdecimal()):
        return int(value)
    return None


def chosen(names: Mapping[int, str], classes: Mapping[str, Any]) -> dict[int, str]:
    """Returns the selected labels, with their classes, of a file that names its labels itself.

    Numbers differ from file to file, names do not: a table of classes selects by name, and by
    number only if it has none of the names.

    Args:
        names: Name of every label.
        classes: Number of every class; all labels are selected if it is empty.
    """
    if not classes:
        return dict(names)
    taken = {number: name for number, name in names.items() if name in classes}
    by_number = {n: name for name, value in classes.items() for n in several(value)}
    return taken or {number: by_number[number] for number in names if number in by_number}
