"""Reads modality, subject, class and more of a mask from file names and the folder's tables."""

import csv
import dataclasses
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from samjax.data import subjects
from samjax.data.files import DataError

UNKNOWN = "unknown"
CLASSES = "SAMed2D_v1_class_mapping_id.json"
TABLE = "split.csv"
_NO_SLICE = "x_0000"  # End of the names of images that are no slice of a volume.
MANIFEST = "manifest.csv"  # `samjax data prepare` writes it instead of `split.csv`.

# The ten modalities of the SAM-Med2D paper, and the first words of the tokens that name them.
MODALITIES = {
    "ct": "ct",
    "mr": "mr",
    "mri": "mr",
    "pet": "pet",
    "x_ray": "x_ray",
    "xray": "x_ray",
    "ultrasound": "ultrasound",
    "us": "ultrasound",
    "dermoscopy": "dermoscopy",
    "endoscopy": "endoscopy",
    "fundus": "fundus_photography",
    "histopathology": "histopathology",
    "microscopy": "microscopy",
}


@dataclasses.dataclass(frozen=True)
class Metadata:
    """Metadata of a mask; `unknown` where there is no information.

    Attributes:
        modality: One of the paper's ten modalities, or the token of the file's name.
        dataset: The collection that the image comes from.
        case: The subject: a patient, volume or video. Never on both sides of a split.
        class_name: Class of the object.
        anatomy: Part of the body.
        axis: Axis that a slice was cut across.
        slice: Number of the slice along it.
        row_spacing: Distance of rows, mm; 0 if unknown, as for the other two.
        column_spacing: Distance of columns, mm.
        slice_spacing: Distance of slices, mm.
    """

    modality: str = UNKNOWN
    dataset: str = UNKNOWN
    case: str = UNKNOWN
    class_name: str = UNKNOWN
    anatomy: str = UNKNOWN
    axis: str = UNKNOWN
    slice: int = 0
    row_spacing: float = 0.0
    column_spacing: float = 0.0
    slice_spacing: float = 0.0

    @property
    def spacing(self) -> tuple[float, float] | None:
        """Returns the distance of rows and of columns, mm; None if unknown."""
        known = self.row_spacing > 0 and self.column_spacing > 0
        return (self.row_spacing, self.column_spacing) if known else None

    @property
    def volume_spacing(self) -> tuple[float, float, float] | None:
        """Returns the distance of slices, rows and columns, mm; None for no slice of a volume."""
        if self.spacing is None or self.slice_spacing <= 0 or self.axis == UNKNOWN:
            return None
        return (self.slice_spacing, *self.spacing)

    def replaced(self, fields: Mapping[str, str]) -> "Metadata":
        """Returns the metadata with some fields from text, as a table has them.

        Raises:
            ValueError: A field that is a number has another text.
        """
        kinds = {field.name: type(field.default) for field in dataclasses.fields(self)}
        found: dict[str, Any] = {}
        for name, text in fields.items():
            try:
                found[name] = kinds[name](text)
            except ValueError:
                wanted = kinds[name].__name__
                raise ValueError(f"{name}: expected a {wanted}, found {text!r}") from None
        return dataclasses.replace(self, **found)


def of_image(image: str) -> Metadata:
    """Reads modality, dataset and case from an image's name.

    SA-Med2D-20M names are `<modality>_<sub>--<dataset>--<case>--<axis>_<slice>`, SAM-Med2D names
    `<case>_<slice>`. A name of neither kind is its own case.
    """
    stem = _stem(image)
    parts = stem.split("--")
    if len(parts) >= 4:
        found = Metadata(modality_of(parts[0]), parts[1], "--".join(parts[2:-1]))
        axis, _, number = parts[-1].rpartition("_")
        if parts[-1] == _NO_SLICE or not axis or not number.isdecimal():
            return found
        return dataclasses.replace(found, axis=axis, slice=int(number))
    case, _, slice_number = stem.rpartition("_")
    return Metadata(case=case if case and slice_number.isdecimal() else stem)


def cases_of(images: Iterable[str]) -> dict[str, str]:
    """Finds the case of every image of a folder by all their names.

    As `of_image`, but of names by themselves (see `samjax.data.subjects`), and of the cases of
    SA-Med2D-20M's names, several may be slices of one.
    """
    found: dict[str, str] = {}
    parts = {image: _stem(image).split("--") for image in images}
    if len(parts) == 1:  # There is no other name to compare it with.
        return {image: of_image(image).case for image in parts}
    named = {image: of for image, of in parts.items() if len(of) >= 4}
    volumes = {(*of[:2], *of[2:-1]) for of in named.values() if of[-1] != _NO_SLICE}
    of_dataset: dict[str, dict[str, str]] = {}
    for image, of in named.items():
        suffix = ".nii" if (*of[:2], *of[2:-1]) in volumes else ".png"
        of_dataset.setdefault(of[1], {})[image] = "--".join(of[2:-1]) + suffix
    for paths in of_dataset.values():
        by_path = subjects.subjects(paths.values())
        found |= {image: by_path[path].name for image, path in paths.items()}
    others = [image for image in parts if image not in named]
    is_outside = bool(others) and all(map(os.path.isabs, others))
    outside = os.path.commonpath([*map(os.path.dirname, others)]) if is_outside else ""
    inner = {image: os.path.relpath(image, outside) if outside else image for image in others}
    by_path = subjects.subjects(inner.values())
    found |= {image: by_path[path].name for image, path in inner.items()}
    return {image: found[image] or of_image(image).case for image in parts}


def of_mask(image: str, mask: str, class_names: Mapping[int, str]) -> Metadata:
    """Reads the metadata of a mask from its name and that of its image.

    Args:
        image: Path of the image.
        mask: Path of the mask: `<image stem>--<class id>_<component>` (SA-Med2D-20M) or
            `<image stem>_<class>_<component>` (SAM-Med2D).
        class_names: Names by SA-Med2D-20M's class number.
    """
    found = of_image(image)
    stem, mask_stem = _stem(image), _stem(mask)
    if not mask_stem.startswith(stem):
        return found
    name, _, component = mask_stem[len(stem) :].lstrip("-_").rpartition("_")
    if not component.isdecimal():
        return found
    if name.isdecimal():
        name = class_names.get(int(name), name)
    return dataclasses.replace(found, class_name=name or UNKNOWN)


def modality_of(token: str) -> str:
    """Returns the paper's modality for a token such as `mr_t1`; an unknown one as it is."""
    words = token.lower().split("_")
    for count in (2, 1):
        modality = MODALITIES.get("_".join(words[:count]))
        if modality:
            return modality
    return token


def describe_masks(root: Path, masks: Iterable[tuple[str, str]]) -> dict[str, Metadata]:
    """Describes masks by `split.csv` where the folder has one, otherwise by their names.

    Args:
        root: The data folder.
        masks: Pairs (image, mask) of paths relative to it.

    Returns:
        Metadata by mask path.

    Raises:
        DataError: A table of the folder cannot be read.
    """
    class_names = _load_class_names(root)
    pairs = [*masks]
    cases = cases_of(image for image, _ in pairs)
    found = {
        mask: dataclasses.replace(of_mask(image, mask, class_names), case=cases[image])
        for image, mask in pairs
    }
    for row in read_table(root):
        if (mask := row["mask"]) in found:
            try:
                found[mask] = _with_row(found[mask], row)
            except ValueError as error:
                raise DataError(f"{root}: row of {mask}: {error}") from error
    return found


def read_table(root: Path) -> Iterator[dict[str, str]]:
    """Yields the rows of `split.csv` or `manifest.csv`, one per mask; none if neither exists.

    A table of millions of rows is never in memory as a whole.

    Raises:
        DataError: The table lacks the columns image and mask, or a row has other columns.
    """
    path = next((root / name for name in (TABLE, MANIFEST) if (root / name).exists()), None)
    if path is None:
        return
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(_text(path, file))
        columns = next(reader, [])
        if not {"image", "mask"} <= set(columns):
            raise DataError(f"{path}: expected the columns image and mask, found {columns}")
        for row in filter(None, reader):
            if len(row) != len(columns):
                raise DataError(
                    f"{path}: line {reader.line_num}: expected {len(columns)} columns, "
                    f"found {len(row)}"
                )
            yield dict(zip(columns, row, strict=True))


def _text(path: Path, lines: Iterable[str]) -> Iterator[str]:
    """Yields the lines of a file; raises `DataError` if they are not UTF-8."""
    try:
        yield from lines
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected text in UTF-8, found: {error}") from error


def read_json(path: Path, distinct: bool = False) -> dict[str, Any]:
    """Reads a JSON object.

    Args:
        path: The file.
        distinct: Refuse a name that occurs twice, of which one would be lost silently.

    Raises:
        DataError: The file holds something else, or a name twice where that is refused.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            twice = next(n for n, count in Counter(name for name, _ in pairs).items() if count > 1)
            raise DataError(f"{path}: expected every name once, found {twice!r} twice")
        return found

    try:
        text = path.read_text(encoding="utf-8-sig")  # Editors of Windows write a byte order mark.
        content = json.loads(text, object_pairs_hook=once if distinct else None)
    except DataError:
        raise
    except ValueError as error:
        raise DataError(f"{path}: expected JSON, found: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected a JSON object, found a {type(content).__name__}")
    return content


def read_items(path: Path) -> list[tuple[str, Any]]:
    """Reads a JSON object as pairs of name and value, in order, with repeated names.

    Raises:
        DataError: The file holds something else.
    """
    read_json(path)
    return json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=list)


def _stem(path: str) -> str:
    """Returns the stem of a path, ten times faster than `PurePosixPath.stem`."""
    name = path.rpartition("/")[2]
    return name.rpartition(".")[0] or name


def _with_row(found: Metadata, row: Mapping[str, str]) -> Metadata:
    """Replaces the fields that a row of the table gives."""
    columns = {
        "modality": "modality",
        "dataset": "dataset",
        "case": "case",
        "subject": "case",
        "class": "class_name",
        "anatomy": "anatomy",
        "axis": "axis",
        "slice": "slice",
        "row_spacing": "row_spacing",
        "column_spacing": "column_spacing",
        "slice_spacing": "slice_spacing",
    }
    known = {field: row[column] for column, field in columns.items() if row.get(column)}
    return found.replaced(known)


def _load_class_names(root: Path) -> dict[int, str]:
    path = root / CLASSES
    if not path.exists():
        return {}
    try:
        return {int(number): name for name, number in read_json(path).items()}
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: expected class name -> number, found: {error}") from error
