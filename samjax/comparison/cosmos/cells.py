"""Tables of a study: typed cells, as Markdown for readers and as rows for a CSV file."""

import dataclasses
from collections.abc import Iterator

from samjax.evaluation.metrics import Mean
from samjax.evaluation.report_tables import markdown


@dataclasses.dataclass(frozen=True)
class TwoWays:
    """A mean with the candidate chosen by the truth, and by the predicted IoU.

    Attributes:
        oracle: By the truth.
        score: By the predicted IoU.
    """

    oracle: Mean
    score: Mean


Cell = str | int | Mean | TwoWays | None


@dataclasses.dataclass(frozen=True)
class StudyTable:
    """A table.

    Attributes:
        name: Name in the CSV file.
        labels: Number of first columns that name a row.
        head: Titles of the columns.
        rows: Cells; None where there is nothing.
        digits: Digits after the point.
        signed: Whether numbers have a sign, as of differences.
        plain: Columns without intervals in Markdown, where there is no room; the CSV file has them.
    """

    name: str
    labels: int
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    digits: int = 1
    signed: bool = False
    plain: tuple[str, ...] = ()

    def markdown(self) -> str:
        """Returns the table in Markdown, means with their 95 % intervals."""
        rows = [
            [self._text(title, cell) for title, cell in zip(self.head, row, strict=True)]
            for row in self.rows
        ]
        return markdown([self.head, *rows], self.labels)

    def records(self) -> Iterator[tuple[str, str, str, str, str, str]]:
        """Yields table, row, column, value, low and high of every number."""
        for row in self.rows:
            label = " | ".join(str(cell) for cell in row[: self.labels])
            for title, cell in zip(self.head[self.labels :], row[self.labels :], strict=True):
                named = {title: cell}
                if isinstance(cell, TwoWays):
                    named = {f"{title}, oracle": cell.oracle, f"{title}, score": cell.score}
                for column, value in named.items():
                    if isinstance(value, Mean):
                        low, high = ("" if end is None else f"{end:.6g}" for end in value[1:])
                        yield self.name, label, column, f"{value.value:.6g}", low, high
                    elif value is not None:
                        yield self.name, label, column, str(value), "", ""

    def _text(self, title: str, cell: Cell) -> str:
        if cell is None:
            return "-"
        if isinstance(cell, TwoWays):
            return f"{self._number(cell.oracle.value)} / {self._number(cell.score.value)}"
        if isinstance(cell, Mean):
            shown = Mean(cell.value, None, None) if title in self.plain else cell
            return with_interval(shown, self.digits, self.signed)
        return str(cell)

    def _number(self, value: float) -> str:
        return f"{value:{'+' if self.signed else ''}.{self.digits}f}"


def with_interval(mean: Mean, digits: int = 1, signed: bool = False) -> str:
    """Returns a mean with its interval as text, such as `82.1 (79.0 to 85.1)`."""
    sign = "+" if signed else ""
    if mean.low is None or mean.high is None:
        return f"{mean.value:{sign}.{digits}f}"
    ends = f"{mean.low:{sign}.{digits}f} to {mean.high:{sign}.{digits}f}"
    return f"{mean.value:{sign}.{digits}f} ({ends})"
