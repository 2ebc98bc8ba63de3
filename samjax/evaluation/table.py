"""The long table of an evaluation: a value for every mask, protocol, step and metric.

Every table, interval, figure and comparison is made from it. On disk it is `scores.csv`, with a row
for each value, beside `masks.csv`, with a row for each mask. In memory its values are one array, a
row for each mask, so that a million of them take 8 MB.
"""

import array
import csv
import dataclasses
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from samjax.data.files import DataError, whole
from samjax.data.metadata import Metadata
from samjax.evaluation import metrics
from samjax.evaluation.results import MaskInfo, MaskResult

NAME = "scores.csv"
MASKS = "masks.csv"
_HEAD = ["mask", "protocol", "step", "metric", "value"]
_DIGITS = 6  # Of a value in the file, after the point.


class Column(NamedTuple):
    """A column of values.

    Attributes:
        protocol: Name of the protocol, or `filled_box`.
        step: Number of the click or of the draw; 0 for the result.
        metric: Name of the metric.
    """

    protocol: str
    step: int
    metric: str


@dataclasses.dataclass(frozen=True)
class ScoreTable:
    """Values of `n` masks in `c` columns.

    Attributes:
        masks: The masks.
        columns: The columns.
        values: One row per mask, (n, c) float64.
    """

    masks: Sequence[MaskInfo]
    columns: tuple[Column, ...]
    values: np.ndarray

    @classmethod
    def of(cls, results: Sequence[MaskResult]) -> "ScoreTable":
        """Makes the table of results, all with the same columns.

        Raises:
            ValueError: There is no result, or one has other columns than the first.
        """
        if not results:
            raise ValueError("results: expected at least one, found none")
        columns = _columns_of(results[0])
        values = np.empty((len(results), len(columns)))
        for row, result in enumerate(results):
            if _columns_of(result) != columns:
                raise ValueError(
                    f"{result.mask}: expected the columns of {results[0].mask}, found others"
                )
            values[row] = _values_of(result)
        return cls(results, columns, values)

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> "ScoreTable":
        """Reads the table of a report's folder.

        Raises:
            DataError: A file is missing or damaged, or the table lacks a value.
        """
        masks = _read_masks(Path(folder) / MASKS)
        return _read_values(Path(folder) / NAME, masks)

    @property
    def subjects(self) -> np.ndarray:
        """Returns the subject of every mask, (n,)."""
        return np.array([mask.subject for mask in self.masks])

    @property
    def protocols(self) -> tuple[str, ...]:
        """Returns the protocols, in order."""
        return tuple(dict.fromkeys(column.protocol for column in self.columns))

    def metrics_of(self, protocol: str) -> tuple[str, ...]:
        """Returns the metrics of a protocol's result."""
        return tuple(m for name, step, m in self.columns if name == protocol and not step)

    def steps(self, protocol: str, metric: str) -> np.ndarray:
        """Returns the values after every step of a protocol, (n, t); t is 0 without steps."""
        found = [
            i for i, (p, s, m) in enumerate(self.columns) if (p, m) == (protocol, metric) and s
        ]
        return self.values[:, found]

    def column(self, protocol: str, metric: str, step: int = 0) -> np.ndarray:
        """Returns the values of a column, (n,).

        Raises:
            ValueError: There is no such column.
        """
        wanted = Column(protocol, step, metric)
        if wanted not in self.columns:
            known = ", ".join(dict.fromkeys(f"{p} {m}" for p, s, m in self.columns if s == step))
            raise ValueError(f"scores: expected one of {known}, found {protocol} {metric}")
        return self.values[:, self.columns.index(wanted)]

    def rows(self, index: Sequence[int] | np.ndarray) -> "ScoreTable":
        """Returns the table of some masks."""
        return dataclasses.replace(
            self, masks=[self.masks[i] for i in index], values=self.values[np.asarray(index)]
        )

    def of_masks(self, paths: Iterable[str]) -> "ScoreTable":
        """Returns the table of the masks with these paths, in this order."""
        row_of = {mask.mask: row for row, mask in enumerate(self.masks)}
        return self.rows([row_of[path] for path in paths])

    def parts(self, field: str) -> dict[str, list[int]]:
        """Returns the rows by a field of the metadata, such as `modality`."""
        found: dict[str, list[int]] = {}
        for row, mask in enumerate(self.masks):
            found.setdefault(getattr(mask.metadata, field), []).append(row)
        return dict(sorted(found.items()))

    def means(self) -> dict[Column, metrics.Mean]:
        """Returns the mean of every result, with its interval by resampling subjects."""
        results = [i for i, column in enumerate(self.columns) if column.step == 0]
        found = metrics.bootstrap_means(self.values[:, results], self.subjects)
        return {self.columns[i]: mean for i, mean in zip(results, found, strict=True)}

    def write(self, path: Path) -> None:
        """Writes the table as CSV, whole or not at all, a row for each value."""
        with whole(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(_HEAD)
            for mask, row in zip(self.masks, np.round(self.values, _DIGITS), strict=True):
                values = zip(self.columns, row.tolist(), strict=True)
                writer.writerows((mask.mask, *column, value) for column, value in values)


def _columns_of(result: MaskResult) -> tuple[Column, ...]:
    columns = []
    for protocol, score in result.scores.items():
        columns += [Column(protocol, 0, metric) for metric in score.values]
        for metric, values in score.steps.items():
            columns += [Column(protocol, step, metric) for step in range(1, len(values) + 1)]
    return tuple(columns)


def _values_of(result: MaskResult) -> list[float]:
    values: list[float] = []
    for score in result.scores.values():
        values += score.values.values()
        for by_step in score.steps.values():
            values += by_step
    return values


def _read_masks(path: Path) -> list[MaskInfo]:
    known = [field.name for field in dataclasses.fields(Metadata)]
    masks = []
    for number, row in enumerate(_rows(path, ("image", "mask", "height", "width", "area")), 2):
        try:
            sizes = int(row["height"]), int(row["width"]), int(row["area"])
            metadata = Metadata().replaced({name: row[name] for name in known if name in row})
        except ValueError as error:
            raise DataError(f"{path}: line {number}: {error}") from error
        masks.append(MaskInfo(row["image"], row["mask"], metadata, *sizes))
    return masks


def _read_values(path: Path, masks: list[MaskInfo]) -> ScoreTable:
    rows_of = {mask.mask: row for row, mask in enumerate(masks)}
    columns: dict[Column, int] = {}
    at_row, at_column, values = array.array("q"), array.array("q"), array.array("d")
    for number, row in enumerate(_rows(path, tuple(_HEAD)), 2):
        try:
            column = Column(row["protocol"], int(row["step"]), row["metric"])
            at, value = rows_of[row["mask"]], float(row["value"])
        except (KeyError, ValueError) as error:
            problem = f"expected a value of a mask of {MASKS}, found {row}"
            raise DataError(f"{path}: line {number}: {problem}") from error
        at_row.append(at)
        values.append(value)
        at_column.append(columns.setdefault(column, len(columns)))
    found = np.full((len(masks), len(columns)), np.nan)
    found[np.array(at_row), np.array(at_column)] = np.array(values)
    if np.isnan(found).any() or len(values) != found.size or not len(values):
        raise DataError(
            f"{path}: expected one value for each of {len(masks)} masks in {len(columns)} columns, "
            f"found {len(values)} rows"
        )
    return ScoreTable(masks, tuple(columns), found)


def _rows(path: Path, needed: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """Yields the rows of a CSV file that has the columns needed."""
    if not path.exists():
        raise DataError(f"{path}: no such file")
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if not {*needed} <= {*(reader.fieldnames or ())}:
            raise DataError(
                f"{path}: expected the columns {', '.join(needed)}, found {reader.fieldnames}"
            )
        yield from reader
