"""Comparing folders."""

from pathlib import Path


def tree(root: Path) -> dict[str, bytes]:
    """All files of a folder by their content."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
