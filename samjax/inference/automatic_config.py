"""Settings of automatic masks, with the names and defaults of SAM's mask generator."""

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from samjax import fields
from samjax.data.files import DataError
from samjax.data.metadata import read_json


@dataclasses.dataclass(frozen=True)
class AutomaticConfig:
    """Settings of automatic masks.

    The defaults are SAM's, chosen for its ViT-H on photographs. The two thresholds suit no other
    model: `samjax evaluate --tune-auto` chooses them on training images.

    Attributes:
        points_per_side: Points along each side of the image, one prompt each; None where
            `point_grids` has the points.
        points_per_batch: Points that are decoded at a time.
        pred_iou_thresh: Masks have a predicted IoU above this; 0 keeps all.
        stability_score_thresh: Masks have at least this stability: the IoU of the masks at the
            cut-offs `+ stability_score_offset` and `- stability_score_offset`; 0 keeps all.
        stability_score_offset: Offset of the cut-offs, in logits.
        box_nms_thresh: Of two masks whose boxes have an IoU above this, only that with the higher
            predicted IoU is kept.
        crop_n_layers: Layers of crops; layer i has 2^i x 2^i crops of the image.
        crop_nms_thresh: The same as `box_nms_thresh` for masks of all crops; that of the smaller
            crop is kept.
        crop_overlap_ratio: Overlap of the first layer's crops over the image's shorter side; half
            as much in each further layer.
        crop_n_points_downscale_factor: Divisor of the points per side in layer i: this to the
            power of i.
        min_mask_region_area: Smallest holes and islands that stay, pixels; 0 changes no mask.
        output_mode: Form of the masks: `binary_mask`, or COCO's run lengths as numbers or as text,
            `uncompressed_rle` and `coco_rle`.

    Raises:
        ValueError: A field has a value that cannot work.
    """

    points_per_side: fields.PositiveInt | None = 32
    points_per_batch: fields.PositiveInt = 64
    pred_iou_thresh: fields.Probability = 0.88
    stability_score_thresh: fields.Probability = 0.95
    stability_score_offset: fields.NonNegativeFloat = 1.0
    box_nms_thresh: fields.Probability = 0.7
    crop_n_layers: fields.NonNegativeInt = 0
    crop_nms_thresh: fields.Probability = 0.7
    crop_overlap_ratio: fields.Probability = 512 / 1500
    crop_n_points_downscale_factor: fields.PositiveInt = 1
    min_mask_region_area: fields.NonNegativeInt = 0
    output_mode: Literal["binary_mask", "uncompressed_rle", "coco_rle"] = "binary_mask"

    def __post_init__(self) -> None:
        fields.check(self)
        if self.points_per_side is not None and not self._per_side(self.crop_n_layers):
            raise fields.FieldError(
                "crop_n_points_downscale_factor",
                f"expected at least one point per side in each of {self.crop_n_layers} layers of "
                f"crops, found {self.points_per_side} / {self.crop_n_points_downscale_factor}^"
                f"{self.crop_n_layers}",
            )

    def grids(self, point_grids: Sequence[ArrayLike] | None = None) -> list[np.ndarray]:
        """Returns the points of every layer, (n, 2) in shares of the crop's width and height.

        Args:
            point_grids: Points to use, in place of a grid of `points_per_side`.

        Raises:
            ValueError: Both are given or none, or the points are not of this form.
        """
        layers = range(self.crop_n_layers + 1)
        if (self.points_per_side is None) == (point_grids is None):
            both = "neither" if point_grids is None else "both"
            raise fields.FieldError(
                "points_per_side", f"expected it or point_grids, the other None, found {both}"
            )
        if point_grids is None:
            return [point_grid(self._per_side(layer)) for layer in layers]
        if isinstance(point_grids, np.ndarray) or len(point_grids) != len(layers):
            found = "one array" if isinstance(point_grids, np.ndarray) else len(point_grids)
            raise fields.FieldError(
                "point_grids",
                f"expected a list of {len(layers)}, one for each layer, found {found}",
            )
        return [_checked_grid(grid, layer) for layer, grid in zip(layers, point_grids, strict=True)]

    def _per_side(self, layer: int) -> int:
        return (self.points_per_side or 0) // self.crop_n_points_downscale_factor**layer


def point_grid(per_side: int) -> np.ndarray:
    """Returns the centres of a grid of `per_side` x `per_side` cells of the unit square, (n, 2)."""
    centres = (np.arange(per_side) + 0.5) / per_side
    x, y = np.meshgrid(centres, centres)
    return np.stack([x, y], axis=-1).reshape(-1, 2)


def read_settings(path: str | os.PathLike[str]) -> AutomaticConfig:
    """Reads settings from the file that `samjax evaluate --tune-auto` writes.

    Raises:
        DataError: The file is missing, or has no settings that can work.
    """
    content = read_json(Path(path))
    settings = content.get("settings")
    if not isinstance(settings, dict):
        raise DataError(f"{path}: expected settings as --tune-auto writes them, found none")
    try:
        return fields.from_dict(AutomaticConfig, settings)
    except ValueError as error:
        raise DataError(f"{path}: settings.{error}") from error


def encode_settings(config: AutomaticConfig, tuning: dict[str, Any]) -> bytes:
    """Encodes the file that `read_settings` reads, with all that is known of their choice."""
    content = {"settings": dataclasses.asdict(config), "tuning": tuning}
    return (json.dumps(content, indent=1) + "\n").encode()


def _checked_grid(grid: ArrayLike, layer: int) -> np.ndarray:
    where = f"point_grids[{layer}]"
    try:
        points = np.asarray(grid, np.float64)
    except (TypeError, ValueError) as error:
        raise fields.FieldError(where, f"expected shape (n, 2) of numbers: {error}") from error
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise fields.FieldError(where, f"expected shape (n, 2), found {points.shape}")
    if not ((points >= 0) & (points <= 1)).all():
        raise fields.FieldError(where, "expected shares from 0 to 1, found others")
    return points
