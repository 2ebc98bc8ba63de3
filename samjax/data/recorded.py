"""Finds the bytes of images and masks in the ArrayRecord files of a data folder.

`samjax.data.records` writes them; this is all that reading takes.
"""

import functools
import hashlib
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np

LOOKUP = "lookup.npz"  # Which record holds which path.


def find(path: str | os.PathLike[str]) -> bytes | None:
    """The encoded bytes of an image or mask by its path; None if no records hold it."""
    folder, name = os.path.split(os.path.abspath(path))
    above, inside = _around(folder)
    if above is None:
        return None
    lookup = (above / LOOKUP).stat()
    state = lookup.st_size, lookup.st_mtime_ns, lookup.st_ino
    return _open(above, state).find(inside + name)


def hashed(name: str) -> np.uint64:
    """What the lookup knows a path by."""
    return np.uint64(int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest()))


class _Records:
    """The records of one folder; threads may share it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with np.load(folder / LOOKUP) as lookup:
            self._hashes, self._splits = lookup["hashes"], lookup["splits"]
            self._numbers, self._names = lookup["numbers"], lookup["names"].tolist()
        self._sources: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._last = threading.local()  # An image's masks are read after it, by one thread.

    def find(self, name: str) -> bytes | None:
        """The bytes of a path relative to the folder."""
        wanted = hashed(name)
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


def _around(folder: str) -> tuple[Path | None, str]:
    """The folder of the records that files lie in, and what is before their names there."""
    for above in (Path(folder), *Path(folder).parents):
        if (above / LOOKUP).is_file():
            inside = Path(folder).relative_to(above).as_posix()
            return above, "" if inside == "." else inside + "/"
    return None, ""


@functools.lru_cache(maxsize=8)
def _open(folder: Path, state: tuple[int, ...]) -> _Records:
    del state  # The lookup's: records that were written anew are opened anew.
    return _Records(folder)
