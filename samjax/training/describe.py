"""Describes every field of a tree of settings: value, default, choices, meaning."""

import dataclasses
import inspect
import re
from collections.abc import Iterator
from typing import Any

from samjax import fields


@dataclasses.dataclass(frozen=True)
class FieldRow:
    """One field of a tree of settings.

    Attributes:
        path: Dotted name, as the command line has it after `--config.`.
        type: Type of its values, in words.
        allowed: Choices or range; empty where every value of the type will do.
        value: Its value.
        default: What it is where nobody sets it.
        meaning: What the class's docstring says of it, in one line.
    """

    path: str
    type: str
    allowed: str
    value: Any
    default: Any
    meaning: str

    @property
    def changed(self) -> bool:
        """Whether the value differs from the default."""
        return self.value != self.default


@dataclasses.dataclass(frozen=True)
class Section:
    """A section of a tree of settings.

    Attributes:
        path: Dotted name; empty at the top.
        meaning: What its class's docstring begins with.
        rows: Its own fields, without those of the sections within it.
    """

    path: str
    meaning: str
    rows: tuple[FieldRow, ...]


def sections(value: Any, default: Any, path: str = "") -> Iterator[Section]:
    """Goes through a tree of dataclasses: a section, then the sections within it.

    Args:
        value: The root.
        default: One of the same class, to compare with.
        path: Dotted name of the root.
    """
    hints = fields.hints(type(value))
    meanings = attributes(type(value))
    rows, within = [], []
    for field in dataclasses.fields(value):
        where = f"{path}.{field.name}" if path else field.name
        here, usual = getattr(value, field.name), getattr(default, field.name)
        if dataclasses.is_dataclass(here):
            within.append((here, usual, where))
            continue
        kind, allowed = fields.describe(hints[field.name])
        rows.append(FieldRow(where, kind, allowed, here, usual, meanings.get(field.name, "")))
    yield Section(path, summary(type(value)), tuple(rows))
    for one in within:
        yield from sections(*one)


def rows(value: Any, default: Any) -> list[FieldRow]:
    """Returns every field of a tree of dataclasses, in the order in which they are declared."""
    return [row for section in sections(value, default) for row in section.rows]


def summary(cls: type) -> str:
    """Returns the first paragraph of a class's docstring, in one line."""
    return _joined(inspect.cleandoc(cls.__doc__ or "").partition("\n\n")[0])


def attributes(cls: type) -> dict[str, str]:
    """Parses the `Attributes:` of a class's docstring: what it says of each, in one line.

    An entry begins with its name, less indented than what continues it; the section ends where
    nothing is indented any more.
    """
    _, _, text = f"\n{inspect.cleandoc(cls.__doc__ or '')}".partition("\nAttributes:\n")
    body = re.split(r"\n(?=\S)", text)[0]
    entries = re.split(r"^ {4}(\w+): ", body, flags=re.MULTILINE)[1:]
    return {
        name: _joined(meaning) for name, meaning in zip(entries[::2], entries[1::2], strict=True)
    }


def _joined(text: str) -> str:
    return " ".join(text.split())
