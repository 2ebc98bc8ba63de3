"""Masks of a grid of points in one embedded image, filtered on the device.

All shapes are static: one program is compiled for each model, number of points in a batch, and
canvas. Masks of full size are measured on the device and stay there.
"""

import dataclasses
import functools
import math
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from samjax import masks, models, types
from samjax.inference.automatic_config import AutomaticConfig
from samjax.inference.automatic_crops import Crop, at_crop_edge, suppress
from samjax.inference.batch import ImageEmbeddings
from samjax.inference.decoder_weights import DecoderWeights, unpack_weights
from samjax.inference.object_prompt import next_power_of_two
from samjax.models.config import SamConfig
from samjax.models.directory import Model

_PIXELS = 2**21  # Of full-size logits at a time.
_CHUNK = 16  # Masks that are copied from the device at a time.


@dataclasses.dataclass(frozen=True, eq=False)
class MaskProposals:
    """Masks that points gave, `n` of them, in one image.

    Attributes:
        low_res: Low-resolution logits, (n, m, m) float32.
        predicted_iou: Predicted IoU, (n,) float32.
        stability: Stability score, (n,) float32.
        boxes: Boxes (x0, y0, x1, y1) in the image, inclusive maxima, (n, 4) int64.
        points: Their points (x, y), pixels of the image, (n, 2) float64.
        crops: The crop of each, (n, 4) int64.
        placements: Placement of this crop in the input, (n, 6) int32.
    """

    low_res: np.ndarray
    predicted_iou: np.ndarray
    stability: np.ndarray
    boxes: np.ndarray
    points: np.ndarray
    crops: np.ndarray
    placements: np.ndarray

    def __len__(self) -> int:
        return len(self.boxes)

    def take(self, index: np.ndarray) -> "MaskProposals":
        """Returns some of the masks."""
        return MaskProposals(**{name: value[index] for name, value in vars(self).items()})

    @staticmethod
    def concatenate(parts: "list[MaskProposals]") -> "MaskProposals":
        """Returns the masks of all parts."""
        return MaskProposals(
            **{
                name: np.concatenate([vars(part)[name] for part in parts])
                for name in vars(parts[0])
            }
        )


def propose(
    model: Model,
    embedded: ImageEmbeddings,
    row: int,
    grid: np.ndarray,
    config: AutomaticConfig,
    crop: Crop,
    size: tuple[int, int],
) -> MaskProposals:
    """Returns the masks of points in a crop whose predicted IoU and stability suffice.

    Masks without a pixel are left out, and those that the edge of the crop may have cut.

    Args:
        model: The model.
        embedded: Embedded crops.
        row: Row of this crop among them.
        grid: Points in shares of the crop's width and height, (n, 2).
        config: Settings.
        crop: The crop.
        size: Height and width of the image.
    """
    placement = embedded.placements[row]
    points = grid * np.array([placement.width, placement.height])
    origin = np.array([crop.x0, crop.y0])
    parts = []
    for of_batch in _ahead(model, embedded, row, points, config):
        at, low_res, found = of_batch
        scores, stability, boxes, areas = (np.asarray(each) for each in found)
        candidates = scores.shape[1]
        real = np.repeat(np.arange(len(scores)) < len(at), candidates)
        boxes = boxes.astype(np.int64) + np.tile(origin, 2)
        kept = real & (areas > 0) & ~at_crop_edge(boxes, crop, *size)
        kept &= sufficient(scores.ravel(), stability, config)
        index = np.flatnonzero(kept)
        parts.append(
            MaskProposals(
                _gather(low_res, index),
                scores.ravel()[index],
                stability[index],
                boxes[index],
                at[index // candidates] + origin,
                np.tile(np.array(crop.box, np.int64), (len(index), 1)),
                np.tile(placement.as_array(), (len(index), 1)),
            )
        )
    return MaskProposals.concatenate(parts)


def sufficient(scores: np.ndarray, stability: np.ndarray, config: AutomaticConfig) -> np.ndarray:
    """Whether predicted IoU and stability of masks suffice; thresholds of 0 let all pass."""
    kept = np.ones(scores.shape, bool)
    if config.pred_iou_thresh > 0:
        kept &= scores > config.pred_iou_thresh
    if config.stability_score_thresh > 0:
        kept &= stability >= config.stability_score_thresh
    return kept


def without_duplicates(proposals: MaskProposals, config: AutomaticConfig) -> MaskProposals:
    """Returns the masks of one crop without duplicates, by falling predicted IoU."""
    kept = suppress(proposals.boxes, proposals.predicted_iou, config.box_nms_thresh)
    return proposals.take(kept)


def iter_masks(
    proposals: MaskProposals, height: int, width: int, input_size: int
) -> Iterator[np.ndarray]:
    """Yields masks in the image, (h, w) bool, a few at a time from the device, packed.

    Args:
        proposals: The masks.
        height: Height of the image.
        width: Width of the image.
        input_size: Side of the network's input.
    """
    canvas = masks.canvas_size(height, width)
    for start in range(0, len(proposals), _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, len(proposals)))
        padded = np.pad(rows, (0, _CHUNK - len(rows)), mode="edge")
        packed = np.asarray(
            _restore_packed(
                proposals.low_res[padded], proposals.placements[padded], input_size, canvas
            )
        )
        for row, bits in zip(rows, packed, strict=False):
            x0, y0, x1, y1 = proposals.crops[row]
            mask = np.zeros((height, width), bool)
            inside = np.unpackbits(bits[: y1 - y0], axis=1, count=x1 - x0)
            mask[y0:y1, x0:x1] = inside
            yield mask


def _ahead(
    model: Model,
    embedded: ImageEmbeddings,
    row: int,
    points: np.ndarray,
    config: AutomaticConfig,
) -> Iterator[tuple[np.ndarray, jax.Array, tuple[jax.Array, ...]]]:
    """Yields batches of points with their masks; the next batch is computed meanwhile."""
    placement, count = embedded.placements[row], config.points_per_batch
    count = min(count, next_power_of_two(len(points)))
    canvas = masks.canvas_size(placement.height, placement.width)
    waiting = None
    for start in range(0, len(points), count):
        at = points[start : start + count]
        low_res, *found = _measure_points(
            model.config,
            embedded.decoder,
            embedded.features,
            np.int32(row),
            np.pad(placement.to_input(at), ((0, count - len(at)), (0, 0)), mode="edge"),
            placement.as_array(),
            np.float32(config.pred_iou_thresh or -np.inf),
            np.float32(config.stability_score_offset),
            model.preprocessing.multimask,
            canvas,
        )
        if waiting:
            yield waiting
        waiting = at, low_res, tuple(found)
    if waiting:
        yield waiting


@functools.partial(jax.jit, static_argnames=("config", "multimask", "canvas"))
def _measure_points(
    config: SamConfig,
    weights: DecoderWeights,
    images: models.PreparedImages,
    row: Int[Array, ""],
    points: Float[Array, "p 2"],
    placement: Int[Array, " 6"],
    threshold: Float[Array, ""],
    offset: Float[Array, ""],
    multimask: bool,
    canvas: tuple[int, int],
) -> tuple[
    Float[Array, "n m m"],
    Float[Array, "p c"],
    Float[Array, " n"],
    Int[Array, "n 4"],
    Int[Array, " n"],
]:
    """Predicts masks of points in one image; measures at its own size those above the threshold.

    Masks are measured in the order of their predicted IoU, some at a time, so that most of those
    below the threshold cost nothing.

    Returns:
        Low-resolution logits of n = p c masks; predicted IoU; stability scores, 0 without a pixel
        and where it is not measured; boxes with inclusive maxima; areas.
    """
    prompts = types.no_prompts(1, len(points), 1, config.mask_size)
    ones = jnp.full((1, len(points), 1), types.FOREGROUND, jnp.int32)
    prompts = dataclasses.replace(prompts, points=points[None, :, None], labels=ones)
    at = images.take(row[None])
    low_res, scores = models.predict_prepared(
        config, unpack_weights(weights), at, prompts, multimask
    )
    low_res, scores = low_res[0].reshape(-1, *low_res.shape[-2:]), scores[0]
    inside = (jnp.arange(canvas[0])[:, None] < placement[0]) & (
        jnp.arange(canvas[1]) < placement[1]
    )

    def measure(logits: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        restored = masks.restore_logits(
            logits[None, None], placement[None], config.image_size, canvas
        )[0, 0]
        restored = jnp.where(inside, restored, -jnp.inf)
        mask = restored > masks.THRESHOLD
        certain = (restored > masks.THRESHOLD + offset).sum()
        possible = (restored > masks.THRESHOLD - offset).sum()
        sides = [_extent(mask.any(axis=axis)) for axis in (0, 1)]
        box = jnp.stack([sides[0][0], sides[1][0], sides[0][1], sides[1][1]])
        return certain / jnp.maximum(possible, 1), box, mask.sum()

    def measure_some(some: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        logits, of_some = some
        measured = jax.vmap(measure)
        nothing = jax.tree.map(
            lambda like: jnp.zeros(like.shape, like.dtype), jax.eval_shape(measured, logits)
        )
        return jax.lax.cond(of_some[0] > threshold, measured, lambda _: nothing, logits)

    count = len(low_res)
    together = min(max(_PIXELS // math.prod(canvas), 1), count)
    order = jnp.argsort(-scores.ravel())
    padded = jnp.pad(order, (0, -count % together), mode="edge").reshape(-1, together)
    found = jax.lax.map(measure_some, (low_res[padded], scores.ravel()[padded]))
    inverse = jnp.argsort(order)
    stability, boxes, areas = (each.reshape(-1, *each.shape[2:])[:count][inverse] for each in found)
    return low_res, scores, stability, boxes, areas


def _extent(occupied: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the first and last true position; of none, nothing of meaning."""
    return occupied.argmax(), len(occupied) - 1 - occupied[::-1].argmax()


def _gather(low_res: jax.Array, index: np.ndarray) -> np.ndarray:
    """Copies some logits from the device; few different numbers of them are compiled."""
    if not len(index):
        return np.zeros((0, *low_res.shape[1:]), np.float32)
    padded = np.pad(index, (0, next_power_of_two(len(index)) - len(index)))
    return np.asarray(_take(low_res, padded))[: len(index)]


@jax.jit
def _take(low_res: Float[Array, "n m m"], index: Int[Array, " k"]) -> Float[Array, "k m m"]:
    return low_res[index].astype(jnp.float32)


@functools.partial(jax.jit, static_argnames=("size", "canvas"))
def _restore_packed(
    low_res: Float[Array, "n m m"],
    placements: Int[Array, "n 6"],
    size: int,
    canvas: tuple[int, int],
) -> UInt8[Array, "n h w8"]:
    """Restores masks on a canvas, eight pixels of a row in a byte."""

    def restore(one: tuple[jax.Array, jax.Array]) -> jax.Array:
        logits, placement = one
        restored = masks.restore_logits(logits[None, None], placement[None], size, canvas)[0, 0]
        return jnp.packbits(restored > masks.THRESHOLD, axis=1)

    together = max(_PIXELS // math.prod(canvas), 1)
    return jax.lax.map(restore, (low_res, placements), batch_size=together)
