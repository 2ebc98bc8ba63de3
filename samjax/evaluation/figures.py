"""Pictures of single masks: image, truth, prompts, and the prediction of every protocol."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from samjax import masks, types, visualization
from samjax.data.classes import numbers
from samjax.data.files import read_image
from samjax.data.index import Sample
from samjax.evaluation import batches, class_figures, evaluator, metrics, protocols, semantic
from samjax.evaluation.batches import EvaluationBatch
from samjax.evaluation.prompted import Predictions
from samjax.evaluation.results import FILLED_BOX, Evaluation, MaskResult
from samjax.evaluation.semantic import ClassPredictions
from samjax.models.directory import Model
from samjax.prompting.strategies import StrategyPrompt


@dataclasses.dataclass(frozen=True)
class Example:
    """One mask with all that is drawn of it, in pixels of the original image.

    Attributes:
        result: Its scores.
        image: RGB picture, (h, w, 3) uint8.
        truth: True mask, (h, w) uint8.
        predicted: Predicted mask by protocol, (h, w) bool.
        prompts: Points and box given to the model, by protocol.
    """

    result: MaskResult
    image: np.ndarray
    truth: np.ndarray
    predicted: dict[str, np.ndarray]
    prompts: dict[str, StrategyPrompt]


class Panel(NamedTuple):
    """A picture and the line of text that belongs above or below it."""

    label: str
    picture: np.ndarray

    def labelled(self) -> np.ndarray:
        """Returns the picture under a bar with its text; without text the picture alone."""
        return visualization.add_label(self.picture, self.label) if self.label else self.picture


class DrawnCase(NamedTuple):
    """Pictures of one mask: the image with its truth, then the prediction of every protocol."""

    title: str
    panels: list[Panel]


def best_median_worst(evaluation: Evaluation, count: int = 3) -> dict[str, list[MaskResult]]:
    """Returns the `best`, `median` and `worst` results by mean Dice over the protocols."""
    names = evaluation.config.protocols

    def mean_dice(result: MaskResult) -> float:
        return sum(result.scores[name].dice for name in names)

    return metrics.best_median_worst(evaluation.results, mean_dice, count)


def examples(
    model: Model,
    root: str | os.PathLike[str],
    evaluation: Evaluation,
    results: Sequence[MaskResult],
) -> list[Example]:
    """Predicts a few masks of an evaluation again, to draw them.

    Args:
        model: The model that was evaluated.
        root: The data folder.
        evaluation: The evaluation.
        results: Results of the masks to draw.
    """
    model = evaluator.on_device(model)
    config = evaluation.config
    samples = [Sample(result.image, (result.mask,)) for result in results]
    images = evaluator.load_images(model, root, samples, config, evaluation.prompts)
    drawn: list[Example] = []
    for batch in batches.pack(images, config.images_per_batch, config.batch_size):
        predictions = evaluator.predict(model, batch, config)
        of_classes = isinstance(predictions, ClassPredictions)
        maps = semantic.class_maps(model, batch, predictions) if of_classes else []
        for row in range(len(batch.masks)):
            result, prompts = results[len(drawn)], {}
            if isinstance(predictions, ClassPredictions):
                label = numbers(model.classes)[result.metadata.class_name]
                predicted = {protocols.CLASSES: maps[int(batch.image_index[row])] == label}
            else:
                predicted = _restore_masks(model, batch, predictions, row)
                prompts = _prompts(batch, predictions, row)
            drawn.append(_example(root, result, batch, predicted, prompts, row))
    return drawn


def example_picture(example: Example, side: int = 256) -> np.ndarray:
    """Draws a row of panels: the image with its truth, then the prediction of every protocol.

    Args:
        example: The example to draw.
        side: Longer side of a panel, pixels.

    Returns:
        RGB picture; truth is green, the prediction orange, boxes blue.
    """
    return visualization.grid([[panel.labelled() for panel in _case(example, side).panels]])


def cases(
    model: Model, root: str | os.PathLike[str], evaluation: Evaluation, side: int = 256
) -> dict[str, list[DrawnCase]]:
    """Draws the `best`, `median` and `worst` examples.

    Of a semantic model, one picture of whole images with their classes for each kind.
    """
    if model.config.head.is_semantic:
        drawn = class_figures.overlays(model, root, evaluation, side)
        return {part: [DrawnCase("", [Panel("", one)])] for part, one in drawn.items()}
    return {
        part: [_case(example, side) for example in examples(model, root, evaluation, results)]
        for part, results in best_median_worst(evaluation).items()
    }


def overlays(drawn: Mapping[str, Sequence[DrawnCase]]) -> dict[str, np.ndarray]:
    """Arranges cases in one picture of each kind; those of prompts stand under a legend."""
    pictures = {}
    for part, found in drawn.items():
        if not found[0].title:  # It is whole already.
            pictures[part] = found[0].panels[0].picture
            continue
        rows = [[panel.labelled() for panel in one.panels] for one in found]
        legend = f"{part}: truth green, prediction orange, numbers are Dice"
        pictures[part] = visualization.add_label(visualization.grid(rows), legend)
    return pictures


def _case(example: Example, side: int) -> DrawnCase:
    metadata = example.result.metadata
    truth = f"{metadata.modality}: {metadata.class_name}"
    panels = [Panel(truth, truth_picture(example, side))]
    for name in example.predicted:
        label = f"{protocols.title(name)}  {example.result.scores[name].dice:.3f}"
        if name == protocols.BOX:
            label += f" (filled {example.result.scores[FILLED_BOX].dice:.3f})"
        panels.append(Panel(label, prediction_picture(example, name, side)))
    return DrawnCase(example.result.mask, panels)


def truth_picture(example: Example, side: int) -> np.ndarray:
    """Draws the image with its truth; RGB, longer side `side`."""
    plain = visualization.resize_longest_side(example.image, side)
    return visualization.draw_contour(plain, example.truth, visualization.TRUTH)


def prediction_picture(example: Example, name: str, side: int) -> np.ndarray:
    """Draws the prediction of one protocol, its prompts and the truth; RGB, longer side `side`."""
    plain, predicted = (
        visualization.resize_longest_side(example.image, side),
        example.predicted[name],
    )
    scale = plain.shape[1] / example.image.shape[1]
    panel = visualization.draw_mask(plain, predicted, visualization.PREDICTION, 0.3)
    panel = visualization.draw_contour(panel, example.truth, visualization.TRUTH, 1)
    panel = visualization.draw_contour(panel, predicted, visualization.PREDICTION)
    prompt = example.prompts.get(name)
    if prompt is None:
        return panel
    if prompt.box is not None:
        panel = visualization.draw_box(panel, prompt.box * scale)
    return visualization.draw_points(panel, (prompt.points + 0.5) * scale, prompt.labels)


def _restore_masks(
    model: Model, batch: EvaluationBatch, predictions: Predictions, row: int
) -> dict[str, np.ndarray]:
    """Returns the last masks predicted for one row of a batch at original size, by protocol."""
    image, _ = batch.masks[row]
    at = image.loaded.placement
    canvas = masks.canvas_size(at.height, at.width)
    found = predictions.by_protocol
    logits = jnp.stack([each.logits[row, -1, 0] for each in found.values()])[None]
    size = model.config.image_size
    restored = masks.restore_logits(logits, jnp.asarray(at.as_array())[None], size, canvas)[0]
    foreground = np.asarray(restored > masks.THRESHOLD)[:, : at.height, : at.width]
    return dict(zip(found, foreground, strict=True))


def _prompts(
    batch: EvaluationBatch, predictions: Predictions, row: int
) -> dict[str, StrategyPrompt]:
    """Returns the prompts of one row of a batch in pixels of the image, by protocol."""
    placement, prompts = batch.masks[row][0].loaded.placement, {}
    for name, found in predictions.by_protocol.items():
        given = np.asarray(found.labels[row]) >= types.NOT_A_POINT
        points = placement.to_original(np.asarray(found.points[row])[given])
        box = None
        if found.boxes is not None:
            box = placement.to_original(np.asarray(found.boxes[row]).reshape(2, 2)).reshape(4)
        prompts[name] = StrategyPrompt(points, np.asarray(found.labels[row])[given], box)
    return prompts


def _example(
    root: str | os.PathLike[str],
    result: MaskResult,
    batch: EvaluationBatch,
    predicted: dict[str, np.ndarray],
    prompts: dict[str, StrategyPrompt],
    row: int,
) -> Example:
    image, position = batch.masks[row]
    pixels, order = read_image(Path(root) / image.sample.image)
    return Example(
        result=result,
        image=visualization.to_uint8_rgb(pixels, order),
        truth=image.loaded.original_masks[position],
        predicted=predicted,
        prompts=prompts,
    )
