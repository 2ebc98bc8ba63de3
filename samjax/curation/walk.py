"""Lists the files below a folder; what cannot be read is told, and ends nothing."""

import os
import stat
from pathlib import Path

from samjax.curation.found import Found, Problem


def files(root: Path, found: Found) -> list[str]:
    """All files below a folder, those behind links included; names that begin with a dot are not.

    Args:
        root: The folder.
        found: Is told of folders and files that cannot be read, and of links in a circle.

    Returns:
        Paths relative to it, in order.
    """
    paths: list[str] = []
    _walk(root, "", (), paths, found)
    return sorted(paths)


def _walk(
    root: Path, folder: str, above: tuple[tuple[int, int], ...], paths: list[str], found: Found
) -> None:
    """Adds the files of a folder, whose own folders are known by device and number."""
    try:
        state = (root / folder).stat()
        entries = sorted(os.scandir(root / folder), key=lambda entry: entry.name)
    except OSError as error:
        _tell(found, folder or ".", f"a folder that can be read, found: {error.strerror}")
        return
    here = (state.st_dev, state.st_ino)
    if here in above:
        _tell(found, folder, "a folder, found a link to one that it lies in")
        return
    for entry in entries:
        path = f"{folder}/{entry.name}" if folder else entry.name
        if entry.name.startswith("."):
            continue
        try:
            kind = entry.stat().st_mode
        except OSError as error:
            what = "a link to nothing" if entry.is_symlink() else str(error.strerror)
            _tell(found, path, f"a file, found {what}")
            continue
        if stat.S_ISDIR(kind):
            _walk(root, path, (*above, here), paths, found)
        elif not stat.S_ISREG(kind):
            _tell(found, path, "a file, found a device, pipe or socket")
        elif os.access(entry.path, os.R_OK):
            paths.append(path)
        else:
            _tell(found, path, "a file that can be read, found no permission to")


def _tell(found: Found, path: str, detail: str) -> None:
    found.problems.append(Problem(path, "unreadable", f"{path}: expected {detail}"))
