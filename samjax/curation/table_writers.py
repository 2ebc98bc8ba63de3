"""Tables that are written row by row, and are there whole or not at all."""

import contextlib
import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from samjax import extra
from samjax.data.files import whole

ROWS = 10_000  # A group of rows in Parquet.

Add = Callable[..., None]


@contextlib.contextmanager
def json_object(path: Path) -> Iterator[Add]:
    """Gives a function that adds a name and a value to a JSON object."""
    with _whole(path) as file:
        separator = "{"

        def add(name: str, value: Any) -> None:
            nonlocal separator
            file.write(f"{separator}\n {json.dumps(name)}: {json.dumps(value)}")
            separator = ","

        yield add
        file.write("{}" if separator == "{" else "\n}")


@contextlib.contextmanager
def csv_table(path: Path) -> Iterator[Add]:
    """Gives a function that adds a row, a dict with the columns of the first one."""
    with _whole(path) as file:
        writer: csv.DictWriter | None = None

        def add(row: dict[str, Any]) -> None:
            nonlocal writer
            if writer is None:
                writer = csv.DictWriter(file, [*row], lineterminator="\n")
                writer.writeheader()
            writer.writerow(row)

        yield add


@contextlib.contextmanager
def parquet_table(path: Path) -> Iterator[Add]:
    """The same in Parquet; nothing is written where pyarrow is not installed."""
    try:
        pyarrow, parquet = (
            extra.require("pyarrow", "data"),
            extra.require("pyarrow.parquet", "data"),
        )
    except extra.MissingLibrary:  # The CSV says the same.
        yield lambda row: None
        return
    rows: list[dict[str, Any]] = []
    writer: Any = None

    def flush(partial: Path) -> None:
        nonlocal writer
        table = pyarrow.Table.from_pylist(rows)
        if writer is None:
            writer = parquet.ParquetWriter(partial, table.schema)
        writer.write_table(table)
        rows.clear()

    with whole(path) as partial:

        def add(row: dict[str, Any]) -> None:
            rows.append(row)
            if len(rows) == ROWS:
                flush(partial)

        yield add
        if rows:
            flush(partial)
        if writer is not None:
            writer.close()


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[IO[str]]:
    with whole(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        yield file
