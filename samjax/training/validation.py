"""Validation during training: the evaluation of `eval.py` on held-out images."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from samjax import visualization
from samjax.data import index
from samjax.data.index import Sample
from samjax.evaluation import class_figures, evaluator, figures, summary, support
from samjax.evaluation.evaluator import EvalConfig
from samjax.evaluation.table import ScoreTable
from samjax.models.directory import Model

PICTURED = 4  # Images in a panel of predictions.
PICTURE_SIDE = 256  # Longer side of an image in it, pixels.


def settings(config: EvalConfig, model: Model) -> EvalConfig:
    """Returns the settings: other classes than those that `data.classes` chose are left out."""
    chosen = model.config.head.is_semantic
    return dataclasses.replace(config, other_classes="skip") if chosen else config


def scores(
    model: Model, root: Path, samples: Sequence[Sample], config: EvalConfig
) -> dict[str, float]:
    """Mean Dice of every protocol, and their mean, by which the best model is chosen."""
    config = settings(config, model)
    evaluation = evaluator.evaluate(model, root, samples, config, progress=False)
    overall = summary.means(ScoreTable.of(evaluation.results))
    dice = {name: overall[name]["dice"] for name in evaluation.config.protocols}
    mean = sum(dice.values()) / len(dice)
    return {"validation/dice": mean} | {f"validation/{name}": dice[name] for name in dice}


def picture(model: Model, root: Path, samples: Sequence[Sample], config: EvalConfig) -> np.ndarray:
    """Draws predictions in a few images, always the same: of one mask, or of all classes; RGB."""
    config = settings(config, model)
    if model.config.head.is_semantic:
        described = index.load_metadata(root, samples)
        samples, _ = support.known_samples(model, samples, described, config)
    count = min(PICTURED, len(samples))
    chosen = [samples[i * len(samples) // count] for i in range(count)]
    if model.config.head.is_semantic:
        evaluation = evaluator.evaluate(model, root, chosen, config, progress=False)
        return class_figures.picture(model, root, evaluation, [*evaluation.classes], PICTURE_SIDE)
    firsts = [Sample(sample.image, sample.masks[:1]) for sample in chosen]
    evaluation = evaluator.evaluate(model, root, firsts, config, progress=False)
    examples = figures.examples(model, root, evaluation, evaluation.results)
    return visualization.grid([[figures.example_picture(example)] for example in examples])
