"""Reads the bytes of images and masks from the ArrayRecord files of a data folder.

`samjax.data.records` writes these files.
"""

import functools
import hashlib
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np

LOOKUP = "lookup.npz"  # Number of the record that holds a path.


def find_bytes(path: str | os.PathLike[str]) -> bytes | None:
    """Returns the encoded bytes of an image or mask by its path; None if no record holds it."""
    folder, name = os.path.split(os.path.abspath(path))
    above, inside = _find_folder(folder)
    if above is None:
        return None
    lookup = (above / LOOKUP).stat()
    state = lookup.st_size, lookup.st_mtime_ns, lookup.st_ino
    return _open_folder(above, state).find_bytes(inside + name)


def hash_path(name: str) -> np.uint64:
    """Returns the hash of a path in the lookup."""
    return np.uint64(int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest()))


class _RecordFolder:
    """The records of one folder; safe to share between threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with np.load(folder / LOOKUP) as lookup:
            self._hashes, self._splits = lookup["hashes"], lookup["splits"]
            self._numbers, self._names = lookup["numbers"], lookup["names"].tolist()
        self._sources: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._last = threading.local()  # An image's masks are read after it, by one thread.

    def find_bytes(self, name: str) -> bytes | None:
        """Returns the bytes of a path relative to the folder; None if no record holds it."""
        wanted = hash_path(name)
        place = int(np.searchsorted(self._hashes, wanted))
        if place == len(self._hashes) or self._hashes[place] != wanted:
            return None
        where = self._names[self._splits[place]], int(self._numbers[place])
        if getattr(self._last, "where", None) != where:
            record = self._source(where[0])[where[1]]
            names = [bytes(n).decode() for n in (record["image_name"], *record["mask_names"])]
            self._last.files = dict(zip(names, (record["image"], *record["masks"]), strict=True))
            self._last.where = where
        return self._last.files.get(name)

    def _source(self, split: str) -> Any:
        with self._lock:
            if split not in self._sources:
                import tensorflow_datasets as tfds

                builder: Any = tfds.builder_from_directory(str(self._folder))
                self._sources[split] = builder.as_data_source(split)
            return self._sources[split]


def _find_folder(folder: str) -> tuple[Path | None, str]:
    """Returns the folder of records that a folder lies in, and its path below it, with a slash."""
    for above in (Path(folder), *Path(folder).parents):
        if (above / LOOKUP).is_file():
            inside = Path(folder).relative_to(above).as_posix()
            return above, "" if inside == "." else inside + "/"
    return None, ""


@functools.lru_cache(maxsize=8)
def _open_folder(folder: Path, state: tuple[int, ...]) -> _RecordFolder:
    del state  # State of the lookup file: records that were rewritten are opened again.
    return _RecordFolder(folder)
