"""Dice and IoU from pixel counts, and ranking by a score."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

Item = TypeVar("Item")
Counts = Any  # Integers: Python's, NumPy's or JAX's.
Fractions = Any  # Floats of the same kind.


def dice(intersection: Counts, predicted: Counts, truth: Counts) -> Fractions:
    """Dice coefficient of masks, from numbers of pixels; works on NumPy and in jitted functions.

    It is 1 where both masks are empty. The published code has an epsilon of 1e-7 in numerator and
    denominator instead; the results differ by no more than 1e-7.

    Args:
        intersection: Pixels in both masks.
        predicted: Pixels in the predicted mask.
        truth: Pixels in the true mask.
    """
    total = predicted + truth
    both_empty = total == 0
    return (2 * intersection + both_empty) / (total + both_empty)


def iou(intersection: Counts, predicted: Counts, truth: Counts) -> Fractions:
    """Intersection over union of masks; arguments and empty masks as in `dice`."""
    union = predicted + truth - intersection
    both_empty = union == 0
    return (intersection + both_empty) / (union + both_empty)


def best_median_worst(
    items: Iterable[Item], score: Callable[[Item], float], count: int
) -> dict[str, list[Item]]:
    """Returns up to `count` items of the `best`, `median` and `worst` score."""
    ranked = sorted(items, key=score, reverse=True)
    middle = max((len(ranked) - count) // 2, 0)
    parts = {"best": ranked, "median": ranked[middle:], "worst": ranked[::-1]}
    return {name: part[:count] for name, part in parts.items()}
