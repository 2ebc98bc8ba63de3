"""Translates earlier names of settings in files, and refuses them from users."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

DROPPED = object()  # In place of a new value: the old value has no effect any more.


@dataclasses.dataclass(frozen=True)
class Rename:
    """Renaming of a field, or of a section with all its fields.

    Attributes:
        old: Its earlier dotted path.
        new: Its path after this renaming; equal to `old` where only values have new names.
        values: New values by old ones; any other stays as it is.
    """

    old: str
    new: str
    values: Mapping[Any, Any] = dataclasses.field(default_factory=dict)


_SELECT = {True: ["score", "oracle"], False: ["score"]}

# In the order in which they happened, so that a path may change more than once. Where two old
# fields became one, the later row prevails.
RENAMES = (
    Rename(
        "model.adapter_kind",
        "model.peft.kind",
        {"full": "sam_med2d", "light": "conv_bottleneck"},
    ),
    Rename("model.adapters", "model.peft.kind", {True: DROPPED, False: "none"}),
    Rename("model.adapter_ratio", "model.peft.ratio"),
    Rename("model.adapter_init", "model.peft.init", {"reference": "kaiming"}),
    Rename("input", "preprocessing"),
    Rename("input_from", "preprocessing_from"),
    Rename("session", "prompting"),
    Rename("test", "evaluation"),
    Rename("validation.test", "validation.evaluation"),
    Rename("evaluation.oracle", "evaluation.select", _SELECT),
    Rename("validation.evaluation.oracle", "validation.evaluation.select", _SELECT),
)


def translate(content: Mapping[str, Any]) -> dict[str, Any]:
    """Translates settings with earlier names to the current names.

    Args:
        content: Nested sections of fields, as in JSON; not modified.
    """
    translated = _copy(content)
    for rename in RENAMES:
        *sections, name = rename.old.split(".")
        section = _section(translated, sections)
        if section is None or name not in section:
            continue
        value = _new_value(rename, section.pop(name))
        if value is not DROPPED:
            *sections, name = rename.new.split(".")
            section = _section(translated, sections, make=True)
            if section is not None:
                section[name] = value
    return translated


def check_names(paths: Iterable[str]) -> None:
    """Refuses earlier names of fields.

    Raises:
        ValueError: A name is an earlier one; the message has the new name.
    """
    for path in paths:
        new, values = path, ""
        for rename in RENAMES:
            if rename.old != rename.new and f"{new}.".startswith(f"{rename.old}."):
                new = rename.new + new.removeprefix(rename.old)
                values = ", ".join(
                    f"{old} is now {value}"
                    for old, value in rename.values.items()
                    if value is not DROPPED
                )
        if new != path:
            new_values = f" ({values})" if values else ""
            raise ValueError(f"{path}: expected its new name {new}{new_values}")


def _copy(content: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _copy(value) if isinstance(value, Mapping) else value
        for name, value in content.items()
    }


def _section(
    content: dict[str, Any], path: Iterable[str], make: bool = False
) -> dict[str, Any] | None:
    """Returns the section at a path; None if there is none."""
    section: Any = content
    for name in path:
        section = section.setdefault(name, {}) if make else section.get(name)
        if not isinstance(section, dict):
            return None
    return section


def _new_value(rename: Rename, value: Any) -> Any:
    # Compared one by one: a damaged file may hold lists, which are not hashable.
    return next((new for old, new in rename.values.items() if old == value), value)
