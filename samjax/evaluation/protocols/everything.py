"""Segmenting everything: `S1`, `everything` and `everythingN`, without a prompt for any object.

A grid of N x N points in the image (32 x 32, `S1` and `everything`) gives the masks of SAM's
generator (`samjax.inference.automatic`), the same for all objects of an image. By the oracle, an
object has the mask with the highest Dice among them (COSMOS, section 3.5). A model that must choose
itself has only its predicted IoU, so the mask with the highest one counts by score. That shows how
little is left of this protocol without the truth.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence

import numpy as np

from samjax.evaluation import metrics
from samjax.evaluation.batches import PromptedImage
from samjax.evaluation.protocols.base import PredictionContext, ProtocolPredictions, Score
from samjax.inference.automatic_config import AutomaticConfig, point_grid
from samjax.inference.automatic_crops import Crop
from samjax.inference.automatic_proposals import (
    MaskProposals,
    iter_masks,
    propose,
    without_duplicates,
)
from samjax.inference.batch import ImageEmbeddings
from samjax.inference.decoder_weights import pack_weights
from samjax.models.directory import Model
from samjax.types import BACKGROUND, FOREGROUND

USUAL = 32  # Points per side.
FOUND = 0.5  # IoU from which an object counts as found.

_NAME = re.compile(r"everything([1-9]\d{0,2})?|S1")


@dataclasses.dataclass(frozen=True)
class EverythingProtocol:
    """All masks of a grid of points.

    Attributes:
        name: Name of the protocol.
        per_side: Points along each side of the image.
    """

    name: str
    per_side: int
    takes_points = True
    takes_boxes = False

    @property
    def title(self) -> str:
        """Returns the name as tables print it, such as `Everything, 32 x 32`."""
        return "S1" if self.name == "S1" else f"Everything, {self.per_side} x {self.per_side}"

    def score(self, steps: Sequence[Mapping[str, float]]) -> Score:
        """Returns the metrics of the mask that counts."""
        return Score(dict(steps[-1]))

    @classmethod
    def predict(
        cls, protocols: "Sequence[EverythingProtocol]", context: PredictionContext
    ) -> dict[str, ProtocolPredictions]:
        """Predicts a batch: each grid once, for all objects of an image."""
        by_grid: dict[int, ProtocolPredictions] = {}
        for each in protocols:
            if each.per_side not in by_grid:
                by_grid[each.per_side] = _predict(each.per_side, context)
        return {each.name: by_grid[each.per_side] for each in protocols}


def parse(name: str) -> EverythingProtocol | None:
    """Returns the protocol of a name; None for a name of another kind."""
    match = _NAME.fullmatch(name)
    return EverythingProtocol(name, int(match[1] or USUAL)) if match else None


def masks_of_grid(
    model: Model, images: ImageEmbeddings, row: int, config: AutomaticConfig, per_side: int
) -> MaskProposals:
    """Returns the masks of a grid in one embedded image, without crops of it, with duplicates."""
    at = images.placements[row]
    whole = Crop(0, 0, at.width, at.height, 0)
    size = at.height, at.width
    return propose(model, images, row, point_grid(per_side), config, whole, size)


def overlaps(
    image: PromptedImage, found: MaskProposals, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Compares every mask found in an image with every true one, at the image's own size.

    Args:
        image: The image.
        found: The masks, at least one.
        size: Side of the network's input.

    Returns:
        Dice and IoU, (true masks, masks found).
    """
    truths = image.loaded.original_masks.reshape(len(image.loaded.original_masks), -1)
    truths, areas = truths.astype(np.float32), truths.sum(1, dtype=np.int64)
    height, width = image.loaded.original_masks.shape[1:]
    counts = []
    for mask in iter_masks(found, height, width, size):
        flat = mask.ravel()
        # Exact: whole numbers up to 2^24 of float32, and larger masks lose less than a pixel of it.
        counts.append((truths @ flat.astype(np.float32), int(flat.sum())))
    both = np.stack([common for common, _ in counts], axis=1).astype(np.int64)
    predicted = np.array([area for _, area in counts])
    dice = metrics.dice(both, predicted[None], areas[:, None])
    return dice, metrics.iou(both, predicted[None], areas[:, None])


def _predict(per_side: int, context: PredictionContext) -> ProtocolPredictions:
    """Returns the mask with the highest predicted IoU, with the oracle the best one, too."""
    batch, model = context.batch, context.model
    placements = tuple(image.loaded.placement for image in batch.sources)
    images = ImageEmbeddings(pack_weights(model.params), context.images, placements)
    n, m, candidates = len(batch.boxes), model.config.mask_size, 1 + context.config.oracle
    logits = np.full((n, 1, candidates, m, m), -1, np.float32)  # No mask: an empty one.
    iou = np.zeros((n, 1, candidates), np.float32)
    points, labels = np.zeros((n, 1, 2), np.float32), np.full((n, 1), BACKGROUND, np.int32)
    extra: list[dict[str, float]] = [{"recall50": 0.0, "masks_found": 0.0} for _ in range(n)]
    for number, image in enumerate(batch.sources):
        arguments = (model, images, number, context.config.automatic, per_side)
        every: MaskProposals = context.timed("everything", masks_of_grid, *arguments)
        found = without_duplicates(every, context.config.automatic)
        if not len(found):
            continue
        dice, of_truth = overlaps(image, found, model.config.image_size)
        chosen = int(found.predicted_iou.argmax())
        for row, (of_row, i) in enumerate(batch.masks):
            if of_row is not image:
                continue
            picked = [chosen, int(dice[i].argmax())][:candidates]
            logits[row, 0], iou[row, 0] = found.low_res[picked], found.predicted_iou[picked]
            points[row] = image.loaded.placement.to_input(found.points[chosen][None])
            labels[row] = FOREGROUND
            is_found = float(of_truth[i].max() >= FOUND)
            extra[row] = {"recall50": is_found, "masks_found": float(len(found))}
    return ProtocolPredictions(logits, iou, points, labels, extra=tuple(extra))
