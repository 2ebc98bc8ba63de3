"""Compares folders."""

from pathlib import Path


def tree(root: Path) -> dict[str, bytes]:
    """Returns the contents of all files of a folder by path."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
