"""Descriptions of settings: value, default, choices and meaning of every field."""

import dataclasses
import inspect
import re
from collections.abc import Iterator
from typing import Any

from samjax import fields


@dataclasses.dataclass(frozen=True)
class FieldRow:
    """Description of a field.

    Attributes:
        path: Dotted name, as after `--config.` on the command line.
        type: Type of its values, in words.
        allowed: Choices or range; empty if every value of the type is valid.
        value: Current value.
        default: Default value.
        meaning: Description in the docstring of its class, in one line.
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
    """Description of a section of the settings.

    Attributes:
        path: Dotted name; empty at the top.
        meaning: First paragraph of the docstring of its class.
        rows: Its fields, without those of nested sections.
    """

    path: str
    meaning: str
    rows: tuple[FieldRow, ...]


def sections(value: Any, default: Any, path: str = "") -> Iterator[Section]:
    """Yields the sections of a nested dataclass, outer ones first.

    Args:
        value: Settings.
        default: Settings of the same class to compare with.
        path: Dotted name of the section `value`.
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
    """Returns all fields of a nested dataclass, in the order of their declaration."""
    return [row for section in sections(value, default) for row in section.rows]


def summary(cls: type) -> str:
    """Returns the first paragraph of a class's docstring, in one line."""
    return _joined(inspect.cleandoc(cls.__doc__ or "").partition("\n\n")[0])


def attributes(cls: type) -> dict[str, str]:
    """Parses the `Attributes:` section of a class's docstring into descriptions by name.

    An entry begins with its name, and its further lines are indented more; the section ends with
    the indentation.
    """
    _, _, text = f"\n{inspect.cleandoc(cls.__doc__ or '')}".partition("\nAttributes:\n")
    body = re.split(r"\n(?=\S)", text)[0]
    entries = re.split(r"^ {4}(\w+): ", body, flags=re.MULTILINE)[1:]
    return {
        name: _joined(meaning) for name, meaning in zip(entries[::2], entries[1::2], strict=True)
    }


def _joined(text: str) -> str:
    return " ".join(text.split())
