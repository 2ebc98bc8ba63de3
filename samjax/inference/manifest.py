"""The record of a folder of predictions: what is there, of which image, model and prompts.

`predictions.json` is written at the end of a run; until then a journal beside it grows with the
masks. A file is named there before it is written: no mask is ever without a record.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from samjax.data import files, journal
from samjax.data.files import DataError
from samjax.data.metadata import read_json

RECORD = "predictions.json"
JOURNAL = "predictions.unfinished.jsonl"
ADVICE = "Take another --out, or --overwrite to replace what is there"

Entry = dict[str, Any]


class Record:
    """The record of a folder, kept while images are predicted.

    Attributes:
        images: Entries of what is done, by the image's name.
        failed: What went wrong, by the image's name.
    """

    def __init__(self, out: Path, run: dict[str, Any], overwrite: bool = False) -> None:
        """Reads what earlier runs have left in a folder.

        Args:
            out: The folder.
            run: What makes results comparable: the model and how it is used.
            overwrite: Forget what they left; their files are deleted with the first new result.

        Raises:
            DataError: They were made otherwise; the message says in what.
        """
        self.images: dict[str, Entry] = {}
        self.failed: dict[str, str] = {}
        self._out, self._run = out, run
        self._stale: set[str] = set()
        record = _read(out)
        if record is None and (out / RECORD).exists():
            raise DataError(f"{out / RECORD}: expected a record of samjax. Take another --out")
        if overwrite:
            self._stale = results(out)
            self._journal = journal.Journal(out / JOURNAL, run, ADVICE, afresh=True)
            return
        if record is not None:
            journal.check_same(record.get("run", {}), self._run, str(out / RECORD), ADVICE)
            self.images, self.failed = dict(record["images"]), dict(record["failed"])
        self._journal = journal.Journal(out / JOURNAL, run, ADVICE)
        for row in self._journal.rows:
            if "entry" in row:
                self.images[row["image"]] = row["entry"]
                self.failed.pop(row["image"], None)

    def __enter__(self) -> "Record":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._journal.__exit__(kind, error, traceback)

    def check_prompts(self, image: str, prompts: list[Entry]) -> None:
        """Checks that what is done of an image was done with the same prompts.

        Raises:
            DataError: It was not.
        """
        if image in self.images:
            then = [prompts_of(one) for one in self.images[image]["objects"]]
            if then != json.loads(json.dumps(prompts)):
                raise DataError(
                    f"{self._out}: expected results of {image} with these prompts, found some with "
                    f"others. {ADVICE}"
                )

    def check_targets(self, names: Mapping[str, Iterable[str]]) -> None:
        """Checks that files to be written replace nothing but what the record knows of.

        Args:
            names: Files of every image.

        Raises:
            DataError: Another image's result, or a file of somebody else has such a name.
        """
        owner = {file: name for name, entry in self.images.items() for file in files_of(entry)}
        ours = results(self._out)
        for image, targets in names.items():
            for target in targets:
                if owner.get(target, image) != image:
                    raise DataError(
                        f"{self._out / target}: expected room for a result of {image}, found that "
                        f"of {owner[target]}. {ADVICE}"
                    )
                if target not in ours and os.path.lexists(self._out / target):
                    raise DataError(
                        f"{self._out / target}: expected room for a result of {image}, found a "
                        "file that no record here names. Take another --out, or move it away"
                    )

    def is_done(self, image: str, content: str) -> bool:
        """Whether an image's results are there, whole.

        Args:
            image: Its name.
            content: What it holds (`samjax.data.fingerprint`).

        Raises:
            DataError: They are those of another image of that name.
        """
        entry = self.images.get(image)
        if entry is None:
            return False
        if entry["content"] != content:
            raise DataError(
                f"expected the image whose results are in {self._out} ({entry['content']}), found "
                f"another ({content}). {ADVICE}"
            )
        return all((self._out / file).exists() for file in files_of(entry))

    def begin(self, image: str, targets: list[str]) -> None:
        """Says which files are about to be written."""
        self._delete_stale()
        self._journal.add({"image": image, "begun": targets})

    def add(self, image: str, entry: Entry) -> None:
        """Says that an image is done."""
        self._journal.add({"image": image, "entry": entry})
        self.images[image] = entry
        self.failed.pop(image, None)

    def write(self, about: Mapping[str, Any]) -> None:
        """Writes `predictions.json`, with some words about the run, and forgets the journal."""
        self._delete_stale()
        content = {**about, "run": self._run, "images": self.images, "failed": self.failed}
        encoded = json.dumps(content, indent=1, ensure_ascii=False).encode() + b"\n"
        files.write_whole(self._out / RECORD, encoded)
        self._journal.remove()

    def _delete_stale(self) -> None:
        for file in sorted(self._stale):
            (self._out / file).unlink(missing_ok=True)
        if self._stale:
            (self._out / RECORD).unlink(missing_ok=True)
            self._stale = set()


def results(out: Path) -> set[str]:
    """Files of results in a folder, as its record and its journal name them."""
    found: set[str] = set()
    for entry in (_read(out) or {"images": {}})["images"].values():
        found.update(files_of(entry))
    for row in journal.rows_of(out / JOURNAL):
        found.update(row.get("begun", ()))
    return {name for name in found if ".." not in Path(name).parts and not os.path.isabs(name)}


def _read(out: Path) -> dict[str, Any] | None:
    """The record of a folder; None where there is none, or somebody else's file of that name."""
    try:
        record = read_json(out / RECORD)
    except (OSError, DataError):
        return None
    return record if {"samjax", "images", "failed"} <= record.keys() else None


def files_of(entry: Entry) -> list[str]:
    """The files that an image's entry names."""
    return [entry["overlay"], *(mask for one in entry["objects"] for mask in one["masks"])]


def prompts_of(entry: Entry) -> Entry:
    """What an object's entry says of its prompts."""
    return {name: entry[name] for name in ("object", "box", "points") if name in entry}
