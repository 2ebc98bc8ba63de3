"""Options of a curation: parameters of the rules, and descriptions of the folders."""

import dataclasses
import functools
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from samjax.curation import rules
from samjax.data import metadata
from samjax.data.files import DataError

FORMATS = ("pictures", "nifti", "itk", "dicom", "nnunet", "coco", "sam_med2d")
LABELS = ("classes", "instances", "binary", "alpha")
Label = int | str  # A value, or a colour `#rrggbb`.
ORIENTATION = ("anatomical", "stored")
SPLIT_BY = ("subject", "image")
BY_ORGAN = "organ"  # A window for each class.


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Description of a folder: facts that cannot be read from its files.

    Attributes:
        folder: Path relative to the source; `.` for all of it. Of several folders with a file
            the deepest is used.
        name: Name of the dataset; default: the folder's.
        format: One of `FORMATS`, if it cannot be detected.
        modality: Token of the modality in file names, such as `ct` or `mr_t1`.
        anatomy: Part of the body.
        files: Regular expression for the paths below the folder that this applies to; default: all.
        skip: Regular expression for the paths that are neither image nor label.
        images: Pattern of the images below the folder, such as `images/*.png`.
        labels: Pattern of an image's labels, with `{stem}` for the image's name without suffix
            or `{id}` for what `match` finds in it.
        match: Regular expression whose first group in the image's path is `{id}`.
        subject: Regular expression whose first group in the image's path is the subject.
        kind: Meaning of the pixels of labels: `classes`, `instances` (each value an object of the
            one class), `binary` or `alpha` (a mask in the alpha channel); default: detected.
        classes: Value, or colour `#rrggbb`, of every class, or several that are the class
            together; one alone names a binary mask.
        background: Value or colour of the background, or several; `none`: every value is a class.
        ignore: Values or colours that are left out.
        class_name: Name of the only class.
        rename: New class by a regular expression that matches the whole name of a label; the
            first match is used, and an empty class leaves the label out.
        window: Window of intensities: two numbers, a name of `rules.WINDOWS`, `organ` (a window for
            each class, see `rules.window_of`) or a table of names by class (other classes keep the
            whole range). Names are for CT; other modalities keep their whole range. An image with
            classes of several windows becomes several images.
        percentiles: Range of intensities as two percentiles.
        rescale: Whether annotations made on a picture of another size (COCO) are scaled to it.
    """

    folder: str = "."
    name: str = ""
    format: str = ""
    modality: str = ""
    anatomy: str = ""
    files: str = ""
    skip: str = ""
    images: str = ""
    labels: str = ""
    match: str = ""
    subject: str = ""
    kind: str = ""
    classes: Mapping[str, Label | Sequence[Label]] = dataclasses.field(default_factory=dict)
    background: tuple[Label, ...] = ()
    ignore: tuple[Label, ...] = ()
    class_name: str = ""
    rename: Mapping[str, str] = dataclasses.field(default_factory=dict)
    window: tuple[float, float] | str | Mapping[str, str] | None = None
    percentiles: tuple[float, float] | None = None
    rescale: bool = False

    def __post_init__(self) -> None:
        for name, allowed in (("format", FORMATS), ("kind", LABELS)):
            value = getattr(self, name)
            if value and value not in allowed:
                raise ValueError(f"{name}: expected one of {allowed}, found {value!r}")
        for name, groups in (("files", 0), ("skip", 0), ("match", 1), ("subject", 1)):
            if pattern := getattr(self, name):
                _check_pattern(name, pattern, groups)
        for name in ("classes", "rename"):
            if not isinstance(getattr(self, name), Mapping):
                raise ValueError(f"{name}: expected a table, found {getattr(self, name)!r}")
        for pattern, value in self.rename.items():
            _check_pattern("rename", pattern)
            if not isinstance(value, str):
                raise ValueError(f"rename.{pattern}: expected text, found {value!r}")
        _check_window(self.window)
        for name in ("background", "ignore"):
            value = getattr(self, name)
            values = value if isinstance(value, tuple) else (value,)
            object.__setattr__(self, name, values)
            for one in values if values != ("none",) else ():
                _check_label(name, one, 0)
        for name, value in self.classes.items():
            for one in several(value):  # 0 is the background unless another value is.
                _check_label(f"classes.{name}", one, 0 if self.background else 1)

    def class_of(self, label: str) -> str:
        """Returns the class of a label by its name; empty if it is left out."""
        named = (name for pattern, name in self.rename.items() if re.fullmatch(pattern, label))
        return next(named, label)

    def bounds_of(self, modality: str) -> tuple[float, float] | None:
        """Returns the window, in numbers, of all classes without a window of their own.

        Named windows are in Hounsfield units, for CT and unknown modalities.
        """
        if isinstance(self.window, str):
            found = metadata.modality_of(modality)
            is_other = found != "ct" and found in metadata.MODALITIES.values()
            return None if is_other else rules.WINDOWS.get(self.window)
        return None if isinstance(self.window, Mapping) else self.window

    def window_of(self, class_name: str, modality: str) -> str:
        """Returns the name of a class's own window, of `rules.WINDOWS`; empty if it has none."""
        if metadata.modality_of(modality) != "ct":
            return ""
        if isinstance(self.window, Mapping):
            return self.window.get(class_name, "")
        return rules.window_of(class_name) if self.window == BY_ORGAN else ""


@dataclasses.dataclass(frozen=True)
class CurationOptions:
    """Options of a curation; the defaults are the paper's.

    Attributes:
        datasets: Descriptions of the source's folders.
        axes: Axes that volumes are cut across.
        orientation: `anatomical` (volumes are turned so that slices are seen as a radiologist
            does: x to the patient's left, y to the back, z to the feet) or `stored`.
        smallest_share: Smallest share of the image that a mask covers.
        test_fraction: Share of the subjects, or images, in the test split.
        split_by: `subject` (no subject is on both sides) or `image` (the paper).
        seed: Seed of the split.
        subject_pattern: Regular expression whose first group in an image's path is the subject,
            unless the folder's description has its own.
    """

    datasets: tuple[Dataset, ...] = ()
    axes: str = rules.AXES
    orientation: str = "anatomical"
    smallest_share: float = rules.SMALLEST_SHARE
    test_fraction: float = 0.2
    split_by: str = "subject"
    seed: int = 0
    subject_pattern: str = ""

    def __post_init__(self) -> None:
        if self.subject_pattern:
            _check_pattern("subject_pattern", self.subject_pattern, groups=1)
        if not self.axes or set(self.axes) - set(rules.AXES):
            raise ValueError(f"axes: expected some of {rules.AXES!r}, found {self.axes!r}")
        for name, allowed in (("orientation", ORIENTATION), ("split_by", SPLIT_BY)):
            if getattr(self, name) not in allowed:
                found = getattr(self, name)
                raise ValueError(f"{name}: expected one of {allowed}, found {found!r}")
        if not 0 <= self.smallest_share < 1:
            found = self.smallest_share
            raise ValueError(f"smallest_share: expected 0 to below 1, found {found}")
        if not 0 < self.test_fraction < 1:
            raise ValueError(
                f"test_fraction: expected a number between 0 and 1, found {self.test_fraction}"
            )

    def dataset_of(self, path: str) -> Dataset:
        """Returns the description of a file or folder, by its path relative to the source.

        Of several tables for a folder the first with a matching `files` is used, else the first.
        """
        parts = Path(path).parts
        holding = [d for d in self.datasets if _holds(d, parts)]
        return max(holding, key=lambda d: (len(_parts(d.folder)), bool(d.files)), default=Dataset())


def read_description(path: Path) -> tuple[Dataset, ...]:
    """Reads a TOML file with a `[[dataset]]` table for each described folder.

    Raises:
        DataError: The file cannot be read; the message names the field.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except ValueError as error:
        raise DataError(f"{path}: expected TOML, found: {error}") from error
    tables = content.get("dataset")
    if not isinstance(tables, list) or set(content) != {"dataset"}:
        raise DataError(f"{path}: expected only [[dataset]] tables, found {sorted(content)}")
    return tuple(_dataset(path, number, table) for number, table in enumerate(tables, start=1))


def _dataset(path: Path, number: int, table: Mapping[str, Any]) -> Dataset:
    where = f"{path}: dataset {number} ({table.get('folder', '?')})"
    known = {field.name for field in dataclasses.fields(Dataset)}
    if unknown := sorted(set(table) - known):
        raise DataError(f"{where}: expected some of {sorted(known)}, found {unknown}")
    fields: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in table.items()
    }
    for field in dataclasses.fields(Dataset):
        value = fields.get(field.name, "")
        if field.type is str and not isinstance(value, str):
            raise DataError(f"{where}: {field.name}: expected text, found {value!r}")
        if field.type is bool and not isinstance(fields.get(field.name, False), bool):
            raise DataError(f"{where}: {field.name}: expected true or false, found {value!r}")
    try:
        return Dataset(**fields)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: {error}") from error


@functools.cache
def _parts(folder: str) -> tuple[str, ...]:
    return Path(folder).parts


def _holds(dataset: Dataset, parts: Sequence[str]) -> bool:
    folder = _parts(dataset.folder)
    inside = tuple(parts[: len(folder)]) == folder
    below = "/".join(parts[len(folder) :])
    return inside and (not dataset.files or bool(re.search(dataset.files, below)))


def several(value: Label | Sequence[Label]) -> tuple[Label, ...]:
    """Returns the values of a class, one or several, as a tuple."""
    return (value,) if isinstance(value, int | str) else tuple(value)


def _check_label(name: str, value: object, first: int) -> None:
    colour = isinstance(value, str) and re.fullmatch("#[0-9a-fA-F]{6}", value)
    number = isinstance(value, int) and not isinstance(value, bool) and value >= first
    if not colour and not number:
        raise ValueError(
            f"{name}: expected a value from {first} or a colour like #ff0000, found {value!r}"
        )


def _check_window(window: object) -> None:
    names = {"window": window}
    allowed = [BY_ORGAN, *sorted(rules.WINDOWS)]
    if isinstance(window, Mapping):
        names = {f"window.{name}": value for name, value in window.items()}
        allowed = sorted(rules.WINDOWS)
    for name, value in names.items():
        if value is not None and not isinstance(value, tuple) and value not in allowed:
            raise ValueError(f"{name}: expected two numbers or one of {allowed}, found {value!r}")


def _check_pattern(name: str, pattern: str, groups: int = 0) -> None:
    try:
        found = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"{name}: expected a regular expression, found {error}") from error
    if found < groups:
        raise ValueError(f"{name}: expected a group in {pattern!r}, found none")
