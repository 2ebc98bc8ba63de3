"""Prediction and scores of a batch of masks, from their prompts."""

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from samjax import masks
from samjax.data.boxes import grow_box
from samjax.data.metadata import Metadata
from samjax.evaluation import ensembles, metrics, protocols
from samjax.evaluation.batches import EvaluationBatch
from samjax.evaluation.prompt_file import MaskPrompt
from samjax.evaluation.protocols import PredictionContext, ProtocolPredictions
from samjax.evaluation.results import FILLED_BOX, EvalConfig, MaskResult, Score, Uncertainty
from samjax.inference.batch import encode
from samjax.models.directory import Model


@dataclasses.dataclass(frozen=True)
class Predictions:
    """The network's predictions for a batch, on the device.

    Attributes:
        by_protocol: Those of each protocol.
        seconds: Seconds of `encode`, and of the calls of the protocols.
    """

    by_protocol: dict[str, ProtocolPredictions]
    seconds: dict[str, float]


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
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
        return result


def predict(model: Model, batch: EvaluationBatch, config: EvalConfig) -> Predictions:
    """Predicts the masks of a batch by all protocols."""
    timed = Stopwatch()
    images = timed("encode", encode, model.config, model.params, batch.images, config.adapters)
    context = PredictionContext(model, images, batch, config, timed)
    return Predictions(protocols.predict(config.protocols, context), timed.seconds)


@dataclasses.dataclass(frozen=True)
class Measured:
    """The predictions of one mask, compared with the truth.

    Attributes:
        result: Its metadata, and the score of the filled box.
        steps: Metrics of the steps of every protocol.
        truth: The true mask, (h, w) uint8 0/1.
        predicted: With surface metrics: the chosen mask of every step, (t, h, w) bool, by protocol.
    """

    result: MaskResult
    steps: dict[str, list[dict[str, float]]]
    truth: np.ndarray
    predicted: dict[str, np.ndarray]

    def finish(self, surface: Mapping[str, Sequence[Mapping[str, float]]]) -> MaskResult:
        """Returns the result with the surface metrics of every step, by protocol."""
        scores = {}
        for name, steps in self.steps.items():
            of_name = surface.get(name, [{}] * len(steps))
            merged = [{**step, **more} for step, more in zip(steps, of_name, strict=True)]
            scores[name] = protocols.find(name).score(merged)
        return dataclasses.replace(self.result, scores=scores | self.result.scores)


def measure(
    model: Model,
    batch: EvaluationBatch,
    predictions: Predictions,
    config: EvalConfig,
    metadata: Mapping[str, Metadata],
) -> Iterator[Measured]:
    """Yields the masks of a batch, each compared with the truth at original resolution."""
    on_host = {
        name: (np.asarray(found.logits), np.asarray(found.iou))
        for name, found in predictions.by_protocol.items()
    }
    for row, (image, i) in enumerate(batch.masks):
        truth = image.loaded.original_masks[i]
        one = _Mask(truth, image.loaded.placement.as_array(), model.config.image_size, config)
        prompt, path = image.prompts[i], image.sample.masks[i]
        of_row = {name: (logits[row], iou[row]) for name, (logits, iou) in on_host.items()}
        steps, predicted = one.compare(of_row)
        uncertainty = {}
        for name, found in predictions.by_protocol.items():
            if found.extra:
                steps[name][-1].update(found.extra[row])
            if found.members is not None:
                # Of the mean at original resolution, in place of that of the mean logits.
                of_mean = one.compare_ensemble(found.members[row], prompt)
                step, predicted[name], uncertainty[name] = of_mean
                steps[name] = [step | {"predicted_iou": steps[name][0]["predicted_iou"]}]
        scores = {FILLED_BOX: score_box(prompt.box, truth)}
        (height, width), area = truth.shape, one.area
        result = MaskResult(
            image.sample.image, path, metadata[path], height, width, area, scores, uncertainty
        )
        yield Measured(result, steps, truth, predicted if config.surface else {})


class _Mask:
    """Compares predictions with one true mask."""

    def __init__(
        self, truth: np.ndarray, placement: np.ndarray, size: int, config: EvalConfig
    ) -> None:
        self.truth, self.placement, self.size, self.config = truth, placement, size, config
        height, width = truth.shape
        canvas = masks.canvas_size(height, width)
        self.on_canvas = np.pad(truth, ((0, canvas[0] - height), (0, canvas[1] - width)))
        self.area = int(truth.sum())

    def compare(
        self, of_row: Mapping[str, tuple[np.ndarray, np.ndarray]]
    ) -> tuple[dict[str, list[dict[str, float]]], dict[str, np.ndarray]]:
        """Returns the metrics of all steps, and the chosen masks, by protocol."""
        logits = [each.reshape(-1, *each.shape[2:]) for each, _ in of_row.values()]
        counts, packed = protocols.count_pixels(
            np.concatenate(logits),
            self.placement,
            self.on_canvas,
            self.size,
            bool(self.config.surface),
        )
        counts = np.asarray(counts)
        dice = metrics.dice(counts[:, 0], counts[:, 1], self.area)
        iou = metrics.iou(counts[:, 0], counts[:, 1], self.area)
        steps, predicted, first = {}, {}, 0
        for name, (_, scores) in of_row.items():
            part = slice(first, first + scores.size)
            first = part.stop
            of_name = (dice[part].reshape(scores.shape), iou[part].reshape(scores.shape), scores)
            steps[name] = [_step(*each) for each in zip(*of_name, strict=True)]
            if packed is not None:
                predicted[name] = self._unpack(packed[part.start : part.stop : scores.shape[1]])
        return steps, predicted

    def compare_ensemble(
        self, members: jax.Array, prompt: MaskPrompt
    ) -> tuple[dict[str, float], np.ndarray, Uncertainty]:
        """Returns the metrics of an ensemble, its mask, and its uncertainty."""
        box = np.array(prompt.box, np.float32)
        regions = np.stack([box, grow_box(box, ensembles.WIDER, self.truth.shape)])
        counted = ensembles.count(
            members, self.placement, self.on_canvas, regions, self.size, self.config.ensemble_mean
        )
        found = jax.device_get(vars(counted))
        both = (*found["pixels"], self.area)
        values = {"dice": float(metrics.dice(*both)), "iou": float(metrics.iou(*both))}
        uncertainty = Uncertainty(
            float(found["entropy"]), found["calibration"].tolist(), found["by_entropy"].tolist()
        )
        return values, self._unpack(found["mask"][None]), uncertainty

    def _unpack(self, packed: Any) -> np.ndarray:
        height, width = self.truth.shape
        return np.unpackbits(np.asarray(packed)[:, :height], axis=2)[:, :, :width].astype(bool)


def _step(dice: np.ndarray, iou: np.ndarray, predicted_iou: np.ndarray) -> dict[str, float]:
    """Returns the metrics of one prediction: of the chosen mask, then of all candidates."""
    values = {"dice": dice[0], "iou": iou[0], "predicted_iou": predicted_iou[0]}
    if len(dice) > 1:
        best = dice.max()
        values |= {"dice_oracle": best, "iou_oracle": iou.max(), "oracle_gap": best - dice[0]}
        values["chosen_best"] = dice[0] == best
    return {name: float(value) for name, value in values.items()}


def score_box(box: tuple[float, ...], truth: np.ndarray) -> Score:
    """Scores the box itself as a mask: the pixels whose centres lie in it."""
    height, width = truth.shape
    x0, y0, x1, y1 = np.ceil(np.array(box) - 0.5).astype(int).clip(0, [width, height] * 2)
    intersection = int(truth[y0:y1, x0:x1].sum())
    counts = (intersection, int((x1 - x0) * (y1 - y0)), int(truth.sum()))
    return Score({"dice": metrics.dice(*counts), "iou": metrics.iou(*counts)})
