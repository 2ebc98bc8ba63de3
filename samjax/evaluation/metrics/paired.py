"""Paired comparison of two models by their scores of the same masks."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from samjax.evaluation.metrics.bootstrap import bootstrap_means

EXACT = 15  # Subjects up to which all flips are counted.
FLIPS = 20_000  # Drawn at random for more subjects.
_CHUNK = 1000  # Flips made at a time, so that memory stays bounded.

CONVENTIONS = {
    "difference": "mean over masks of the second model's score less the first one's",
    "interval": "95 % percentile bootstrap of the mean difference, 1,000 resamples of subjects",
    "p": "permutation of whole subjects: share of the sign flips of each subject's differences "
    "whose mean is at least as far from 0 as the one found; all flips up to "
    f"{EXACT} subjects, else {FLIPS:,} random ones and the one found",
    "several comparisons": "p is of each row alone: of 20 rows of equal models, one has p < 0.05",
}


class PairedDifference(NamedTuple):
    """Scores of two models on the same masks.

    Attributes:
        first: Mean of the first model.
        second: Mean of the second.
        difference: Mean of second less first.
        low: Lower end of its 95 % interval over subjects; None where there is a single subject.
        high: Upper end of that interval.
        p: Probability of such a difference, or a larger one, if the models were exchangeable.
        higher: Number of masks with a higher score of the second.
        equal: Number of masks with the same score.
        lower: Number of masks with a lower score of the second.
    """

    first: float
    second: float
    difference: float
    low: float | None
    high: float | None
    p: float
    higher: int
    equal: int
    lower: int


def compare(
    first: np.ndarray, second: np.ndarray, subjects: np.ndarray, seed: int = 0
) -> list[PairedDifference]:
    """Compares two models in every column of their scores.

    A subject is exchanged between the models as a whole, as masks of one subject are similar. A
    single subject shows nothing about others: there is no interval, and p is 1.

    Args:
        first: Scores of the first model, one row per mask, (n, c).
        second: Scores of the second, of the same masks, (n, c).
        subjects: Subject of each mask, (n,), of any sortable type.
        seed: Seed of the resampling and of the flips.

    Returns:
        One comparison per column.

    Raises:
        ValueError: There are no masks, or the models have different numbers of them.
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    if first.shape != second.shape or len(first) != len(subjects):
        raise ValueError(
            f"compare: expected scores of the same {len(subjects)} masks, found arrays "
            f"{first.shape} and {second.shape}"
        )
    difference = second - first
    means = bootstrap_means(difference, subjects, seed)
    probabilities = permutation_p(difference, subjects, seed)
    return [
        PairedDifference(
            float(first[:, i].mean()),
            float(second[:, i].mean()),
            *means[i],
            float(probabilities[i]),
            int((difference[:, i] > 0).sum()),
            int((difference[:, i] == 0).sum()),
            int((difference[:, i] < 0).sum()),
        )
        for i in range(first.shape[1])
    ]


def permutation_p(difference: np.ndarray, subjects: np.ndarray, seed: int = 0) -> np.ndarray:
    """Returns two-sided p of every column's mean by flipping the signs of whole subjects.

    Args:
        difference: Paired differences, one row per mask, (n, c).
        subjects: Subject of each mask, (n,).
        seed: Seed of random flips, which are drawn for more than `EXACT` subjects.

    Returns:
        (c,): with all flips the exact p; with random ones (1 + as extreme) / (1 + `FLIPS`).
    """
    _, index = np.unique(subjects, return_inverse=True)
    sums = np.stack([np.bincount(index, column) for column in difference.T], axis=1)
    # Sums in another order differ in their last digits.
    found = np.abs(sums.sum(0)) - 1e-12 * np.abs(sums).sum(0)
    exact = len(sums) <= EXACT
    extreme, count = np.zeros(sums.shape[1]), 0
    for signs in _all_signs(len(sums)) if exact else _random_signs(len(sums), seed):
        extreme += (np.abs(signs @ sums) >= found).sum(0)
        count += len(signs)
    return extreme / count if exact else (1 + extreme) / (1 + count)


def _all_signs(subjects: int) -> Iterator[np.ndarray]:
    """Yields all flips of the subjects but the first, in chunks: its flip mirrors all others."""
    rest = itertools.product((1.0, -1.0), repeat=subjects - 1)
    while chunk := list(itertools.islice(rest, _CHUNK)):
        yield np.array([(1.0, *signs) for signs in chunk])


def _random_signs(subjects: int, seed: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(seed)
    for _ in range(FLIPS // _CHUNK):
        drawn = rng.integers(0, 256, (_CHUNK, -(-subjects // 8)), np.uint8)
        yield 1.0 - 2.0 * np.unpackbits(drawn, axis=1, count=subjects)
