"""Reads label names in label volumes: 3D Slicer's `.seg.nrrd`, tables in NIfTI."""

import html
import re
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from samjax.curation import class_table
from samjax.curation.case import LABEL, CaseError, LabelMap
from samjax.curation.options import Dataset

_SEGMENT = re.compile(r"Segment(\d+)_Name")
# Connectome Workbench's table, XML in an extension; TotalSegmentator writes it, too.
_ENTRY = re.compile(
    r'<Label\s[^>]*?\bKey="(\d+)"[^>]*>(?:<!\[CDATA\[)?(.*?)(?:\]\]>)?</Label>', re.S
)


def is_slicer(fields: Mapping[str, str]) -> bool:
    """Whether a file's fields describe Slicer's segments."""
    return any(_SEGMENT.fullmatch(key) for key in fields)


def of_slicer(
    values: np.ndarray, fields: Mapping[str, str]
) -> Iterator[tuple[np.ndarray, dict[int, str]]]:
    """Yields the overlapping layers of a `.seg.nrrd` with the names of their labels.

    Args:
        values: Labels, (x, y, z) or (x, y, z, layers).
        fields: Fields of the file, `Segment0_Name` and so on.

    Raises:
        CaseError: A segment refers to a missing layer.
    """
    layers = values if values.ndim == 4 else values[..., None]
    names: list[dict[int, str]] = [{} for _ in range(layers.shape[3])]
    numbers = sorted(int(found[1]) for key in fields if (found := _SEGMENT.fullmatch(key)))
    alone = len(numbers) == len(names) > 1  # Before Slicer 4.11 each had a layer and the label 1.
    for number in numbers:
        try:
            layer = int(fields.get(f"Segment{number}_Layer", number if alone else 0))
            value = int(fields.get(f"Segment{number}_LabelValue", 1 if alone else number + 1))
            names[layer][value] = fields[f"Segment{number}_Name"].strip()
        except (ValueError, IndexError) as error:
            raise CaseError(
                f"Segment{number}: expected a label in one of {len(names)} layers, found {error}"
            ) from error
    for layer, named in enumerate(names):
        yield layers[..., layer], named


def of_table(texts: Iterable[str]) -> dict[int, str]:
    """Returns the label names in a NIfTI file's extensions; empty if it has no table."""
    names: dict[int, str] = {}
    for text in texts:
        for number, name in _ENTRY.findall(text):
            if int(number) and name.strip().strip("?"):
                names[int(number)] = html.unescape(name.strip())
    return names


def label_map(values: np.ndarray, names: Mapping[int, str], known: Dataset) -> LabelMap:
    """Makes a label map by the file's names, without labels that a table does not select.

    Raises:
        CaseError: A label is not a whole number.
    """
    labels = np.unique(values)
    if not np.array_equal(labels, np.rint(labels)):
        raise CaseError(f"expected whole numbers as labels, found {labels[labels % 1 != 0][0]:g}")
    present = {int(value): names.get(int(value), "") for value in labels if value}
    named = {n: name or LABEL.format(n) for n, name in present.items()}
    chosen = class_table.chosen(named, known.classes)
    missing = [number for number in present if number not in chosen]
    selected = np.where(np.isin(values, missing), 0, values) if missing else values
    return LabelMap(selected.astype(np.int32), chosen, unnamed=len(missing))
