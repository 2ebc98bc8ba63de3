"""Report of a conversion: the status of every key."""

import dataclasses
from collections import Counter
from collections.abc import Sequence

STATUSES = (
    "loaded",
    "resized",
    "initialised",
    "ignored",
    "unexpected",
    "missing",
    "wrong shape",
)
MISMATCHES = ("unexpected", "missing", "wrong shape")


@dataclasses.dataclass(frozen=True)
class KeyEntry:
    """The status of one key.

    Attributes:
        key: Name in the checkpoint, or SAM's name where the checkpoint lacks it.
        status: One of `STATUSES`.
        shape: Shape in the checkpoint, or the one needed where it is missing; in PyTorch's axes.
        note: Further details; empty without any.
    """

    key: str
    status: str
    shape: tuple[int, ...] | None = None
    note: str = ""

    def become(self, status: str, note: str) -> "KeyEntry":
        """Returns the entry with another status, and a further note."""
        notes = ", ".join(filter(None, [self.note, note]))
        return dataclasses.replace(self, status=status, note=notes)


@dataclasses.dataclass(frozen=True)
class ConversionReport:
    """The status of all keys in one conversion.

    Attributes:
        source: Name of the checkpoint.
        entries: One for every key, in the checkpoint's order within each status.
        notes: Remarks on the reading of the file; the last one is on the preprocessing.
        is_guess: Whether the preprocessing is a guess.
    """

    source: str
    entries: tuple[KeyEntry, ...]
    notes: tuple[str, ...] = ()
    is_guess: bool = False

    @property
    def mismatches(self) -> tuple[KeyEntry, ...]:
        """Entries of missing keys, unexpected keys and keys of a wrong shape."""
        return tuple(entry for entry in self.entries if entry.status in MISMATCHES)

    def summary(self) -> str:
        """Returns the number of keys by status, in one line."""
        counts = Counter(entry.status for entry in self.entries)
        return ", ".join(f"{counts[status]} {status}" for status in STATUSES if counts[status])

    def table(self) -> str:
        """Returns one line for every key, ordered by status, then the notes and the summary."""
        ordered = sorted(self.entries, key=lambda entry: STATUSES.index(entry.status))
        ends = [*self.notes, self.summary()]
        return "\n".join([*_lines(ordered), *(f"{self.source}: {end}" for end in ends)])


class KeyMismatchError(ValueError):
    """The checkpoint has missing keys, unexpected keys or keys of a wrong shape.

    Attributes:
        report: Status of every key.
    """

    def __init__(self, report: ConversionReport) -> None:
        self.report = report
        listed = "\n".join(_lines(report.mismatches))
        super().__init__(
            f"{report.source}: expected no missing or unexpected keys, found {report.summary()}; "
            f"nothing converted, because of\n{listed}"
        )


def _lines(entries: Sequence[KeyEntry]) -> list[str]:
    shapes = ["" if entry.shape is None else str(entry.shape) for entry in entries]
    status_width = max((len(entry.status) for entry in entries), default=0)
    shape_width = max((len(shape) for shape in shapes), default=0)
    return [
        f"{entry.status:<{status_width}}  {shape:<{shape_width}}  {entry.key}"
        + (f"  ({entry.note})" if entry.note else "")
        for entry, shape in zip(entries, shapes, strict=True)
    ]
