"""Append-only file of JSON lines with the results of a long run, so that it can be resumed.

The first line identifies the run; every further line is one finished piece of work. Only one
process at a time may write to it; the caller has to ensure this (`samjax.lock`).
"""

import json
import os
from pathlib import Path
from typing import Any, BinaryIO, Self

from samjax.data.files import DataError

Row = dict[str, Any]


class Journal:
    """File of JSON lines that grows with a run; it is created with the first line.

    Attributes:
        rows: Lines that earlier starts of the run have added.
    """

    def __init__(
        self, path: str | os.PathLike[str], identity: Row, advice: str, afresh: bool = False
    ) -> None:
        """Reads the lines of an earlier start; an incomplete last line is dropped.

        Args:
            path: The file.
            identity: Settings that identify the run, compared with those in the file.
            advice: End of the error message about a file of another run: what the user can do.
            afresh: Replace an existing file, even that of another run.

        Raises:
            DataError: The file is of another run; the message names the differences.
        """
        self._path = Path(path)
        self._first = {"run": json.loads(json.dumps(identity))}
        self._file: BinaryIO | None = None
        self.rows: list[Row] = []
        lines = [] if afresh else _whole_lines(self._path)
        if lines:
            then = _parse(lines[0], self._path).get("run", {})
            check_same(then, identity, str(self._path), advice)
            self.rows = [_parse(line, self._path) for line in lines[1:]]
        self._length = sum(len(line) + 1 for line in lines)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file, if it was opened."""
        if self._file is not None:
            self._file.close()

    def add(self, row: Row) -> None:
        """Adds a line, which survives the end of the process once this returns.

        Raises:
            OSError: The file cannot be written.
        """
        file = self._file or self._open()
        file.write(_line(row))
        file.flush()

    def remove(self) -> None:
        """Deletes the file, once the run is complete and its results are saved elsewhere."""
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
    """Reads the rows of a journal of any run; returns none if there is no file.

    Raises:
        DataError: The file is not a journal.
    """
    return [_parse(line, Path(path)) for line in _whole_lines(Path(path))[1:]]


def check_same(then: Row, now: Row, where: str, advice: str) -> None:
    """Checks that an earlier run had the settings of this one.

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
    return content.split(b"\n")[:-1]  # The rest after the last newline is an incomplete line.


def _parse(line: bytes, path: Path) -> Row:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataError(f"{path}: expected lines of JSON, found: {error}") from error
    if not isinstance(row, dict):
        raise DataError(f"{path}: expected lines of JSON objects, found a {type(row).__name__}")
    return row
