"""Finds the background of a data set's labels: black, or the label along the pictures' borders."""

import dataclasses
from collections.abc import Mapping, Sequence

from samjax.curation.case import CaseError
from samjax.curation.label_messages import value_of
from samjax.curation.label_pixels import CLEAR
from samjax.curation.options import Dataset, Label, several

BORDER = 0.9  # Smallest share of the border that is background.


class AmbiguousLabelsError(CaseError):
    """Labels can be read in two ways; the message shows both, and the setting that decides."""


@dataclasses.dataclass
class CodeCounts:
    """Pixels of one code: all, in even areas, between other values, and at the border."""

    pixels: int = 0
    even: int = 0
    between: int = 0
    border: int = 0

    @property
    def is_solid(self) -> bool:
        """Whether it forms areas or lines, and is not only the edge of others."""
        return self.even >= 0.02 * self.pixels or self.between < 0.5 * self.pixels

    def add(self, other: "CodeCounts") -> None:
        """Adds the counts of other pictures."""
        for field in dataclasses.fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


FileCounts = Mapping[int, CodeCounts]  # The counts of one file by code.


def total(pictures: Sequence[FileCounts]) -> dict[int, CodeCounts]:
    """Sums the counts of all pictures, in the order of the codes."""
    sums: dict[int, CodeCounts] = {}
    for picture in pictures:
        for code, one in picture.items():
            sums.setdefault(code, CodeCounts()).add(one)
    return dict(sorted(sums.items()))


def code_of(label: Label) -> int:
    """Returns the code of a value or of a colour `#rrggbb`."""
    return int(label[1:], 16) if isinstance(label, str) else label


def table_of(known: Dataset) -> dict[int, list[str]]:
    """Returns the classes by code of a table of classes."""
    table: dict[int, list[str]] = {}
    for name, value in known.classes.items():
        for one in several(value):
            table.setdefault(code_of(one), []).append(name)
    return table


def background(
    pictures: Sequence[FileCounts], known: Dataset, reading: str, is_usual: bool
) -> tuple[int, ...]:
    """Returns the codes of the background.

    Args:
        pictures: Counts of every picture.
        known: Description of the data set; it takes precedence.
        reading: Source of the codes, see `Coding`.
        is_usual: Whether 0, where it occurs, is the background.

    Raises:
        AmbiguousLabelsError: Several codes may be the background.
    """
    if known.background:
        return () if known.background == ("none",) else tuple(map(code_of, known.background))
    sums = total(pictures)
    if CLEAR in sums:
        return (CLEAR,)
    edge = sum(one.border for one in sums.values())
    if len(sums) < 2 or not edge:
        return (0,)
    widest = max(sums, key=lambda code: sums[code].border)
    share = sums[widest].border / edge
    if 0 in sums and (is_usual or sums[0].border >= (1 - BORDER) * edge or share < BORDER):
        first = 0
    elif 0 in sums and len(sums) == 2:
        raise inverted(widest, reading)
    elif 0 in sums or share >= 0.5:
        first = widest
    elif known.kind:
        return ()
    else:
        found = ", ".join(value_of(code, reading) for code in sums)
        raise AmbiguousLabelsError(
            f"labels {found}: expected 0, black or most of the border as background, found no "
            f"such value: either {value_of(widest, reading)} is the background, or every value is "
            f'a class; say `background = {value_of(widest, reading)}` or `background = "none"`'
        )
    if is_usual:
        return (first,)
    return (first, *(code for code in sums if _is_another(code, first, pictures)))


def inverted(code: int, reading: str) -> AmbiguousLabelsError:
    """Returns the error of a mask whose object covers all of the border."""
    full, none = value_of(code, reading), value_of(0, reading)
    return AmbiguousLabelsError(
        f"labels {none} and {full}: all of the border is {full}: either it is the background, or "
        f"the object fills all pictures; say `background = {full}` or `background = {none}`"
    )


def check_alpha(pictures: Sequence[FileCounts]) -> None:
    """Raises `AmbiguousLabelsError` if all of the border is opaque."""
    sums = total(pictures)
    if CLEAR in sums and not sums[CLEAR].border:
        raise AmbiguousLabelsError(
            "a mask in the alpha channel: all of the border is opaque: either the object fills all "
            'pictures, say `kind = "alpha"`, or colours are the labels, say `background`'
        )


def _is_another(code: int, first: int, pictures: Sequence[FileCounts]) -> bool:
    """Whether a code is the background of pictures without the first one."""
    holders = [one for one in pictures if code in one]
    if code == first or any(first in one for one in holders):
        return False
    edge = sum(seen.border for one in holders for seen in one.values())
    return sum(one[code].border for one in holders) >= BORDER * edge > 0
