"""Descriptions of settings: every field, with the text of its docstring."""

import dataclasses

import pytest

from samjax.training import config as training_config
from samjax.training import describe
from samjax.training.config import Experiment


@dataclasses.dataclass(frozen=True)
class Inner:
    """The inner
    section.

    More about it.

    Attributes:
        size: Side, pixels:
            a whole number.
        kind: Its kind.

    Raises:
        ValueError: never.
    """

    size: int = 1
    kind: str = "a"


@dataclasses.dataclass(frozen=True)
class Outer:
    """The outer section.

    Attributes:
        inner: The inner section.
        rate: A rate.
    """

    inner: Inner = dataclasses.field(default_factory=Inner)
    rate: float = 0.5
    silent: bool = False


def test_sections_with_their_fields_in_order_and_what_differs():
    first, second = describe.sections(Outer(Inner(size=3)), Outer())
    assert (first.path, first.meaning) == ("", "The outer section.")
    assert [row.path for row in first.rows] == ["rate", "silent"]
    assert (second.path, second.meaning) == ("inner", "The inner section.")
    size, kind = second.rows
    assert size == describe.FieldRow("inner.size", "int", "", 3, 1, "Side, pixels: a whole number.")
    assert size.changed and not kind.changed
    assert kind.meaning == "Its kind."


def test_a_class_without_attributes_describes_none():
    assert describe.attributes(int) == {}


ROWS = describe.rows(Experiment(), Experiment())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.path)
def test_every_field_has_a_meaning_in_its_docstring(row):
    assert row.meaning.endswith("."), f"{row.path}: expected a sentence under `Attributes:`"


def test_every_field_of_the_config_is_described_once():
    paths = training_config.to_config_dict(Experiment()).to_dict()

    def flat(tree, prefix=""):
        for name, value in tree.items():
            yield from (
                flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [prefix + name]
            )

    assert sorted(row.path for row in ROWS) == sorted(flat(paths))
