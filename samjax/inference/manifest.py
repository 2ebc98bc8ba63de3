"""Manifest of a folder of predictions: its files, and their images, model and prompts.

`predictions.json` is written at the end of a run; until then a journal beside it grows with the
masks. A file is named in it before it is written, so every mask is in the journal or the manifest.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from samjax.data import files, journal
from samjax.data.files import DataError
from samjax.data.metadata import read_json

MANIFEST = "predictions.json"
JOURNAL = "predictions.unfinished.jsonl"
ADVICE = "Take another --out, or --overwrite to replace what is there"

Entry = dict[str, Any]


class Manifest:
    """Manifest of a folder, updated while images are predicted.

    Attributes:
        images: Entries of the finished images, by the image's name.
        failed: Error messages, by the image's name.
    """

    def __init__(self, out: Path, run: dict[str, Any], overwrite: bool = False) -> None:
        """Reads the results of earlier runs in a folder.

        Args:
            out: Folder of the results.
            run: Settings that all results of a folder share: the model and how it is used.
            overwrite: Ignore earlier results; their files are deleted with the first new one.

        Raises:
            DataError: Earlier results have other settings (the message names them), or the file
                `predictions.json` is not one of samjax.
        """
        self.images: dict[str, Entry] = {}
        self.failed: dict[str, str] = {}
        self._out, self._run = out, run
        self._stale: set[str] = set()
        content = _read(out)
        if content is None and (out / MANIFEST).exists():
            raise DataError(f"{out / MANIFEST}: expected a manifest of samjax. Take another --out")
        if overwrite:
            self._stale = result_files(out)
            self._journal = journal.Journal(out / JOURNAL, run, ADVICE, afresh=True)
            return
        if content is not None:
            journal.check_same(content.get("run", {}), self._run, str(out / MANIFEST), ADVICE)
            self.images, self.failed = dict(content["images"]), dict(content["failed"])
        self._journal = journal.Journal(out / JOURNAL, run, ADVICE)
        for row in self._journal.rows:
            if "entry" in row:
                self.images[row["image"]] = row["entry"]
                self.failed.pop(row["image"], None)

    def __enter__(self) -> "Manifest":
        return self

    def __exit__(self, *error: object) -> None:
        self._journal.close()

    def check_prompts(self, image: str, prompts: list[Entry]) -> None:
        """Checks that existing results of an image have the same prompts.

        Args:
            image: Name of the image.
            prompts: Prompts of its objects, as `entry_prompts` returns them.

        Raises:
            DataError: They have others.
        """
        if image in self.images:
            earlier = [entry_prompts(entry) for entry in self.images[image]["objects"]]
            if earlier != json.loads(json.dumps(prompts)):
                raise DataError(
                    f"{self._out}: expected results of {image} with these prompts, found some with "
                    f"others. {ADVICE}"
                )

    def check_targets(self, names: Mapping[str, Iterable[str]]) -> None:
        """Checks that files to be written replace only results of the same image.

        Args:
            names: Names of the files to write, by the image's name.

        Raises:
            DataError: A result of another image, or a file of another program, has such a name.
        """
        owner = {file: name for name, entry in self.images.items() for file in entry_files(entry)}
        known = result_files(self._out)
        for image, targets in names.items():
            for target in targets:
                if owner.get(target, image) != image:
                    raise DataError(
                        f"{self._out / target}: expected room for a result of {image}, found that "
                        f"of {owner[target]}. {ADVICE}"
                    )
                if target not in known and os.path.lexists(self._out / target):
                    raise DataError(
                        f"{self._out / target}: expected room for a result of {image}, found a "
                        "file that no manifest here names. Take another --out, or move it away"
                    )

    def is_done(self, image: str, content: str) -> bool:
        """Whether all result files of an image exist.

        Args:
            image: Name of the image.
            content: Fingerprint of its pixels (`samjax.data.fingerprint`).

        Raises:
            DataError: They are results of another image of that name.
        """
        entry = self.images.get(image)
        if entry is None:
            return False
        if entry["content"] != content:
            raise DataError(
                f"expected the image whose results are in {self._out} ({entry['content']}), found "
                f"another ({content}). {ADVICE}"
            )
        return all((self._out / file).exists() for file in entry_files(entry))

    def start(self, image: str, targets: list[str]) -> None:
        """Adds the files that are about to be written to the journal."""
        self._delete_stale()
        self._journal.add({"image": image, "begun": targets})

    def add(self, image: str, entry: Entry) -> None:
        """Adds the entry of a finished image."""
        self._journal.add({"image": image, "entry": entry})
        self.images[image] = entry
        self.failed.pop(image, None)

    def write(self, metadata: Mapping[str, Any]) -> None:
        """Writes `predictions.json`, with some metadata of the run, and removes the journal."""
        self._delete_stale()
        content = {**metadata, "run": self._run, "images": self.images, "failed": self.failed}
        encoded = json.dumps(content, indent=1, ensure_ascii=False).encode() + b"\n"
        files.write_whole(self._out / MANIFEST, encoded)
        self._journal.remove()

    def _delete_stale(self) -> None:
        for file in sorted(self._stale):
            (self._out / file).unlink(missing_ok=True)
        if self._stale:
            (self._out / MANIFEST).unlink(missing_ok=True)
            self._stale = set()


def result_files(out: Path) -> set[str]:
    """Returns the paths of results in a folder, as its manifest and its journal name them."""
    content = _read(out) or {"images": {}}
    names = set(content.get("shared", ()))
    for entry in content["images"].values():
        names.update(entry_files(entry))
    for row in journal.rows_of(out / JOURNAL):
        names.update(row.get("begun", ()))
    return {name for name in names if ".." not in Path(name).parts and not os.path.isabs(name)}


def _read(out: Path) -> dict[str, Any] | None:
    """Reads the manifest of a folder; None if there is none, or a file of another program."""
    try:
        content = read_json(out / MANIFEST)
    except (OSError, DataError):
        return None
    return content if {"samjax", "images", "failed"} <= content.keys() else None


def entry_files(entry: Entry) -> list[str]:
    """Returns the file names in an image's entry."""
    names = [entry[kind] for kind in ("overlay", "class_map", "label_map") if kind in entry]
    for item in entry["objects"]:
        names += [*item["masks"], *([item["uncertainty"]] if "uncertainty" in item else [])]
    return names


def entry_prompts(entry: Entry) -> Entry:
    """Returns the prompts in an object's entry, without its results."""
    return {name: entry[name] for name in ("object", "box", "points") if name in entry}
