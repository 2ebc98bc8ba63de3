"""Lists the files below a folder; unreadable ones are reported."""

import os
import stat
from pathlib import Path

from samjax.curation.discovery_result import DiscoveryResult, Problem


def files(root: Path, result: DiscoveryResult) -> list[str]:
    """Lists all files below a folder, except those whose names begin with a dot.

    A link to a folder outside is followed, once. A link to a folder inside is not: its files are
    listed anyway.

    Args:
        root: The folder.
        result: Result to which unreadable files and folders are added as problems.

    Returns:
        Paths relative to the folder, in order.
    """
    paths: list[str] = []
    inside = [os.path.realpath(root)]  # Folders whose files are already listed.
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            entries = sorted(os.scandir(root / folder), key=lambda entry: entry.name)
        except OSError as error:
            _report(result, folder or ".", f"a folder that can be read, found: {error.strerror}")
            continue
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.name.startswith("."):
                continue
            kind, fault = _kind(entry)
            if kind == "folder" and entry.is_symlink():
                target = os.path.realpath(entry.path)
                if _holds(target, os.path.realpath(root / folder)):
                    fault = "a folder, found a link to one that it lies in"
                elif any(_holds(known, target) for known in inside):
                    continue
                else:
                    inside.append(target)
            if fault:
                _report(result, path, fault)
            elif kind == "folder":
                folders.append(path)
            else:
                paths.append(path)
    return sorted(paths)


def _kind(entry: os.DirEntry[str]) -> tuple[str, str]:
    """Returns `folder` or `file`, and the fault if it cannot be read."""
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        return "file", "a name in UTF-8, found other bytes"
    try:
        mode = entry.stat().st_mode
    except OSError as error:
        what = "a link to nothing" if entry.is_symlink() else str(error.strerror)
        return "file", f"a file, found {what}"
    if stat.S_ISDIR(mode):
        return "folder", ""
    if not stat.S_ISREG(mode):
        return "file", "a file, found a device, pipe or socket"
    return "file", "" if os.access(entry.path, os.R_OK) else "a file that can be read, found none"


def _holds(folder: str, other: str) -> bool:
    return other == folder or other.startswith(folder.rstrip("/") + "/")


def _report(result: DiscoveryResult, path: str, detail: str) -> None:
    name = path.encode(errors="backslashreplace").decode()
    result.problems.append(Problem(name, "unreadable", f"{name}: expected {detail}"))
