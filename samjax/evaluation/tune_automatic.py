"""Choice of the thresholds of automatic masks, on training images.

SAM's thresholds suit its ViT-H alone. Here candidates are quantiles of the model's own predicted
IoUs and stability scores. Masks are generated once per image, with no threshold; every pair of
candidates then only filters them and suppresses duplicates. The pair with the highest F1 counts: of
masks that find an object (IoU of at least 0.5, one mask for one object) over the means of masks and
objects. Where not all objects of an image have a true mask, all pairs are judged too low alike.
"""

import dataclasses
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from samjax.data import index, metadata
from samjax.data.files import DataError
from samjax.data.index import Sample
from samjax.evaluation import evaluator, report_tables
from samjax.evaluation.protocols import everything
from samjax.evaluation.results import EvalConfig
from samjax.inference import batch
from samjax.inference.automatic import check_model
from samjax.inference.automatic_config import AutomaticConfig
from samjax.inference.automatic_crops import suppress
from samjax.inference.automatic_proposals import sufficient
from samjax.models.directory import Model

QUANTILES = (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
NAME = "auto_settings.json"
POINTS = 16  # Points per side while tuning: thresholds hardly depend on it.
_FOUND = everything.FOUND


@dataclasses.dataclass(frozen=True)
class ImageCandidates:
    """All masks of one image without thresholds.

    Attributes:
        predicted_iou: Predicted IoU, (p,).
        stability: Stability score, (p,).
        boxes: Boxes, (p, 4).
        dice: Dice with each true mask, (k, p).
        iou: IoU with each true mask, (k, p).
    """

    predicted_iou: np.ndarray
    stability: np.ndarray
    boxes: np.ndarray
    dice: np.ndarray
    iou: np.ndarray


def tune(
    model: Model,
    root: str | os.PathLike[str],
    samples: Sequence[Sample],
    config: EvalConfig,
    points: int = POINTS,
) -> tuple[AutomaticConfig, dict[str, Any]]:
    """Chooses the thresholds of predicted IoU and stability on training images.

    Args:
        model: The model.
        root: The data folder.
        samples: Training images.
        config: Settings of the evaluation; `limit` and `automatic` count.
        points: Points per side.

    Returns:
        The settings, and what is known of the choice: `f1`, `recall50`, `masks_found` an image and
        `dice_oracle` with SAM's thresholds (`before`) and the chosen ones (`after`), and the
        numbers of `images` and `objects`.

    Raises:
        ValueError: The model takes no points.
        DataError: There is no object, or the model finds no mask in any image.
    """
    check_model(model)
    model = evaluator.on_device(model)
    samples = evaluator.limited(samples, config.limit)
    free = dataclasses.replace(config.automatic, pred_iou_thresh=0.0, stability_score_thresh=0.0)
    candidates = [*_candidates(model, root, samples, config, free, points)]
    objects = sum(len(each.dice) for each in candidates)
    if not objects or not any(len(each.boxes) for each in candidates):
        raise DataError(f"{root}: expected objects and masks to tune on, found none of either")
    scores = np.concatenate([each.predicted_iou for each in candidates])
    stability = np.concatenate([each.stability for each in candidates])
    options = [
        dataclasses.replace(
            config.automatic, pred_iou_thresh=float(iou), stability_score_thresh=float(stable)
        )
        for iou in np.quantile(scores, QUANTILES).clip(0, 1).round(4)
        for stable in np.quantile(stability, QUANTILES).clip(0, 1).round(4)
    ]
    found = [quality(candidates, option) for option in tqdm(options, desc="tuning", disable=None)]
    best = max(range(len(options)), key=lambda i: found[i]["f1"])
    about = {
        "images": len(candidates),
        "objects": objects,
        "points_per_side": points,
        "before": quality(candidates, config.automatic),
        "after": found[best],
    }
    return options[best], about


def check_apart(root: str | os.PathLike[str], samples: Iterable[Sample]) -> None:
    """Checks that images to tune on are of no subject of the split `test`, if there is one.

    Raises:
        DataError: An image or a subject is in both.
    """
    if "test" not in index.list_splits(root):
        return
    test = index.load_index(root, "test")
    images, subjects = {each.image for each in test}, {each.subject for each in test}
    for each in samples:
        known = each.patient or each.case != metadata.UNKNOWN
        if each.image in images or (known and each.subject in subjects):
            raise DataError(
                f"{each.image}: expected an image to tune on of a subject that is not in the split "
                f"test, found {each.subject}"
            )


def table(chosen: AutomaticConfig, about: dict[str, Any]) -> str:
    """Formats what the chosen thresholds change on the images they were chosen on, in Markdown."""
    rows = [["Thresholds", "F1", "Recall at 0.5", "Masks an image", "Dice, oracle (%)"]]
    both = f"{chosen.pred_iou_thresh:.3f}, {chosen.stability_score_thresh:.3f}"
    for name, found in (("before", about["before"]), (f"chosen: {both}", about["after"])):
        numbers = [f"{found['f1']:.3f}", f"{found['recall50']:.3f}"]
        numbers += [f"{found['masks_found']:.1f}", f"{100 * found['dice_oracle']:.2f}"]
        rows.append([name, *numbers])
    return report_tables.markdown(report_tables.aligned(rows))


def quality(candidates: Iterable[ImageCandidates], config: AutomaticConfig) -> dict[str, float]:
    """Returns the quality of the masks that pass the filters.

    Returns:
        `f1` at an IoU of 0.5; `recall50`, the share of objects with such a mask; `masks_found`, the
        masks an image; `dice_oracle`, the mean over objects of the highest Dice.
    """
    matched = hit = masks = objects = images = 0
    dice: list[float] = []
    for each in candidates:
        passing = np.flatnonzero(sufficient(each.predicted_iou, each.stability, config))
        chosen = suppress(each.boxes[passing], each.predicted_iou[passing], config.box_nms_thresh)
        kept = passing[chosen]
        iou = each.iou[:, kept]
        matched += _matches(iou)
        hit += int((iou >= _FOUND).any(axis=1).sum())
        masks, objects, images = masks + len(kept), objects + len(iou), images + 1
        dice += each.dice[:, kept].max(axis=1, initial=0).tolist()
    return {
        "f1": 2 * matched / max(masks + objects, 1),
        "recall50": hit / max(objects, 1),
        "masks_found": masks / max(images, 1),
        "dice_oracle": float(np.mean(dice)) if dice else 0.0,
    }


def _matches(iou: np.ndarray) -> int:
    """Returns the number of pairs of object and mask, the best ones first, each in one pair."""
    pairs = np.argwhere(iou >= _FOUND)
    order = np.argsort(-iou[tuple(pairs.T)], kind="stable")
    objects: set[int] = set()
    masks: set[int] = set()
    for row, column in pairs[order].tolist():
        if row not in objects and column not in masks:
            objects.add(row)
            masks.add(column)
    return len(objects)


def _candidates(
    model: Model,
    root: str | os.PathLike[str],
    samples: Sequence[Sample],
    config: EvalConfig,
    free: AutomaticConfig,
    points: int,
) -> Iterator[ImageCandidates]:
    loaded = evaluator.load_images(model, root, samples, config, None)
    for image in tqdm(loaded, total=len(samples), desc="all masks", unit="image", disable=None):
        at = image.loaded.placement
        features = batch.encode(
            model.config, model.params, image.loaded.image[None], config.adapters
        )
        images = batch.ImageEmbeddings(batch.pack_weights(model.params), features, (at,))
        found = everything.masks_of_grid(model, images, 0, free, points)
        if not len(found):
            count = len(image.loaded.original_masks)
            none = np.zeros((count, 0))
            yield ImageCandidates(np.zeros(0), np.zeros(0), np.zeros((0, 4)), none, none)
            continue
        dice, iou = everything.overlaps(image, found, model.config.image_size)
        yield ImageCandidates(found.predicted_iou, found.stability, found.boxes, dice, iou)
