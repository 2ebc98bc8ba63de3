"""Checks settings against the type hints of their dataclass.

Choices are a `typing.Literal`, ranges of numbers a `Range` in `typing.Annotated`. A dataclass calls
`check` when it is made. Its errors name its own fields; `naming` and `from_dict` put the names of
the sections before them.
"""

import contextlib
import dataclasses
import functools
import math
import numbers
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal

_KINDS = {  # By type: the accepted values, and its words in singular and plural.
    int: (numbers.Integral, "a whole number", "whole numbers"),
    float: (numbers.Real, "a number", "numbers"),
    str: (str, "text", "texts"),
    bool: (bool, "true or false", "of true and false"),
}


@dataclasses.dataclass(frozen=True)
class Range:
    """The numbers from `low` to `high`; `above` and `below` exclude these bounds."""

    low: float
    high: float = math.inf
    above: bool = False
    below: bool = False

    def __contains__(self, value: float) -> bool:
        """Whether a number is in the range."""
        above = self.low < value if self.above else self.low <= value
        return above and (value < self.high if self.below else value <= self.high)

    def __str__(self) -> str:
        """Returns the range in words, as in "expected 0 to less than 1"."""
        low = f"more than {self.low}" if self.above else f"{self.low}"
        if self.high == math.inf:
            return low if self.above else f"{low} or more"
        return f"{low} to {'less than ' if self.below else ''}{self.high}"


class RegularExpression:
    """The texts that are a regular expression, the empty one included."""

    def __contains__(self, value: str) -> bool:
        """Whether a text is a regular expression."""
        try:
            re.compile(value)
        except re.error:
            return False
        return True

    def __str__(self) -> str:
        """Returns the words for errors."""
        return "a regular expression"


PositiveInt = Annotated[int, Range(1)]
NonNegativeInt = Annotated[int, Range(0)]
PositiveFloat = Annotated[float, Range(0, above=True)]
NonNegativeFloat = Annotated[float, Range(0)]
Pattern = Annotated[str, RegularExpression()]
Probability = Annotated[float, Range(0, 1)]
Seed = Annotated[int, Range(0, 2**32 - 1)]  # The seeds that JAX, NumPy and Grain all accept.


class FieldError(ValueError):
    """A setting with an invalid value.

    Attributes:
        path: Dotted path of the setting.
        problem: The expected and the found.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


@contextlib.contextmanager
def naming(name: Callable[[str], str]) -> Iterator[None]:
    """Renames the fields in errors as the user typed them, as in `naming("data.{}".format)`.

    Args:
        name: Function from the path in a dataclass to the path that the user typed.
    """
    try:
        yield
    except FieldError as error:
        raise FieldError(name(error.path), error.problem) from error.__cause__


def check(config: Any, *names: str) -> None:
    """Checks that the fields of a dataclass have values that their hints allow.

    Supported hints are int, float (finite), str, bool, a `Literal`, `Pattern`, ranges of these,
    tuples of these, each of them or None, and dataclasses. A list in place of a tuple becomes a
    tuple.

    Args:
        config: Instance of a dataclass.
        names: Fields to check; all if there are none.

    Raises:
        FieldError: A value is not allowed; the message names the field, the expected and the found.
    """
    for name in names or hints(type(config)):
        value = getattr(config, name)
        checked = _checked(type(config), name, value)
        if checked is not value:
            object.__setattr__(config, name, checked)


def from_dict(kind: type, values: Mapping[str, Any]) -> Any:
    """Makes a dataclass, with nested sections, from the dict of `asdict` or JSON.

    Raises:
        FieldError: A field is unknown or has an invalid value; the message has the whole path.
    """
    made = {}
    for name, value in values.items():
        if name not in hints(kind):
            raise FieldError(name, "expected no such field")
        section, *_ = _parts(hints(kind)[name])
        if dataclasses.is_dataclass(section) and isinstance(value, Mapping):
            with naming(f"{name}.{{}}".format):
                value = from_dict(typing.cast(type, section), value)
        made[name] = _checked(kind, name, value)
    return kind(**made)


@functools.cache
def hints(kind: type) -> dict[str, Any]:
    """Returns the type hints of a dataclass by field, with their ranges."""
    found = typing.get_type_hints(kind, include_extras=True)
    return {field.name: found[field.name] for field in dataclasses.fields(kind)}


def choices(kind: type) -> dict[str, tuple[str, ...]]:
    """Returns the fields of a dataclass that are a choice, and the values of each."""
    every = hints(kind).items()
    return {name: typing.get_args(each) for name, each in every if _is_choice(each)}


def type_name(kind: type) -> str:
    """Returns the words for a type in errors: "a whole number" for int, "fields" for a section."""
    return _KINDS[kind][1] if kind in _KINDS else "fields"


def describe(hint: Any) -> tuple[str, str]:
    """Returns the type of a field and its allowed values, in words; empty if all are allowed.

    Such as `("float", "0 to 1")`, `("str", "one of all, none")`, `("int or None", "1 or more")` or
    `("tuple of int", "each 1 or more")`.
    """
    hint, limits, optional = _parts(hint)
    if optional:
        kind, allowed = describe(hint)
        return f"{kind} or None", allowed
    if typing.get_origin(hint) is tuple:
        element, count = _element(hint)
        kind, allowed = describe(element)
        return f"{'' if count is None else f'{count}-'}tuple of {kind}", _each(allowed)
    if _is_choice(hint):
        return "str", _choices(hint)
    return hint.__name__, " and ".join(map(str, limits))


def _checked(kind: type, name: str, value: Any) -> Any:
    """Returns the value of a field if its hint allows it; a list becomes a tuple if need be."""
    hint = hints(kind)[name]
    if isinstance(value, list) and typing.get_origin(hint) is tuple:
        value = tuple(value)
    if expected := _mismatch(value, hint):
        raise FieldError(name, f"expected {expected}, found {value!r}")
    return value


def _mismatch(value: Any, hint: Any) -> str:
    """Returns the expected in words, or an empty string if the value fits."""
    hint, limits, optional = _parts(hint)
    if optional:
        return "" if value is None else _mismatch(value, hint)
    if dataclasses.is_dataclass(hint):
        return "" if isinstance(value, typing.cast(type, hint)) else "fields"
    if _is_choice(hint):
        return "" if value in typing.get_args(hint) else _choices(hint)
    if typing.get_origin(hint) is tuple:
        element, count = _element(hint)
        fits = isinstance(value, tuple) and count in (None, len(value))
        if fits and not any(_mismatch(each, element) for each in value):
            return ""
        kind, allowed = describe(element)
        several = next(words for each, (*_, words) in _KINDS.items() if each.__name__ == kind)
        several = several if count is None else f"{count} {several}"
        return ", ".join(filter(None, (several, _each(allowed))))
    kind, expected, _ = _KINDS[hint]
    if not isinstance(value, kind) or (hint is not bool and isinstance(value, bool)):
        return expected
    value = typing.cast(Any, value)
    if hint is float and not math.isfinite(value):
        return "a finite number"
    return next((str(limit) for limit in limits if value not in limit), "")


def _parts(hint: Any) -> tuple[Any, tuple[Range | RegularExpression, ...], bool]:
    """Returns a hint without its ranges, the ranges, and whether the hint is optional."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return next(kind for kind in typing.get_args(hint) if kind is not type(None)), (), True
    if typing.get_origin(hint) is Annotated:
        hint, *limits = typing.get_args(hint)
        return hint, tuple(limits), False
    return hint, (), False


def _element(hint: Any) -> tuple[Any, int | None]:
    """Returns the hint of the elements of a tuple, and their number if it is fixed."""
    first, *others = typing.get_args(hint)
    return first, None if others == [...] else 1 + len(others)


def _is_choice(hint: Any) -> bool:
    return typing.get_origin(hint) is Literal


def _choices(hint: Any) -> str:
    return f"one of {', '.join(choice or '(empty)' for choice in typing.get_args(hint))}"


def _each(allowed: str) -> str:
    return allowed and f"each {allowed}"
