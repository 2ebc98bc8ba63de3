"""Prediction and scores of a batch of masks by a semantic head, without prompts.

A class in several pieces has several masks. Each of them gets the score of its class in its image:
the class map's pixels of the class against all masks of it.
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from samjax import masks
from samjax.data.classes import numbers
from samjax.data.metadata import Metadata
from samjax.evaluation import metrics, protocols
from samjax.evaluation.batches import EvaluationBatch, PromptedImage
from samjax.evaluation.prompted import Predictions, Stopwatch, score_box
from samjax.evaluation.results import FILLED_BOX, EvalConfig, MaskResult, Score
from samjax.inference import classes
from samjax.inference.batch import encode
from samjax.inference.decoder_weights import pack_weights
from samjax.models.directory import Model


def predict(model: Model, batch: EvaluationBatch, config: EvalConfig) -> Predictions:
    """Predicts the classes of a batch's images."""
    timed, network = Stopwatch(), model.config
    images = timed("encode", encode, network, model.params, batch.images, config.adapters)
    weights = pack_weights(model.params)
    logits = timed(protocols.CLASSES, classes.decode, network, weights, images.embedding)
    n = len(batch.points)
    no_points = jnp.zeros((n, 0, 2)), jnp.zeros((n, 0), jnp.int32)
    return Predictions(logits, *no_points, timed.seconds)


def score(
    model: Model, batch: EvaluationBatch, predictions: Predictions, metadata: dict[str, Metadata]
) -> Iterator[MaskResult]:
    """Yields the scores of the masks of a batch."""
    number = numbers(model.classes)
    done, class_map = -1, np.empty(0)
    for (image, i), row in zip(batch.masks, batch.image_index.tolist(), strict=False):
        if row != done:  # Masks of one image lie side by side.
            done, class_map = row, _class_map(model, predictions, image, row)
        predicted = class_map == number[metadata[image.sample.masks[i]].class_name]
        truth = _union(image, i, metadata)
        area = int(truth.sum())
        counts = int((predicted & truth).sum()), int(predicted.sum()), area
        mask, path = image.loaded.original_masks[i], image.sample.masks[i]
        height, width = mask.shape
        scores = {
            protocols.CLASSES: Score(float(metrics.dice(*counts)), float(metrics.iou(*counts))),
            FILLED_BOX: score_box(image.prompts[i].box, mask),
        }
        yield MaskResult(
            image.sample.image, path, metadata[path], height, width, int(mask.sum()), scores
        )


def restore_masks(
    model: Model, batch: EvaluationBatch, predictions: Predictions, class_name: str, row: int
) -> dict[str, np.ndarray]:
    """Returns the predicted mask of one row's class at original size, by protocol."""
    image, _ = batch.masks[row]
    found = _class_map(model, predictions, image, int(batch.image_index[row]))
    return {protocols.CLASSES: found == numbers(model.classes)[class_name]}


def _class_map(
    model: Model, predictions: Predictions, image: PromptedImage, row: int
) -> np.ndarray:
    at = image.loaded.placement
    canvas = masks.canvas_size(at.height, at.width)
    logits: jax.Array = predictions.logits[row]
    found = classes.restore(logits, jnp.asarray(at.as_array()), model.config.image_size, canvas)
    return np.asarray(found)[: at.height, : at.width]


def _union(image: PromptedImage, position: int, metadata: dict[str, Metadata]) -> np.ndarray:
    """Returns all pixels of an image that have the class of one of its masks."""
    names = [metadata[path].class_name for path in image.sample.masks]
    same = [i for i, name in enumerate(names) if name == names[position]]
    return np.any(image.loaded.original_masks[same], axis=0)
