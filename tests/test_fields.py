"""Settings against the type hints of their dataclass."""

import dataclasses
import typing
from typing import Annotated, Literal

import pytest

from samjax import fields


@dataclasses.dataclass(frozen=True)
class Inner:
    rate: Annotated[float, fields.Range(0, 1, below=True)] = 0.5

    def __post_init__(self) -> None:
        fields.check(self)


@dataclasses.dataclass(frozen=True)
class Outer:
    count: fields.PositiveInt = 1
    limit: fields.PositiveInt | None = None
    width: fields.PositiveFloat = 1.0
    kind: Literal["", "a", "b"] = "a"
    sizes: tuple[fields.PositiveInt, ...] = (1,)
    mean: tuple[float, float, float] = (1.0, 2.0, 3.0)
    kinds: tuple[Literal["a", "b"], ...] = ()
    on: bool = True
    seed: fields.Seed = 0
    inner: Inner = dataclasses.field(default_factory=Inner)

    def __post_init__(self) -> None:
        fields.check(self)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("count", 0, "1 or more"),
        ("count", "x", "a whole number"),
        ("count", True, "a whole number"),
        ("count", 1.5, "a whole number"),
        ("limit", 0, "1 or more"),
        ("width", 0.0, "more than 0"),
        ("width", float("nan"), "a finite number"),
        ("kind", "c", "one of (empty), a, b"),
        ("kind", [], "one of (empty), a, b"),
        ("sizes", (1, 0), "whole numbers, each 1 or more"),
        ("sizes", 3, "whole numbers, each 1 or more"),
        ("mean", (1.0, 2.0), "3 numbers"),
        ("kinds", ("c",), "texts, each one of a, b"),
        ("on", 1, "true or false"),
        ("seed", -1, "0 to 4294967295"),
        ("inner", 3, "fields"),
    ],
)
def test_an_error_names_the_field_the_expected_and_the_found(field, value, expected):
    with pytest.raises(fields.FieldError) as caught:
        Outer(**{field: value})
    assert str(caught.value) == f"{field}: expected {expected}, found {value!r}"


def test_values_within_their_ranges_are_taken():
    made = Outer(3, None, 1, "", [1, 2], [0, 1, 2], ["b"], False, 2**32 - 1, Inner(0))
    assert made.sizes == (1, 2) and hash(made)


def test_whoever_knows_what_was_typed_names_the_field():
    message = r"^--rate: expected 0 to less than 1, found 1$"
    with pytest.raises(ValueError, match=message), fields.naming("--{}".format):
        Inner(rate=1)


def test_a_hint_is_described():
    described = [fields.describe(hint) for hint in fields.hints(Outer).values()]
    assert described[:-1] == [
        ("int", "1 or more"),
        ("int or None", "1 or more"),
        ("float", "more than 0"),
        ("str", "one of (empty), a, b"),
        ("tuple of int", "each 1 or more"),
        ("3-tuple of float", ""),
        ("tuple of str", "each one of a, b"),
        ("bool", ""),
        ("int", "0 to 4294967295"),
    ]
    assert typing.get_type_hints(Outer)["count"] is int
