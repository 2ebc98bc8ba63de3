"""Describes labels and decisions on them in messages."""

from collections.abc import Collection, Mapping, Sequence

from samjax.curation.case import Coding
from samjax.curation.label_pixels import CLEAR


def value_of(code: int, reading: str) -> str:
    """Formats a code as in a description."""
    if code == CLEAR:
        return "transparent"
    return f'"#{code:06x}"' if reading == "colours" else str(code)


def mismatch(table: Mapping[int, Sequence[str]], found: Collection[int], reading: str) -> str:
    """Returns the message on labels that a table of classes does not name."""
    values = ", ".join(value_of(code, reading) for code in sorted(found)[:8])
    return f"expected {describe_table(table, reading)} of the table of classes, found {values}"


def describe_table(table: Mapping[int, Sequence[str]], reading: str) -> str:
    """Lists the values of a table of classes with their names."""
    entries = (f"{value_of(code, reading)} ({' and '.join(n)})" for code, n in table.items())
    return ", ".join(entries)


def describe_classes(
    coding: Coding, found: Sequence[int], table: Mapping[int, Sequence[str]]
) -> str:
    """Describes the classes of a label map."""
    objects = [code for code in found if code not in coding.background]
    kind = {"colours": "colour table", "indices": "palette"}.get(coding.reading, "label map")
    listed_classes = [
        f"{value_of(code, coding.reading)} ({' and '.join(table[code])})" if code in table
        else value_of(code, coding.reading)
        for code in objects if code in table or not table
    ]  # fmt: skip
    listed = ", ".join(listed_classes[:20]) + (
        f" and {len(listed_classes) - 20} more" if len(listed_classes) > 20 else ""
    )
    others = [value_of(code, coding.reading) for code in objects if table and code not in table]
    without = f"; {', '.join(others)} left out, not in the table" if others else ""
    return f"{kind} with {'class' if len(listed_classes) == 1 else 'classes'} {listed}{without}"


def describe(
    what: str,
    ignore: Sequence[int],
    coding: Coding | None = None,
    found: Collection[int] = (),
) -> str:
    """Describes a decision, with the labels left out and the background, if it is not 0."""
    parts = [what]
    if coding and coding.background != (0,) and found:
        nothing = [value_of(code, coding.reading) for code in coding.background]
        parts.append(f"background {', '.join(nothing) or 'none'}")
    if ignore:
        reading = coding.reading if coding else "numbers"
        parts.append(f"{', '.join(value_of(code, reading) for code in ignore)} left out")
    return "; ".join(parts)
