"""Dice and IoU from pixel counts, bootstrap intervals of their means, and ranking by them."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

import numpy as np

RESAMPLES = 1000
_CHUNK = 100  # Resamples drawn at a time, so that memory stays bounded.

Item = TypeVar("Item")
Counts = Any  # Integers: Python's, NumPy's or JAX's.
Fractions = Any  # Floats of the same kind.


class Mean(NamedTuple):
    """A mean with its 95 % bootstrap interval; None where there is a single subject."""

    value: float
    low: float | None
    high: float | None


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


def bootstrap_means(values: np.ndarray, subjects: np.ndarray, seed: int = 0) -> list[Mean]:
    """Means of columns with 95 % percentile intervals, from resampling whole subjects.

    Masks of one patient are similar, so an interval that resamples single masks would be too
    narrow. A single subject shows nothing about others, so there is no interval.

    Args:
        values: One row per mask, one column per quantity, (n, columns).
        subjects: Subject of each mask, (n,), of any sortable type.
        seed: Seed of the resampling.

    Returns:
        One `Mean` per column.

    Raises:
        ValueError: There are no values.
    """
    if not len(values):
        raise ValueError("bootstrap_means: expected at least one value, found none")
    names, index = np.unique(subjects, return_inverse=True)
    values = np.asarray(values)
    if len(names) == 1:
        return [Mean(float(mean), None, None) for mean in values.mean(axis=0)]
    weights = np.bincount(index).astype(np.float64)
    sums = np.stack([np.bincount(index, column) for column in np.transpose(values)], axis=1)
    rng = np.random.default_rng(seed)
    equally = np.full(len(names), 1 / len(names))
    means = []
    for _ in range(RESAMPLES // _CHUNK):
        drawn = rng.multinomial(len(names), equally, size=_CHUNK)
        means.append((drawn @ sums) / (drawn @ weights)[:, None])
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5], axis=0)
    columns = zip(np.mean(values, axis=0), low, high, strict=True)
    return [Mean(*map(float, column)) for column in columns]
