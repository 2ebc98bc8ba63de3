"""Flags for the loading and the preprocessing of a checkpoint, the same for every command."""

import argparse
from typing import Any

from samjax import fields
from samjax.cli.parser import flag, specified
from samjax.conversion import families
from samjax.data.inputs import Preprocessing

_PREFIX = "preprocessing_"  # Of the fields' names among the parsed arguments.

_HELP = {
    "resize": "fit of an image into the square input",
    "interpolation": "interpolation of images",
    "channel_order": "order of the colour channels",
    "mask_prompt": "form of the previous mask as a prompt",
    "normalise": "values by mean and std, or from 0 to 1 by the image's extremes",
    "coordinates": "scale of prompts: one per axis, or one for both",
    "mean": "mean of each channel, for values from 0 to 255",
    "std": "divisor of each channel, for values from 0 to 255",
    "box_margin": "enlargement of evaluation's boxes on each side, pixels of the input",
    "multimask": "predict three candidate masks, or one",
    "point_prompts": "the network was trained with points, or without",
}


def add(parser: argparse.ArgumentParser, multimask: bool = True) -> None:
    """Adds `--family`, a flag for every field of `Preprocessing`, and `--allow-non-finite`.

    Args:
        parser: Parser of a command.
        multimask: Whether to add `--multimask`; a command may use that flag for something else.
    """
    group = parser.add_argument_group("preprocessing of images, in place of the checkpoint's")
    group.add_argument(
        "--family", choices=tuple(families.FAMILIES), help="all settings of a published family"
    )

    def add_field(name: str, **how: Any) -> None:
        group.add_argument(flag(name), dest=_PREFIX + name, help=_HELP[name], **how)

    for field, values in fields.choices(Preprocessing).items():
        add_field(field, choices=values)
    for field in ("mean", "std"):
        add_field(field, nargs=3, type=float, metavar="X")
    add_field("box_margin", type=float, metavar="PIXELS")
    for field in ("multimask", "point_prompts") if multimask else ("point_prompts",):
        add_field(field, action=argparse.BooleanOptionalAction)
    parser.add_argument(
        "--allow-non-finite", action="store_true", help="accept weights that are NaN or infinite"
    )


def overrides(arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns the fields of `Preprocessing` that the command line specifies.

    Raises:
        ValueError: One has a value that cannot work; the message names the flag.
    """
    found = specified(arguments, fields.hints(Preprocessing), _PREFIX)
    with fields.naming(flag):
        Preprocessing(**found)
    return found


def loading(arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns the keyword arguments of `conversion.load_or_convert` that the flags specify."""
    return {
        "family": arguments.family,
        "preprocessing_overrides": overrides(arguments),
        "allow_non_finite": arguments.allow_non_finite,
    }
