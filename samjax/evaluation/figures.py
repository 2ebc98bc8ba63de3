"""Pictures of single masks: image, truth, prompts, and the prediction of every protocol."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from samjax import masks, visualization
from samjax.data.files import read_image
from samjax.data.index import Sample
from samjax.evaluation import batches, evaluator, protocols
from samjax.evaluation.batches import Batch
from samjax.evaluation.evaluator import Predictions
from samjax.evaluation.prompt_file import MaskPrompt
from samjax.evaluation.results import FILLED_BOX, Evaluation, MaskResult
from samjax.models.directory import Model


@dataclasses.dataclass(frozen=True)
class Case:
    """One mask with everything to draw it, in pixels of the original image.

    Attributes:
        result: Its scores.
        image: RGB picture, (h, w, 3) uint8.
        truth: True mask, (h, w) uint8.
        predicted: Predicted mask by protocol, (h, w) bool.
        prompt: Its prompts.
        points: All points given, (rounds, 2) (x, y).
        labels: Their labels, (rounds,).
    """

    result: MaskResult
    image: np.ndarray
    truth: np.ndarray
    predicted: dict[str, np.ndarray]
    prompt: MaskPrompt
    points: np.ndarray
    labels: np.ndarray


def chosen(evaluation: Evaluation, count: int = 3) -> dict[str, list[MaskResult]]:
    """The `best`, `median` and `worst` results by mean Dice over the protocols."""
    names = evaluation.config.protocols

    def mean_dice(result: MaskResult) -> float:
        return sum(result.scores[name].dice for name in names)

    ranked = sorted(evaluation.results, key=mean_dice, reverse=True)
    middle = max((len(ranked) - count) // 2, 0)
    parts = {"best": ranked, "median": ranked[middle:], "worst": ranked[::-1]}
    return {name: part[:count] for name, part in parts.items()}


def cases(
    model: Model,
    root: str | os.PathLike[str],
    evaluation: Evaluation,
    results: Sequence[MaskResult],
) -> list[Case]:
    """Replays a few results of an evaluation to draw them.

    Args:
        model: The model that was evaluated.
        root: The data folder.
        evaluation: Its evaluation.
        results: Which of its results.
    """
    model = evaluator.on_device(model)
    config = evaluation.config
    samples = [Sample(result.image, (result.mask,)) for result in results]
    images = evaluator.load(model, root, samples, config, evaluation.prompts)
    found = []
    for batch in batches.pack(images, config.images_per_batch, config.batch_size):
        predictions = evaluator.predict(model, batch, config)
        for row in range(len(batch.masks)):
            predicted = _predicted(model, batch, predictions, config.protocols, row)
            found.append(_case(root, results[len(found)], batch, predictions, predicted, row))
    return found


def example_picture(case: Case, side: int = 256) -> np.ndarray:
    """One row of panels: the image with truth and prompts, then every protocol's prediction.

    Args:
        case: What to draw.
        side: Longer side of a panel, pixels.

    Returns:
        RGB picture; truth is green, the prediction orange, boxes blue.
    """
    return visualization.grid([_panels(case, side)])


def overlays(
    model: Model, root: str | os.PathLike[str], evaluation: Evaluation, side: int = 256
) -> dict[str, np.ndarray]:
    """Pictures of the `best`, `median` and `worst` cases, below each other under a legend."""
    pictures = {}
    for part, results in chosen(evaluation).items():
        rows = [_panels(case, side) for case in cases(model, root, evaluation, results)]
        legend = f"{part}: truth green, prediction orange, numbers are Dice"
        pictures[part] = visualization.labelled(visualization.grid(rows), legend)
    return pictures


def _panels(case: Case, side: int) -> list[np.ndarray]:
    truth = visualization.draw_contour(
        visualization.fit(case.image, side), case.truth, visualization.TRUTH
    )
    known = case.result.metadata
    panels = [visualization.labelled(truth, f"{known.modality}: {known.class_name}")]
    for name in case.predicted:
        label = f"{protocols.title(name)}  {case.result.scores[name].dice:.3f}"
        if name == protocols.BOX:
            label += f" (filled {case.result.scores[FILLED_BOX].dice:.3f})"
        panels.append(visualization.labelled(prediction_picture(case, name, side), label))
    return panels


def prediction_picture(case: Case, name: str, side: int) -> np.ndarray:
    """Draws the prediction of one protocol, its prompts and the truth; RGB, longer side `side`."""
    plain, predicted = visualization.fit(case.image, side), case.predicted[name]
    scale = plain.shape[1] / case.image.shape[1]
    panel = visualization.draw_mask(plain, predicted, visualization.PREDICTION, 0.3)
    panel = visualization.draw_contour(panel, case.truth, visualization.TRUTH, 1)
    panel = visualization.draw_contour(panel, predicted, visualization.PREDICTION)
    if name == protocols.BOX:
        panel = visualization.draw_box(panel, np.array(case.prompt.box) * scale)
    given = slice(protocols.points_of(name))
    centres = (case.points[given] + 0.5) * scale
    return visualization.draw_points(panel, centres, case.labels[given])


def _predicted(
    model: Model, batch: Batch, predictions: Predictions, names: tuple[str, ...], row: int
) -> dict[str, np.ndarray]:
    """Predicted masks of one row of a batch at original size."""
    image, _ = batch.masks[row]
    at = image.loaded.placement
    canvas = masks.canvas_size(at.height, at.width)
    logits = predictions.logits[row, :, 0][None]
    size = model.config.image_size
    restored = masks.restore_logits(logits, jnp.asarray(at.as_array())[None], size, canvas)[0]
    foreground = np.asarray(restored > masks.THRESHOLD)[:, : at.height, : at.width]
    return dict(zip(names, foreground, strict=True))


def _case(
    root: str | os.PathLike[str],
    result: MaskResult,
    batch: Batch,
    predictions: Predictions,
    predicted: dict[str, np.ndarray],
    row: int,
) -> Case:
    image, position = batch.masks[row]
    pixels, order = read_image(Path(root) / image.sample.image)
    return Case(
        result=result,
        image=visualization.to_uint8_rgb(pixels, order),
        truth=image.loaded.original_masks[position],
        predicted=predicted,
        prompt=image.prompts[position],
        points=image.loaded.placement.to_original(np.asarray(predictions.points[row])),
        labels=np.asarray(predictions.labels[row]),
    )
