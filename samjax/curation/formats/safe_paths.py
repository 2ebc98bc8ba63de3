"""File names that come out of a file: they may not lead out of the source."""

from pathlib import Path

from samjax.curation.case import CaseError


def inside(root: Path, base: Path, name: str, where: str) -> Path:
    """The file of that name below a folder, if it is within the source.

    Args:
        root: The source.
        base: The folder that the name is relative to.
        name: The name.
        where: The file that names it, for the message.

    Raises:
        CaseError: It leads out, by `..`, as an absolute path or through a link.
    """
    path = base / name
    if not path.resolve().is_relative_to(root.resolve()):
        raise CaseError(f"{where}: expected file names within {root}, found {name!r}")
    return path


def picture(root: Path, where: str, name: str) -> str:
    """A picture that an index file names: beside it, or in a folder next to it.

    Raises:
        CaseError: It leads out of the source, or is in none of these places.
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
