"""Resolves file names that a file contains: they may not lead out of the source."""

from pathlib import Path

from samjax.curation.case import CaseError


def inside(root: Path, base: Path, name: str, where: str) -> Path:
    """Returns the path of a file below a folder, which has to be within the source.

    Args:
        root: Source folder.
        base: Folder that the name is relative to.
        name: File name.
        where: File that contains the name, for the message.

    Raises:
        CaseError: The name leads out by `..`, as an absolute path or through a link.
    """
    path = base / name
    if not path.resolve().is_relative_to(root.resolve()):
        raise CaseError(f"{where}: expected file names within {root}, found {name!r}")
    return path


def picture(root: Path, where: str, name: str) -> str:
    """Finds a picture that an index file names: beside it, or in a folder next to it.

    Raises:
        CaseError: The name leads out of the source.
    """
    base, name = (root / where).parent, name.replace("\\", "/")
    stem = Path(where).stem
    guesses = [
        base,
        base / "images",
        base / stem,
        base.parent,
        base.parent / "images",
        base.parent / stem.removeprefix("instances_"),
    ]
    inside(root, base, name, where)
    for folder in guesses:
        path = folder / name
        if path.is_file() and path.resolve().is_relative_to(root.resolve()):
            return path.relative_to(root).as_posix()
    return (base / name).relative_to(root).as_posix()
