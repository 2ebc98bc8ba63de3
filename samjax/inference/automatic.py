"""Automatic masks: all objects that a grid of points finds in an image, as SAM's generator does.

Kirillov et al., "Segment Anything", 2023, appendix B: points on a grid, in the image and in crops
of it; filters by predicted IoU and stability; suppression of duplicates; small regions. Names of
settings and results are those of SAM's published `SamAutomaticMaskGenerator`.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from samjax.data import run_lengths
from samjax.inference import automatic_crops, batch
from samjax.inference.automatic_config import AutomaticConfig
from samjax.inference.automatic_proposals import (
    MaskProposals,
    iter_masks,
    propose,
    without_duplicates,
)
from samjax.inference.image_arrays import to_uint8_array
from samjax.inference.predictor import Predictor
from samjax.models.directory import Model


class AutomaticMaskGenerator:
    """Finds masks in whole images without prompts: `SamAutomaticMaskGenerator` of SAM.

    The image is embedded once, and so is each crop. Predicted IoU, stability and boxes are computed
    on the device; of full size, only masks that pass all filters leave it.

    Attributes:
        predictor: Predictor with the model.
        config: Settings.
    """

    def __init__(
        self,
        model: Model | Predictor,
        config: AutomaticConfig | None = None,
        *,
        point_grids: Sequence[ArrayLike] | None = None,
        adapters: bool | None = None,
        **settings: Any,
    ):
        """Checks the settings; moves the parameters of a model to the device.

        Args:
            model: The model, or a predictor with it.
            config: Settings; None: those of SAM.
            point_grids: Points of every layer of crops, each (n, 2) in shares of the crop's width
                and height; `points_per_side` is None then.
            adapters: Whether the image encoder uses its adapters, if it has any; None: yes, or as
                the predictor does.
            **settings: Fields of `config` to replace, such as `points_per_side=16`.

        Raises:
            ValueError: A setting has a value that cannot work, the model takes no points, or the
                predictor was made with the other choice of `adapters`.
        """
        self.config = _with_settings(config or AutomaticConfig(), settings)
        self._grids = self.config.grids(point_grids)
        check_model(model.model if isinstance(model, Predictor) else model)
        self.predictor = (
            model if isinstance(model, Predictor) else Predictor(model, adapters is not False)
        )
        if adapters not in (None, self.predictor.adapters):
            found = self.predictor.adapters
            raise ValueError(f"adapters: expected {found}, as in the predictor, found {adapters}")

    def generate(
        self,
        image: batch.ImageLike,
        image_format: str = "RGB",
        embedded: batch.ImageEmbeddings | None = None,
    ) -> list[dict[str, Any]]:
        """Generates masks of an image.

        Args:
            image: Image, as in `Predictor.set_image`.
            image_format: Channel order of a colour array, `RGB` or `BGR`.
            embedded: The image's embedding, if it is there already.

        Returns:
            A dict for each mask, none if no mask passes the filters. They are in SAM's order: by
            falling predicted IoU; with crops, those of smaller crops first; with small regions
            removed, unchanged masks first.

            * `segmentation`: (h, w) bool, or run lengths (`output_mode`).
            * `bbox`: Box (x, y, width, height), SAM's: from the first to the last pixel, so that
              the box of one pixel has no width.
            * `area`: Pixels.
            * `predicted_iou`, `stability_score`: What the filters compare.
            * `point_coords`: The point, [[x, y]].
            * `crop_box`: The crop (x, y, width, height).

        Raises:
            ValueError: The image is not of this type or shape.
        """
        pixels = to_uint8_array(image, image_format)
        found = self.propose(pixels, image_format, embedded)
        return self._records(found, pixels.shape[0], pixels.shape[1])

    def propose(
        self,
        pixels: np.ndarray,
        image_format: str = "RGB",
        embedded: batch.ImageEmbeddings | None = None,
    ) -> MaskProposals:
        """Returns the masks that pass all filters, before small regions are removed.

        Args:
            pixels: Image, (h, w) or (h, w, 3) uint8.
            image_format: Channel order, `RGB` or `BGR`.
            embedded: The image's embedding, if it is there already.
        """
        config, model = self.config, self.predictor.model
        size = pixels.shape[0], pixels.shape[1]
        crops = automatic_crops.crops(*size, config.crop_n_layers, config.crop_overlap_ratio)
        parts = []
        for crop in crops:
            if crop.layer or embedded is None:
                part = np.ascontiguousarray(pixels[crop.y0 : crop.y1, crop.x0 : crop.x1])
                features = batch.embed_images(
                    model, [part], adapters=self.predictor.adapters, image_format=image_format
                )
            else:
                features = embedded
            proposals = propose(model, features, 0, self._grids[crop.layer], config, crop, size)
            parts.append(without_duplicates(proposals, config))
        found = MaskProposals.concatenate(parts)
        if len(crops) == 1:
            return found
        sides = found.crops[:, 2:] - found.crops[:, :2]
        kept = automatic_crops.suppress(found.boxes, 1 / sides.prod(axis=1), config.crop_nms_thresh)
        return found.take(kept)

    def _records(self, found: MaskProposals, height: int, width: int) -> list[dict[str, Any]]:
        """Returns the results of masks, their small regions removed."""
        masks = iter_masks(found, height, width, self.predictor.model.config.image_size)
        encoded = [run_lengths.encode(mask) for mask in masks]
        if self.config.min_mask_region_area:
            found, encoded = self._without_small_regions(found, encoded)
        written = {
            "binary_mask": run_lengths.decode,
            "uncompressed_rle": dict,
            "coco_rle": run_lengths.compressed,
        }[self.config.output_mode]
        rows = zip(encoded, *map(_listed, vars(found).values()), strict=True)
        return [
            {
                "segmentation": written(mask),
                "area": run_lengths.area(mask),
                "bbox": _width_height(box),
                "predicted_iou": predicted_iou,
                "point_coords": [point],
                "stability_score": stability,
                "crop_box": _width_height(crop),
            }
            for mask, _, predicted_iou, stability, box, point, crop, _ in rows
        ]

    def _without_small_regions(
        self, found: MaskProposals, encoded: list[run_lengths.RunLengths]
    ) -> tuple[MaskProposals, list[run_lengths.RunLengths]]:
        """Fills small holes and drops small islands, then drops what has become a duplicate.

        Of duplicates, a mask that was not changed stays.
        """
        area, config = self.config.min_mask_region_area, self.config
        boxes, unchanged = found.boxes.copy(), np.ones(len(found))
        for i, of_mask in enumerate(encoded):
            mask, filled = automatic_crops.fill_small_holes(run_lengths.decode(of_mask), area)
            mask, dropped = automatic_crops.drop_small_islands(mask, area)
            if filled or dropped:
                encoded[i], unchanged[i] = run_lengths.encode(mask), 0
                boxes[i] = automatic_crops.mask_box(mask)
        threshold = max(config.box_nms_thresh, config.crop_nms_thresh)
        kept = automatic_crops.suppress(boxes, unchanged, threshold)
        return dataclasses.replace(found, boxes=boxes).take(kept), [encoded[i] for i in kept]


def check_model(model: Model) -> None:
    """Checks that a model takes points as prompts.

    Raises:
        ValueError: It gives every pixel a class, or was trained with boxes alone.
    """
    if not model.config.head.keeps_masks:
        raise ValueError(
            f"automatic masks: expected a model that takes points, found one "
            f"(model.head.kind={model.config.head.kind}) that gives every pixel a class without"
        )
    if not model.preprocessing.supports_points:
        raise ValueError(
            "automatic masks: expected a model that takes points, found one that takes boxes alone "
            "(preprocessing.point_prompts)"
        )


def _with_settings(config: AutomaticConfig, settings: dict[str, Any]) -> AutomaticConfig:
    known = {field.name for field in dataclasses.fields(config)}
    if unknown := sorted(settings.keys() - known):
        raise ValueError(
            f"{unknown[0]}: expected one of {', '.join(sorted(known))} or point_grids, found no "
            "such setting"
        )
    return dataclasses.replace(config, **settings)


def _listed(values: np.ndarray) -> Any:
    return values if values.ndim == 3 else values.tolist()


def _width_height(box: list[int]) -> list[int]:
    x0, y0, x1, y1 = box
    return [x0, y0, x1 - x0, y1 - y0]
