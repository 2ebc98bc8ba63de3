"""Values of settings, held against the type hints of their dataclass."""

import dataclasses
import functools
import math
import numbers
import typing
from typing import Any

_KINDS = {
    int: (numbers.Integral, "a whole number"),
    float: (numbers.Real, "a number"),
    str: (str, "text"),
    bool: (bool, "true or false"),
}


def check(config: Any, where: str) -> None:
    """Checks that every field of a dataclass has a value of its type; numbers must be finite.

    Known are int, float, str, bool, tuples of these, and dataclasses.

    Args:
        config: An instance.
        where: What the message calls it.

    Raises:
        ValueError: A field does not; the message names it with the expected and the found.
    """
    for name, hint in _hints(type(config)).items():
        value = getattr(config, name)
        expected = _mismatch(value, hint)
        if expected:
            raise ValueError(f"{where}.{name}: expected {expected}, found {value!r}")


def _mismatch(value: Any, hint: Any) -> str:
    """What was expected, or nothing where the value fits."""
    if dataclasses.is_dataclass(hint):
        return "" if isinstance(value, typing.cast(type, hint)) else "fields"
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
