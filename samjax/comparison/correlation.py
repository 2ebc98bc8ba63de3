"""Rank correlations of a score with factors, each given the others, with intervals over subjects.

Spearman's partial correlation: of the ranks, given the ranks of all other columns. A category has
no order; it is taken out as one indicator column for each of its values but one, and its own effect
is the share of the remaining variance of the ranks that these columns explain.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from samjax.evaluation.metrics import RESAMPLES, Mean

_SINGULAR = 1e-9  # Smallest eigenvalue of correlations of which none follows from the others.


@dataclasses.dataclass(frozen=True)
class FactorEffects:
    """Effects of factors on a score; None where the data cannot tell.

    Attributes:
        rho: Spearman's partial correlation of the score with each factor, given all others and
            the category.
        category: Partial eta squared of the category: the share it explains of the variance of the
            score's ranks that the factors leave.
        masks: Number of masks.
        subjects: Number of subjects.
    """

    rho: dict[str, Mean | None]
    category: Mean | None
    masks: int
    subjects: int


def effects(
    score: np.ndarray,
    factors: Mapping[str, np.ndarray],
    category: Sequence[str],
    subjects: Sequence[str],
    seed: int = 0,
) -> FactorEffects:
    """Returns the effects of factors and of a category on a score, given each other.

    Intervals are percentiles of a bootstrap over subjects, as slices of one are similar. A factor
    that is constant, or follows from the others, has no effect that could be told; nor has any
    where masks are fewer than columns.

    Args:
        score: Score of each mask, (n,).
        factors: Factors by name, each (n,).
        category: Category of each mask.
        subjects: Subject of each mask.
        seed: Seed of the bootstrap.
    """
    names, kinds = list(factors), np.asarray(category)
    indicators = [(kinds == kind).astype(float) for kind in np.unique(kinds)[1:]]
    columns = np.stack([score, *(factors[name] for name in names), *indicators], axis=1)
    ranking = _Ranking(np.asarray(columns, float))
    units, unit_of = np.unique(np.asarray(subjects), return_inverse=True)
    whole = _estimate(ranking(np.ones(len(columns))), len(names))
    rng, drawn = np.random.default_rng(seed), []
    if len(units) > 1:
        equally = np.full(len(units), 1 / len(units))
        for weights in rng.multinomial(len(units), equally, size=RESAMPLES):
            drawn.append(_estimate(ranking(weights[unit_of].astype(float)), len(names)))
    values = [_with_interval(value, [d[i] for d in drawn]) for i, value in enumerate(whole)]
    rho = dict(zip(names, values[:-1], strict=True))
    return FactorEffects(rho, values[-1], len(columns), len(units))


class _Ranking:
    """Ranks of columns in weighted samples of the rows, equal values having their mean rank."""

    def __init__(self, columns: Float[np.ndarray, "n c"]) -> None:
        self._places = [np.unique(column, return_inverse=True)[1] for column in columns.T]

    def __call__(self, weights: Float[np.ndarray, " n"]) -> Float[np.ndarray, "c c"] | None:
        """Returns the correlations of the ranks in a sample.

        They are NaN for constant columns. There are none where different rows are no more than
        columns, which would fit them exactly.

        Args:
            weights: Number of times that the sample has each row.
        """
        rows = weights > 0
        kept = weights[rows]
        if len(kept) <= len(self._places) + 1:
            return None
        ranks = []
        for places in self._places:
            count = np.bincount(places, weights)
            ranks.append((np.cumsum(count) - (count - 1) / 2)[places[rows]])
        centred = np.stack(ranks)
        centred = centred - (centred @ kept / kept.sum())[:, None]
        covariance = (centred * kept) @ centred.T
        spread = np.sqrt(np.diag(covariance))
        spread = np.where(spread > 0, spread, np.nan)
        return covariance / np.outer(spread, spread)


def _estimate(correlations: np.ndarray | None, factors: int) -> list[float | None]:
    """Returns the partial correlation of the score with each factor; the category's effect last.

    Args:
        correlations: Of the score, the factors, and the indicators of the category.
        factors: Number of factors.
    """
    nothing: list[float | None] = [None] * (factors + 1)
    if correlations is None or np.isnan(correlations[0, 0]):
        return nothing
    varies = ~np.isnan(np.diag(correlations))
    found = correlations[np.ix_(varies, varies)]
    if np.linalg.eigvalsh(found)[0] < _SINGULAR:
        return nothing
    precision = np.linalg.inv(found)
    scaled = -precision[0] / np.sqrt(precision[0, 0] * np.diag(precision))
    place = np.cumsum(varies) - 1
    numbers = range(1, factors + 1)
    rho = [float(scaled[place[i]]) if varies[i] else None for i in numbers]
    numeric = int(varies[: factors + 1].sum())
    if numeric == len(found):  # A single category.
        return [*rho, None]
    # The variance of the score that is left: by all columns, and by all but the category's.
    left = 1 / precision[0, 0]
    without = 1 / np.linalg.inv(found[:numeric, :numeric])[0, 0]
    return [*rho, float(1 - left / without)]


def _with_interval(value: float | None, drawn: Sequence[Any]) -> Mean | None:
    if value is None:
        return None
    known = [one for one in drawn if one is not None]
    if len(known) < RESAMPLES / 2:
        return Mean(value, None, None)
    low, high = np.percentile(known, [2.5, 97.5])
    return Mean(value, float(low), float(high))
