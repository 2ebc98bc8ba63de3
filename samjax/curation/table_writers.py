"""Writes tables row by row, each file whole or not at all."""

import contextlib
import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from samjax import extra
from samjax.data.files import whole

ROWS = 10_000  # Size of a row group in Parquet.

Add = Callable[..., None]


@contextlib.contextmanager
def json_object(path: Path) -> Iterator[Add]:
    """Yields a function that adds a name and a value to a JSON object."""
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
    """Yields a function that adds a row to a CSV table; the first row sets the columns."""
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
    """Yields a function that adds a row to a Parquet table, if pyarrow is installed."""
    try:
        pyarrow, parquet = (
            extra.require("pyarrow", "data"),
            extra.require("pyarrow.parquet", "data"),
        )
    except extra.MissingLibrary:  # The CSV table has the same content.
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
