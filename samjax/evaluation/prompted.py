"""Prediction and scores of a batch of masks, from their prompts."""

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from samjax import masks
from samjax.data.boxes import grow_box
from samjax.data.metadata import Metadata
from samjax.evaluation import ensembles, metrics, protocols
from samjax.evaluation.batches import EvaluationBatch
from samjax.evaluation.results import FILLED_BOX, EvalConfig, MaskResult, Score, Uncertainty
from samjax.inference.batch import encode
from samjax.models.directory import Model


@dataclasses.dataclass(frozen=True)
class Predictions:
    """The network's predictions for a batch, on the device.

    Attributes:
        logits: Low-resolution logits, (n, protocols, c, m, m): the chosen mask, with `oracle`
            followed by all candidates.
        points: Points of the prompts, (n, rounds, 2), pixels of the input.
        labels: Their labels, (n, rounds).
        seconds: Seconds of `encode`, `bbox`, `boxes` (all other protocols with boxes together) and
            `points`.
        ensembles: Low-resolution logits of each box, (n, boxes, m, m), by protocol.
    """

    logits: jax.Array
    points: jax.Array
    labels: jax.Array
    seconds: dict[str, float]
    ensembles: dict[str, jax.Array] = dataclasses.field(default_factory=dict)


class Stopwatch:
    """Calls functions of JAX and measures them.

    Attributes:
        seconds: Seconds of each call, by name.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def __call__(self, name: str, function: Callable[..., Any], *args: Any) -> Any:
        """Returns the function's result once it is computed."""
        start = time.perf_counter()
        result = jax.block_until_ready(function(*args))
        self.seconds[name] = time.perf_counter() - start
        return result


def predict(model: Model, batch: EvaluationBatch, config: EvalConfig) -> Predictions:
    """Predicts the masks of a batch by all protocols."""
    network, params = model.config, model.params
    timed = Stopwatch()
    images = timed("encode", encode, network, params, batch.images, config.adapters)
    common = (network, params, images, batch.image_index)
    candidates = (model.preprocessing.multimask, config.oracle)
    by_protocol: dict[str, jax.Array] = {}
    if protocols.BOX in config.protocols:
        boxes = batch.boxes[:, None]
        predicted = timed("bbox", protocols.predict_boxes, *common, boxes, *candidates)
        by_protocol[protocols.BOX] = predicted[:, 0]
    by_ensemble: dict[str, jax.Array] = {}
    others = [n for n in config.protocols if protocols.boxes_of(n) and n != protocols.BOX]
    if others:
        boxes = _boxes(batch, others, config)
        predicted = timed("boxes", protocols.predict_boxes, *common, boxes, *candidates)
        first = 0
        for name in others:
            of_name = predicted[:, first : first + protocols.boxes_of(name)]
            first += protocols.boxes_of(name)
            by_protocol[name] = of_name[:, 0]
            if protocols.is_ensemble(name):
                by_ensemble[name] = of_name[:, :, 0]
                # For pictures; scores are those of the mean at original resolution.
                mean = of_name[:, :, :1].mean(1)
                by_protocol[name] = jnp.broadcast_to(mean, of_name[:, 0].shape)
    points = jnp.zeros((len(batch.points), 0, 2))
    labels = jnp.zeros((len(batch.points), 0), jnp.int32)
    if config.rounds:
        prompts = (batch.points, batch.seeds, batch.truth)
        static = (model.preprocessing.mask_prompt, config.rounds, *candidates)
        rounds, points, labels = timed(
            "points", protocols.predict_points, *common, *prompts, *static
        )
        for name in config.protocols:
            if protocols.points_of(name):
                by_protocol[name] = rounds[:, protocols.points_of(name) - 1]
    logits = jnp.stack([by_protocol[name] for name in config.protocols], axis=1)
    return Predictions(logits, points, labels, timed.seconds, by_ensemble)


def _boxes(batch: EvaluationBatch, names: list[str], config: EvalConfig) -> np.ndarray:
    """Returns the boxes of protocols side by side, (n, boxes, 4) float32, pixels of the input."""
    found = np.zeros((len(batch.boxes), sum(map(protocols.boxes_of, names)), 4), np.float32)
    for row, (image, i) in enumerate(batch.masks):
        prompt, at = image.prompts[i], image.loaded.placement
        box, extent = np.array(prompt.box, np.float32), (at.height, at.width)
        of_mask = [
            protocols.boxes(name, box, extent, config.jitter, prompt.click_seed) for name in names
        ]
        found[row] = at.to_input(np.concatenate(of_mask).reshape(-1, 2)).reshape(-1, 4)
    return found


def score(
    model: Model,
    batch: EvaluationBatch,
    predictions: Predictions,
    config: EvalConfig,
    metadata: dict[str, Metadata],
) -> Iterator[MaskResult]:
    """Yields the scores of the masks of a batch."""
    n, names, candidates, m, _ = predictions.logits.shape
    flat = np.asarray(predictions.logits).reshape(n, names * candidates, m, m)
    size = model.config.image_size
    for row, ((image, i), logits) in enumerate(zip(batch.masks, flat, strict=False)):
        truth = image.loaded.original_masks[i]
        height, width = truth.shape
        canvas = masks.canvas_size(height, width)
        on_canvas = np.pad(truth, ((0, canvas[0] - height), (0, canvas[1] - width)))
        placement = image.loaded.placement.as_array()
        counts = protocols.count_pixels(logits, placement, on_canvas, size)
        counts = np.asarray(counts).reshape(names, candidates, 2)
        area = int(truth.sum())
        dice = metrics.dice(counts[..., 0], counts[..., 1], area)
        iou = metrics.iou(counts[..., 0], counts[..., 1], area)
        scores = {
            name: Score(float(d[0]), float(j[0]), float(d.max()) if config.oracle else None)
            for name, d, j in zip(config.protocols, dice, iou, strict=True)
        }
        uncertainty = {}
        for name, ensemble in predictions.ensembles.items():
            box, mean = np.array(image.prompts[i].box, np.float32), config.ensemble_mean
            regions = np.stack([box, grow_box(box, ensembles.WIDER, truth.shape)])
            counted = ensembles.count(ensemble[row], placement, on_canvas, regions, size, mean)
            found = jax.device_get(vars(counted))
            both = (*found["pixels"], area)
            scores[name] = Score(float(metrics.dice(*both)), float(metrics.iou(*both)))
            uncertainty[name] = Uncertainty(
                float(found["entropy"]),
                found["calibration"].tolist(),
                found["by_entropy"].tolist(),
            )
        scores[FILLED_BOX] = score_box(image.prompts[i].box, truth)
        path = image.sample.masks[i]
        result = MaskResult(image.sample.image, path, metadata[path], height, width, area, scores)
        yield dataclasses.replace(result, uncertainty=uncertainty)


def score_box(box: tuple[float, ...], truth: np.ndarray) -> Score:
    """Scores the box itself as a mask: the pixels whose centres lie in it."""
    height, width = truth.shape
    x0, y0, x1, y1 = np.ceil(np.array(box) - 0.5).astype(int).clip(0, [width, height] * 2)
    intersection = int(truth[y0:y1, x0:x1].sum())
    counts = (intersection, int((x1 - x0) * (y1 - y0)), int(truth.sum()))
    return Score(metrics.dice(*counts), metrics.iou(*counts))
