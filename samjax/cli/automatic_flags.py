"""Flags of automatic masks: `--auto`, and SAM's settings by their names."""

import argparse
from typing import TYPE_CHECKING

from samjax.cli.parser import flag, specified

if TYPE_CHECKING:
    from samjax.inference import AutomaticConfig

_SETTINGS = {
    "points_per_side": (int, "N", "points along each side of the image; default: 32"),
    "points_per_batch": (int, "N", "points that are decoded at a time; default: 64"),
    "pred_iou_thresh": (float, "X", "masks have a predicted IoU above this; default: 0.88"),
    "stability_score_thresh": (float, "X", "masks have at least this stability; default: 0.95"),
    "stability_score_offset": (float, "X", "offset of stability's cut-offs, logits; default: 1"),
    "box_nms_thresh": (float, "X", "largest IoU of the boxes of two masks; default: 0.7"),
    "crop_n_layers": (int, "N", "layers of crops, layer i with 2^i x 2^i; default: 0"),
    "crop_nms_thresh": (float, "X", "largest IoU of boxes of two crops' masks; default: 0.7"),
    "crop_overlap_ratio": (float, "X", "overlap of crops over the shorter side; default: 0.34"),
    "crop_n_points_downscale_factor": (
        int,
        "N",
        "divisor of the points per side from one layer to the next; default: 1",
    ),
    "min_mask_region_area": (
        int,
        "N",
        "smallest holes and islands that stay, pixels; default: 0, which changes no mask",
    ),
}
_OTHERS = ("box", "point", "prompts", "multimask", "ensemble")  # Flags that --auto excludes.


def add(parser: argparse.ArgumentParser) -> None:
    """Adds `--auto`, `--auto-settings` and a flag for every setting."""
    group = parser.add_argument_group("automatic masks: all objects, without prompts")
    group.add_argument(
        "--auto", action="store_true", help="find all objects by a grid of points, as SAM does"
    )
    group.add_argument(
        "--auto-settings",
        metavar="FILE",
        help="settings that `samjax evaluate --tune-auto` wrote; flags replace some",
    )
    for name, (kind, metavar, text) in _SETTINGS.items():
        group.add_argument(flag(name), type=kind, metavar=metavar, help=text)


def config(arguments: argparse.Namespace) -> "AutomaticConfig | None":
    """Returns the settings that the flags and the file specify; None without `--auto`.

    Raises:
        ValueError: A flag stands beside one that excludes it, or without `--auto`, or a setting has
            a value that cannot work; the message names the flag or the file.
    """
    from samjax import fields
    from samjax.data.files import DataError
    from samjax.inference import AutomaticConfig, automatic_config

    given = specified(arguments, _SETTINGS)
    if not arguments.auto:
        if given or arguments.auto_settings is not None:
            name = "auto_settings" if arguments.auto_settings is not None else next(iter(given))
            raise ValueError(f"{flag(name)}: expected --auto beside it")
        return None
    if excluded := next((name for name in _OTHERS if vars(arguments)[name]), None):
        raise ValueError(
            f"--auto: expected no {flag(excluded)}, as it finds objects without prompts, and "
            "chooses one mask or several by itself"
        )
    settings = {}
    if arguments.auto_settings is not None:
        settings = vars(automatic_config.read_settings(arguments.auto_settings))
        if settings["points_per_side"] is None and "points_per_side" not in given:
            raise DataError(
                f"{arguments.auto_settings}: settings.points_per_side: expected a number, found "
                "none; give --points-per-side"
            )
    with fields.naming(flag):
        return fields.from_dict(AutomaticConfig, settings | given)
