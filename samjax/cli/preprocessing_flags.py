"""Flags that say how a checkpoint is loaded and its images prepared, alike for every command."""

import argparse
from typing import Any

from samjax import fields
from samjax.cli.parser import flag, given
from samjax.conversion import families
from samjax.data.inputs import Preprocessing

_PREFIX = "preprocessing_"  # Of their names among the parsed arguments.


def add(parser: argparse.ArgumentParser, multimask: bool = True) -> None:
    """Adds `--family`, a flag for every field of `Preprocessing`, and `--allow-non-finite`.

    Args:
        parser: Parser of a command.
        multimask: Whether `--multimask` is one of them; a command may mean something else by it.
    """
    group = parser.add_argument_group(
        "how images are prepared, if other than the checkpoint tells or its kind has"
    )
    group.add_argument("--family", choices=tuple(families.FAMILIES), help="as for this family")

    def add_field(name: str, **how: Any) -> None:
        group.add_argument(flag(name), dest=_PREFIX + name, **how)

    for field, values in fields.choices(Preprocessing).items():
        add_field(field, choices=values)
    for field in ("mean", "std"):
        add_field(field, nargs=3, type=float, metavar="X")
    add_field("box_margin", type=float, metavar="PIXELS")
    for field in ("multimask", "point_prompts") if multimask else ("point_prompts",):
        add_field(field, action=argparse.BooleanOptionalAction)
    parser.add_argument(
        "--allow-non-finite", action="store_true", help="take weights that are NaN or infinite"
    )


def overrides(arguments: argparse.Namespace) -> dict[str, Any]:
    """The fields of `Preprocessing` that were given.

    Raises:
        ValueError: One has a value that cannot work; the message names the flag.
    """
    found = given(arguments, fields.hints(Preprocessing), _PREFIX)
    with fields.naming(flag):
        Preprocessing(**found)
    return found


def loading(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the flags say about loading a model, as `conversion.load_or_convert` takes it."""
    return {
        "family": arguments.family,
        "preprocessing_overrides": overrides(arguments),
        "allow_non_finite": arguments.allow_non_finite,
    }
