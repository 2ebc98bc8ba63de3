"""Writes the target: the files of every case, a journal entry for it, and the indexes over all.

A case's entry in the journal is written after its files, and the indexes after all entries, each
whole or not at all. After an interruption the target is valid, and the next run continues.
"""

import contextlib
import dataclasses
import hashlib
import itertools
import json
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from samjax.curation import table_writers
from samjax.curation.case import CaseSource
from samjax.curation.curate import Counts, ManifestRow
from samjax.curation.options import CurationOptions
from samjax.data import index, metadata
from samjax.data.files import DataError, write_whole

CASES = ".cases"
CLASSES = metadata.CLASSES
MANIFEST = metadata.MANIFEST
PARQUET = "manifest.parquet"
REPORT = "report.json"
INDEXES = (
    (table_writers.json_object, index.FOLDER),
    (table_writers.json_object, "image2label_train.json"),
    (table_writers.json_object, "label2image_test.json"),
    (table_writers.csv_table, MANIFEST),
    (table_writers.parquet_table, PARQUET),
)
_KEYS = {"counts": "tally", "files": "made"}  # Names in the journal that differ from ours.
VERSION = 2  # Version of rules and formats: cases of another version are made again.


@dataclasses.dataclass(frozen=True)
class StoredFile:
    """A file of the target as it was written.

    Attributes:
        size: Number of bytes.
        digest: Digest of its content.
    """

    size: int
    digest: str

    @classmethod
    def of(cls, content: bytes) -> "StoredFile":
        """Describes a file of that content."""
        return cls(len(content), hashlib.blake2b(content, digest_size=16).hexdigest())


@dataclasses.dataclass(frozen=True)
class StoredCase:
    """Entry of a curated case in the journal.

    Attributes:
        case: Name of the case.
        fingerprint: Fingerprint of its source files and of the options.
        rows: Manifest rows of its masks.
        counts: Numbers of slices and objects kept and left out.
        files: Files of the case, by path relative to the target.
    """

    case: str
    fingerprint: str
    rows: tuple[ManifestRow, ...]
    counts: Counts
    files: Mapping[str, StoredFile]


def fingerprint(root: Path, source: CaseSource, options: CurationOptions) -> str:
    """Returns a digest of all inputs of a case; of files, size and time of change are used.

    Raises:
        DataError: A file is missing.
    """
    digest = hashlib.sha256()
    described = (
        VERSION,
        dataclasses.asdict(source),
        options.axes,
        options.orientation,
        options.smallest_share,
    )
    digest.update(json.dumps(described, sort_keys=True).encode())
    for path in (*source.images, *(path for path, _ in source.labels)):
        try:
            state = (root / path).stat()
        except OSError as error:
            raise DataError(f"{root / path}: cannot be read: {error.strerror}") from error
        digest.update(f"{state.st_size} {state.st_mtime_ns} ".encode())
    return digest.hexdigest()


def read_case(target: Path, case: str) -> StoredCase | None:
    """Reads a case's entry in the journal; returns None if it is missing or unusable."""
    try:
        content = json.loads(_path(target, case).read_text(encoding="utf-8"))
        rows = tuple(ManifestRow(**row) for row in content["rows"])
        files = {path: StoredFile(**one) for path, one in content["made"].items()}
        counts = Counts(**content["tally"])
        return StoredCase(content["case"], content["fingerprint"], rows, counts, files)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write_case(target: Path, case: StoredCase) -> None:
    """Writes the journal entry of a case, after its files."""
    content = dataclasses.asdict(case)
    content = {_KEYS.get(name, name): value for name, value in content.items()}
    write_whole(_path(target, case.case), json.dumps(content, indent=1).encode())


def remove(target: Path, case: str) -> None:
    """Removes a case, its entry first; a file that someone has changed is kept as `X.before`."""
    stored = read_case(target, case)
    changed = () if stored is None else damaged(target, stored, absent=False)
    _path(target, case).unlink(missing_ok=True)
    for path in changed:
        (target / path).replace(target / f"{path}.before")
    if stored:
        remove_files(target, stored.files)


def remove_files(target: Path, paths: Iterable[str]) -> None:
    """Removes files of the target that exist."""
    for path in paths:
        (target / path).unlink(missing_ok=True)


def damaged(target: Path, stored: StoredCase, absent: bool = True) -> list[str]:
    """Returns files of a case that were changed or removed since.

    Contents are only read if a file is newer than the case's entry.

    Args:
        target: Target folder.
        stored: Entry of the case.
        absent: Whether to include missing and empty files, not only changed ones.
    """
    since = _path(target, stored.case).stat().st_mtime_ns
    found = []
    for path, file in stored.files.items():
        try:
            state = (target / path).stat()
            if state.st_size == 0:
                raise FileNotFoundError
            whole = state.st_size == file.size and (
                state.st_mtime_ns < since or StoredFile.of((target / path).read_bytes()) == file
            )
            if not whole:
                found.append(path)
        except OSError:
            if absent:
                found.append(path)
    return found


def cases(target: Path) -> list[str]:
    """Returns the names of all cases in the journal."""
    return sorted(path.name.removesuffix(".json") for path in (target / CASES).glob("*.json"))


def number_classes(target: Path, names: Iterable[str]) -> dict[str, int]:
    """Numbers the classes: existing numbers of the target stay, new ones follow.

    Raises:
        DataError: The target's table cannot be read.
    """
    path = target / CLASSES
    numbers = (
        {name: int(n) for name, n in metadata.read_json(path).items()} if path.exists() else {}
    )
    highest = max(numbers.values(), default=0)
    for number, name in enumerate(sorted(set(names) - set(numbers)), start=highest + 1):
        numbers[name] = number
    return numbers


def write_classes(target: Path, numbers: Mapping[str, int]) -> None:
    """Writes the table of classes, to which the names of masks refer: before any mask."""
    ordered = dict(sorted(numbers.items(), key=lambda item: item[1]))
    write_whole(target / CLASSES, json.dumps(ordered, indent=1).encode())


def remove_indexes(target: Path) -> None:
    """Removes the indexes, when no mask is left."""
    remove_files(target, (name for _, name in INDEXES))


def write_indexes(
    target: Path, names: Sequence[str], options: CurationOptions, taken_out: Container[str] = ()
) -> tuple[dict[str, int], int]:
    """Splits the images and writes both JSON indexes and the manifest.

    Entries are read one after the other; only the subjects' names are held for all cases.

    Args:
        target: Target folder.
        names: Names of the cases, in order.
        options: Options of the split.
        taken_out: Images and masks to leave out of the indexes; the split does not depend on them.

    Returns:
        Number of images in each split, and of their masks.
    """
    whole: dict[str, index.Sample] = {}
    for name in names:
        for row in _rows(target, name):
            part = _group(row, options)
            whole.setdefault(part, index.Sample("", (), row.dataset, row.subject, part))
    test: Sequence[index.Sample] = ()
    if len(whole) > 1:
        _, test = index.hold_out([*whole.values()], options.test_fraction, options.seed)
    held = {sample.subject for sample in test}
    images_in, masks_in_all = {"train": 0, "test": 0}, 0
    with contextlib.ExitStack() as stack:
        everything, by_image, by_mask, table, parquet = (
            stack.enter_context(writer(target / name)) for writer, name in INDEXES
        )
        for name in names:
            for image, group in itertools.groupby(_rows(target, name, taken_out), _image):
                rows = [*group]
                masks = [row.mask for row in rows]
                split = "test" if _group(rows[0], options) in held else "train"
                images_in[split] += 1
                masks_in_all += len(masks)
                everything(image, masks)
                if split == "train":
                    by_image(image, masks)
                else:
                    for mask in masks:
                        by_mask(mask, image)
                for row in rows:
                    columns = {**_columns(row), "split": split}
                    table(columns)
                    parquet(columns)
    return images_in, masks_in_all


def write_report(target: Path, content: Mapping[str, Any]) -> None:
    """Writes the report of a run."""
    write_whole(target / REPORT, json.dumps(content, indent=1).encode())


def _columns(row: ManifestRow) -> dict[str, Any]:
    columns = dataclasses.asdict(row)
    columns["class"] = columns.pop("class_name")  # As in `split.csv`.
    return columns


def _path(target: Path, case: str) -> Path:
    return target / CASES / f"{case}.json"


def _image(row: ManifestRow) -> str:
    return row.image


def _rows(target: Path, name: str, taken_out: Container[str] = ()) -> list[ManifestRow]:
    stored = read_case(target, name)
    rows = stored.rows if stored else ()
    return [row for row in rows if row.image not in taken_out and row.mask not in taken_out]


def _group(row: ManifestRow, options: CurationOptions) -> str:
    """Returns the group of a mask, which is not split: its subject or its slice.

    One name in several datasets may be one patient, in CT and in MR. A slice may be several
    images, one for each window.
    """
    if options.split_by == "subject":
        return row.subject
    return f"{row.source_image} {row.axis} {row.slice}"
