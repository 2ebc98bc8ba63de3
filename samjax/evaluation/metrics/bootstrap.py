"""Means with bootstrap intervals over subjects."""

from typing import NamedTuple

import numpy as np

RESAMPLES = 1000
_CHUNK = 100  # Resamples drawn at a time, so that memory stays bounded.


class Mean(NamedTuple):
    """A mean with its 95 % bootstrap interval; None where there is a single subject."""

    value: float
    low: float | None
    high: float | None

    @property
    def interval(self) -> list[float] | None:
        """Returns the interval as JSON holds it; None without."""
        return None if self.low is None or self.high is None else [self.low, self.high]


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
