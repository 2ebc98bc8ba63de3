"""Writes and checks SHA-256 digests of a folder's files, in the format of `sha256sum -c`."""

import hashlib
from concurrent import futures
from pathlib import Path

NAME = "SHA256SUMS"


def write(folder: Path) -> None:
    """Writes the digests of all files in a folder and its subfolders to `SHA256SUMS`."""
    found = _digests(folder, _files(folder))
    lines = [f"{digest}  {name}\n" for name, digest in sorted(found.items())]
    (folder / NAME).write_text("".join(lines))


def check(folder: Path, under: str = "") -> int:
    """Checks files against their digests, a gigabyte in about a second.

    Args:
        folder: A folder with a `SHA256SUMS`.
        under: Prefix of the names of the files to check; all by default.

    Returns:
        Number of files checked; 0 without a `SHA256SUMS`.

    Raises:
        ValueError: A file is missing or was changed; the message names the file.
    """
    path = folder / NAME
    if not path.is_file():
        return 0
    lines = [line.split("  ", 1) for line in path.read_text(errors="replace").splitlines()]
    if not lines or any(len(line) != 2 for line in lines):
        raise ValueError(f"{path}: expected lines of a digest and a name, found others")
    expected = {name: digest for digest, name in lines if name.startswith(under)}
    missing = [name for name in expected if not (folder / name).is_file()]
    if missing:
        raise ValueError(f"{folder / missing[0]}: missing ({NAME} lists it)")
    found = _digests(folder, list(expected))
    changed = [name for name, digest in expected.items() if found[name] != digest]
    if changed:
        raise ValueError(
            f"{folder / changed[0]}: expected the bytes that were written, found others: damaged, "
            f"or changed since (if the change is meant, take its line out of {NAME})"
        )
    return len(expected)


def _files(folder: Path) -> list[str]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return [path.relative_to(folder).as_posix() for path in paths if path != folder / NAME]


def _digests(folder: Path, names: list[str]) -> dict[str, str]:
    with futures.ThreadPoolExecutor() as pool:  # Hashing releases the GIL.
        return dict(zip(names, pool.map(lambda name: _digest(folder / name), names), strict=True))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
