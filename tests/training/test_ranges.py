"""Ranges and choices of all settings; an error names the field as the user typed it."""

import dataclasses
import typing
from typing import Annotated, Any, Literal

import pytest

from samjax import fields
from samjax.conversion import families
from samjax.training import config as training_config
from samjax.training.config import Experiment

FREE = {"preprocessing.mean"}  # Numbers of which any will do.
OPEN = {  # Texts that are no choice: paths, names, and `Npt` for any N.
    *("init_from", "data.root", "data.leave_out", "mesh.coordinator"),
    *("validation.evaluation.protocols", "evaluation.protocols"),
    "init_fresh",
    "data.classes",
    "data.cache_dir",
}


def leaves(kind: type, start: str = "") -> dict[str, Any]:
    """The hints of all fields of a tree of dataclasses, by path."""
    found = {}
    for name, hint in fields.hints(kind).items():
        if dataclasses.is_dataclass(hint):
            found |= leaves(typing.cast(type, hint), f"{start}{name}.")
        else:
            found[start + name] = hint
    return found


LEAVES = leaves(Experiment)


def plain(hint: Any) -> tuple[Any, list[fields.Range]]:
    """The type of one value of a field, and its ranges."""
    if type(None) in typing.get_args(hint):
        return plain(next(each for each in typing.get_args(hint) if each is not type(None)))
    if typing.get_origin(hint) is tuple:
        return plain(typing.get_args(hint)[0])
    if typing.get_origin(hint) is Annotated:
        kind, *ranges = typing.get_args(hint)
        return kind, ranges
    return hint, []


def bad(path: str) -> list[Any]:
    """Values that the field must not have: of another type, and beyond its range."""
    hint = LEAVES[path]
    kind, ranges = plain(hint)
    wrong: list[Any] = [object(), "abc" if kind in (int, float, bool) else 3]
    if kind is float:
        wrong.append(float("nan"))
    if hint == fields.Pattern:
        return [*wrong, "a("]
    for limit in ranges:
        wrong.append(limit.low if limit.above else limit.low - 1)
        if limit.high < float("inf"):
            wrong.append(limit.high if limit.below else limit.high + 1)
    if typing.get_origin(kind) is Literal:
        wrong.append("other")
    if typing.get_origin(hint) is tuple:
        count = len(getattr_path(Experiment(), path)) or 1
        wrong += [(value,) * count for value in wrong]
    return wrong


def getattr_path(value: Any, path: str) -> Any:
    for name in path.split("."):
        value = getattr(value, name)
    return value


@pytest.mark.parametrize("path", LEAVES)
def test_a_field_says_what_it_allows(path):
    kind, ranges = plain(LEAVES[path])
    if kind in (int, float):
        assert (len(ranges) == 1) == (path not in FREE)
    elif kind is str:
        assert path in OPEN
    else:
        assert kind is bool or typing.get_origin(kind) is Literal


@pytest.mark.parametrize("path", LEAVES)
def test_an_error_names_the_field_as_it_is_typed(path):
    tree = dataclasses.asdict(Experiment())
    *sections, name = path.split(".")
    section = tree
    for each in sections:
        section = section[each]
    for value in bad(path):
        section[name] = value
        with pytest.raises(ValueError) as caught:
            training_config.from_dict(tree)
        assert str(caught.value).startswith(f"{path}: expected "), (value, str(caught.value))
        assert str(caught.value).endswith(f", found {value!r}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"evaluation": {"protocols": ("bbox", "3p")}},
            "evaluation.protocols: expected bbox, bbox_grow10",
        ),
        (
            {"validation": {"evaluation": {"protocols": ()}}},
            "validation.evaluation.protocols: expected differ",
        ),
        (
            {"prompting": {"point_counts": ()}},
            "prompting.point_counts: expected at least one count",
        ),
        ({"mesh": {"rules": "fsdp"}}, "mesh.rules: "),
        ({"mesh": {"process_index": 1}}, "mesh.process_index: expected 0 to process_count - 1"),
        ({"data": {"augment": 3}}, "data.augment: expected fields, found 3"),
        ({"data": {"augment": {"flop": 3}}}, "data.augment.flop: expected no such field"),
        ({"optim": None}, "optim: expected fields, found None"),
    ],
)
def test_the_path_of_what_does_not_go_together(change, message):
    tree = {"data": {"root": ""}, **change}
    if isinstance(tree["data"], dict):
        tree["data"] = {"root": "", **tree["data"]}
    with pytest.raises(ValueError, match="^" + message):
        training_config.from_dict(tree)


def test_every_family_has_its_input():
    assert typing.get_args(families.Family) == tuple(families.FAMILIES)
