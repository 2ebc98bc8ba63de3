"""Dice of every class in every image by a semantic model, and classes shown where they are not.

A class that neither the image nor its class map has is left out of the means of that image. If only
one of the two has it, its Dice is 0.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from samjax.evaluation import metrics
from samjax.evaluation.results import ClassCounts, Evaluation


def summarise(evaluation: Evaluation) -> dict[str, Any]:
    """Returns the scores of a semantic model by class.

    Returns:
        `dice`: mean over the classes of their mean Dice over images; `by_class`: for each class,
        `dice`, the number of `images` that have the class, the number of images that the model
        shows it in wrongly (`false_images`), and the mean share of the area of these that it
        covers (`false_area`; 0 without any). `other_classes`: number of masks left out, of classes
        that the model lacks.
    """
    by_class: dict[str, list[ClassCounts]] = {}
    for counted in evaluation.classes.values():
        for name, one in counted.items():
            by_class.setdefault(name, []).append(one)
    parts = {name: _of_class(by_class[name]) for name in sorted(by_class)}
    return {
        "dice": _mean(part["dice"] for part in parts.values()),
        "by_class": parts,
        "other_classes": evaluation.other_classes,
    }


def dice_of_images(evaluation: Evaluation) -> dict[str, float]:
    """Returns the mean Dice over the classes of each image, by its path."""
    return {
        image: _mean(map(_dice, counted.values())) for image, counted in evaluation.classes.items()
    }


def rows(found: Mapping[str, Any]) -> list[list[str]]:
    """Returns a table of the classes: head, a row for each, and their mean.

    Args:
        found: The result of `summarise`.
    """
    table = [["Class", "Images", "Dice (%)", "Shown wrongly in", "Area there (%)"]]
    for name, part in found["by_class"].items():
        counts = str(part["images"]), f"{100 * part['dice']:.2f}", str(part["false_images"])
        table.append([name, *counts, f"{100 * part['false_area']:.2f}"])
    return [*table, ["mean of classes", "", f"{100 * found['dice']:.2f}", "", ""]]


def _of_class(counts: list[ClassCounts]) -> dict[str, Any]:
    false = [one.predicted / one.image for one in counts if not one.truth]
    return {
        "dice": _mean(map(_dice, counts)),
        "images": len(counts) - len(false),
        "false_images": len(false),
        "false_area": _mean(false) if false else 0.0,
    }


def _dice(one: ClassCounts) -> float:
    return float(metrics.dice(one.intersection, one.predicted, one.truth))


def _mean(values: Iterable[float]) -> float:
    return float(np.mean([*values]))
