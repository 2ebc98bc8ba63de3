"""Prediction and scores of a batch of masks by a semantic head, without prompts.

A class in several pieces has several masks. Each of them gets the score of its class in its image:
the class map's pixels of the class against all masks of it.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from samjax import masks
from samjax.data.classes import numbers
from samjax.data.metadata import Metadata
from samjax.evaluation import metrics, protocols
from samjax.evaluation.batches import EvaluationBatch, PromptedImage
from samjax.evaluation.prompted import Measured, Stopwatch, score_box
from samjax.evaluation.results import FILLED_BOX, ClassCounts, EvalConfig, MaskResult
from samjax.inference import classes
from samjax.inference.batch import encode
from samjax.inference.decoder_weights import pack_weights
from samjax.models.directory import Model


@dataclasses.dataclass(frozen=True)
class ClassPredictions:
    """The network's predictions for the images of a batch, on the device.

    Attributes:
        logits: Low-resolution logits of the classes, (b, k, m, m), the background first.
        seconds: Seconds of `encode` and `classes`.
    """

    logits: jax.Array
    seconds: dict[str, float]


def predict(model: Model, batch: EvaluationBatch, config: EvalConfig) -> ClassPredictions:
    """Predicts the classes of a batch's images."""
    timed, network = Stopwatch(), model.config
    encoded = timed("encode", encode, network, model.params, batch.images, config.adapters)
    weights = pack_weights(model.params)
    known = model.preprocessing.multimask, model.preprocessing.supports_points
    logits = timed(protocols.CLASSES, classes.decode, network, weights, encoded.embedding, *known)
    return ClassPredictions(logits, timed.seconds)


def class_maps(
    model: Model, batch: EvaluationBatch, predictions: ClassPredictions
) -> list[np.ndarray]:
    """Returns the class map of every image of a batch at its own size, (h, w) uint8."""
    found = []
    for logits, image in zip(predictions.logits, batch.sources, strict=False):
        at = image.loaded.placement
        canvas = masks.canvas_size(at.height, at.width)
        whole = classes.restore(logits, jnp.asarray(at.as_array()), model.config.image_size, canvas)
        found.append(np.asarray(whole)[: at.height, : at.width])
    return found


def measure(
    model: Model,
    batch: EvaluationBatch,
    maps: Sequence[np.ndarray],
    counts_of: Sequence[Mapping[str, ClassCounts]],
    config: EvalConfig,
    metadata: Mapping[str, Metadata],
) -> Iterator[Measured]:
    """Yields the masks of a batch, from the results of `class_maps` and `count_classes`."""
    number = numbers(model.classes)
    for (image, i), row in zip(batch.masks, batch.image_index.tolist(), strict=False):
        mask, path = image.loaded.original_masks[i], image.sample.masks[i]
        name = metadata[path].class_name
        counted = counts_of[row][name]
        counts = counted.intersection, counted.predicted, counted.truth
        steps = [{"dice": float(metrics.dice(*counts)), "iou": float(metrics.iou(*counts))}]
        (height, width), area = mask.shape, int(mask.sum())
        scores = {FILLED_BOX: score_box(image.prompts[i].box, mask)}
        described = image.sample.image, path, metadata[path]
        result = MaskResult(*described, height, width, area, scores)
        truth, predicted = mask, {}
        if config.surface:
            truth = _union(image, [metadata[each].class_name for each in image.sample.masks], name)
            predicted = {protocols.CLASSES: (maps[row] == number[name])[None]}
        yield Measured(result, {protocols.CLASSES: steps}, truth, predicted)


def count_classes(
    model: Model,
    batch: EvaluationBatch,
    maps: list[np.ndarray],
    metadata: Mapping[str, Metadata],
) -> list[dict[str, ClassCounts]]:
    """Counts, for every image of a batch, the pixels of each class that it or its map has."""
    found = []
    for image, class_map in zip(batch.sources, maps, strict=True):
        shown = np.bincount(class_map.ravel(), minlength=len(model.classes) + 1)
        names = [metadata[path].class_name for path in image.sample.masks]
        counted = {
            name: _count(class_map == label, _union(image, names, name))
            for name, label in numbers(model.classes).items()
            if shown[label] or name in names
        }
        found.append({name: one for name, one in counted.items() if one.predicted or one.truth})
    return found


def _union(image: PromptedImage, names: list[str], name: str) -> np.ndarray:
    """Returns all pixels in the masks of one class of an image, (h, w) bool."""
    same = [i for i, of_mask in enumerate(names) if of_mask == name]
    return np.any(image.loaded.original_masks[same], axis=0)


def _count(predicted: np.ndarray, truth: np.ndarray) -> ClassCounts:
    both = int((predicted & truth).sum())
    return ClassCounts(both, int(predicted.sum()), int(truth.sum()), truth.size)
