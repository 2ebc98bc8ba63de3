"""Digests of the files of a folder, kept in it: to tell one that is whole from one that is not."""

import functools
import hashlib
import json
import os
from pathlib import Path

from samjax.data.files import write_whole

NAME = "digests.json"


def write(folder: str | os.PathLike[str]) -> None:
    """Writes `FOLDER/digests.json`: size and BLAKE2 digest of every other file in the folder."""
    folder = Path(folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != NAME)
    found = {path.relative_to(folder).as_posix(): _describe(path) for path in files}
    write_whole(folder / NAME, (json.dumps(found, indent=1) + "\n").encode())


def exist(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder has digests; what earlier versions wrote has none."""
    return (Path(folder) / NAME).is_file()


def check(folder: str | os.PathLike[str]) -> None:
    """Compares the files of a folder with their digests; files without one are left alone.

    Raises:
        ValueError: A file is missing or differs; the message names it, what was expected and
            found.
    """
    folder = Path(folder)
    try:
        expected = dict(json.loads((folder / NAME).read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{folder / NAME}: expected digests as JSON, found {error}") from error
    for name, described in expected.items():
        path = folder / name
        if not path.is_file():
            raise ValueError(f"{path}: expected a file ({described}), found none")
        if (found := _describe(path)) != described:
            raise ValueError(f"{path}: expected {described}, found {found}; the file is damaged")


def _describe(path: Path) -> str:
    with path.open("rb") as file:
        content = hashlib.file_digest(file, functools.partial(hashlib.blake2b, digest_size=16))
        return f"{file.tell()} bytes, {content.hexdigest()}"
