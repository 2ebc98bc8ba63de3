"""Values of settings, held against the type hints of their dataclass."""

import dataclasses
import functools
import math
import numbers
import types
import typing
from collections.abc import Mapping
from typing import Any

_KINDS = {
    int: (numbers.Integral, "a whole number"),
    float: (numbers.Real, "a number"),
    str: (str, "text"),
    bool: (bool, "true or false"),
}


def check(config: Any, where: str) -> None:
    """Checks that every field of a dataclass has a value of its type; numbers must be finite.

    Known are int, float, str, bool, tuples of these, each of them or None, and dataclasses.

    Args:
        config: An instance.
        where: What the message calls it.

    Raises:
        ValueError: A field does not; the message names it with the expected and the found.
    """
    check_values(type(config), vars(config), where)


def check_values(kind: type, values: Mapping[str, Any], where: str) -> None:
    """Checks values for the fields of a dataclass before it is made, as `check` does after.

    Sections may be dicts and tuples lists, as JSON has them.

    Raises:
        ValueError: A field is unknown, or its value is not of its type.
    """
    for name, value in values.items():
        hint = _hints(kind).get(name)
        if hint is None:
            raise ValueError(f"{where}.{name}: expected no such field")
        if dataclasses.is_dataclass(hint) and isinstance(value, dict):
            check_values(typing.cast(type, hint), value, f"{where}.{name}")
        elif expected := _mismatch(tuple(value) if isinstance(value, list) else value, hint):
            raise ValueError(f"{where}.{name}: expected {expected}, found {value!r}")


def _mismatch(value: Any, hint: Any) -> str:
    """What was expected, or nothing where the value fits."""
    if dataclasses.is_dataclass(hint):
        return "" if isinstance(value, typing.cast(type, hint)) else "fields"
    if isinstance(hint, types.UnionType):  # Of something and None.
        kind = next(each for each in typing.get_args(hint) if each is not types.NoneType)
        return "" if value is None else _mismatch(value, kind)
    if typing.get_origin(hint) is tuple:
        first, *others = typing.get_args(hint)
        count = None if others == [...] else 1 + len(others)
        several = f"{'several' if count is None else count} of {_KINDS[first][1]}"
        fits = isinstance(value, tuple) and count in (None, len(value))
        return several if not fits or any(_mismatch(each, first) for each in value) else ""
    kind, expected = _KINDS[hint]
    if not isinstance(value, kind) or (hint is not bool and isinstance(value, bool)):
        return expected
    if hint is float and not math.isfinite(float(typing.cast(float, value))):
        return "a finite number"
    return ""


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)
