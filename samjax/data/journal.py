"""What a long run has done so far, line by line on disk, so that the same command goes on from it.

The first line says what the run is; every further one is added, whole, once something is done. One
process at a time may write to it, which is for the caller to see to (`samjax.lock`).
"""

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from samjax.data.files import DataError

Row = dict[str, Any]


class Journal:
    """A file of JSON lines that grows with a run; it comes into being with the first of them.

    Attributes:
        rows: What earlier starts of the run have added.
    """

    def __init__(
        self, path: str | os.PathLike[str], identity: Row, advice: str, afresh: bool = False
    ) -> None:
        """Reads what an earlier start left; a line that was cut off is left out.

        Args:
            path: The file.
            identity: What the run is, to be compared with what the file is of.
            advice: What to do about the file of another run, for the error.
            afresh: Replace what is there, whatever it is of.

        Raises:
            DataError: The file is of another run; the message says in what they differ.
        """
        self._path = Path(path)
        self._first = {"run": json.loads(json.dumps(identity))}
        self._file: BinaryIO | None = None
        self.rows: list[Row] = []
        lines = [] if afresh else _whole_lines(self._path)
        if lines:
            then = _parsed(lines[0], self._path).get("run", {})
            check_same(then, identity, str(self._path), advice)
            self.rows = [_parsed(line, self._path) for line in lines[1:]]
        self._length = sum(len(line) + 1 for line in lines)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, row: Row) -> None:
        """Adds a line; when this returns it outlives the process.

        Raises:
            OSError: The file cannot be written.
        """
        file = self._file or self._open()
        file.write(_line(row))
        file.flush()

    def remove(self) -> None:
        """Deletes the file: the run is done, and its results are elsewhere."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._path.unlink(missing_ok=True)

    def _open(self) -> BinaryIO:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = self._path.open("ab")
        file.truncate(self._length)
        if not self._length:
            file.write(_line(self._first))
        self._file = file
        return file


def rows_of(path: str | os.PathLike[str]) -> list[Row]:
    """The rows that a run of any kind has left in a file; none where there is none.

    Raises:
        DataError: It is no journal.
    """
    return [_parsed(line, Path(path)) for line in _whole_lines(Path(path))[1:]]


def check_same(then: Row, now: Row, where: str, advice: str) -> None:
    """Compares what an earlier run was with what this one is.

    Raises:
        DataError: They differ; the message names every difference.
    """
    now = json.loads(json.dumps(now))
    names = [name for name in {**then, **now} if then.get(name) != now.get(name)]
    if names:
        found = "; ".join(f"{n}: {then.get(n)} then, {now.get(n)} now" for n in names)
        raise DataError(
            f"{where}: expected results of the same run, found another ({found}). {advice}"
        )


def _line(row: Row) -> bytes:
    return json.dumps(row, separators=(",", ":")).encode() + b"\n"


def _whole_lines(path: Path) -> list[bytes]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    return content.split(b"\n")[:-1]  # What follows the last end of line was cut off.


def _parsed(line: bytes, path: Path) -> Row:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataError(f"{path}: expected lines of JSON, found: {error}") from error
    if not isinstance(row, dict):
        raise DataError(f"{path}: expected lines of JSON objects, found a {type(row).__name__}")
    return row
