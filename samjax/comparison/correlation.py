"""Rank correlations of a score with factors, each given the others, with intervals over subjects.

Spearman's partial correlation: of the ranks, given the ranks of all other columns. A category has
no order; it is taken out as one indicator column for each of its values but one, and its own effect
is the share of the remaining variance of the ranks that these columns explain.
"""

import dataclasses
from collections.abc import Mapping, Sequence

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
    scores: Mapping[str, np.ndarray],
    factors: Mapping[str, np.ndarray],
    category: Sequence[str],
    subjects: Sequence[str],
    seed: int = 0,
) -> dict[str, FactorEffects]:
    """Returns the effects of factors and of a category on scores, given each other.

    Intervals are percentiles of a bootstrap over subjects, as slices of one are similar. A factor
    that is constant, or follows from the others, has no effect that could be told; nor has any
    where masks are no more than columns.

    Args:
        scores: Scores of the masks by name, each (n,).
        factors: Factors by name, each (n,).
        category: Category of each mask.
        subjects: Subject of each mask.
        seed: Seed of the bootstrap.
    """
    kinds = np.asarray(category)
    indicators = [(kinds == kind).astype(float) for kind in np.unique(kinds)[1:]]
    ranking = _Ranking([*scores.values(), *factors.values(), *indicators])
    units, unit_of = np.unique(np.asarray(subjects), return_inverse=True)
    samples = np.ones((1, len(kinds)))
    if len(units) > 1:
        equally = np.full(len(units), 1 / len(units))
        drawn = np.random.default_rng(seed).multinomial(len(units), equally, size=RESAMPLES)
        samples = np.concatenate([samples, drawn[:, unit_of]])
    correlations = np.stack([ranking(weights) for weights in samples])
    rows = (samples > 0).sum(axis=1)
    effects = {}
    for number, name in enumerate(scores):
        used = [number, *range(len(scores), correlations.shape[1])]
        of_score = correlations[:, used][:, :, used]
        found = _estimate(of_score, rows, len(factors))
        values = [_with_interval(*each) for each in zip(found[0], found[1:].T, strict=True)]
        rho = dict(zip(factors, values[:-1], strict=True))
        effects[name] = FactorEffects(rho, values[-1], len(kinds), len(units))
    return effects


class _Ranking:
    """Ranks of columns in weighted samples of the rows, equal values having their mean rank."""

    def __init__(self, columns: Sequence[Float[np.ndarray, " n"]]) -> None:
        self._places = [np.unique(column, return_inverse=True)[1] for column in columns]

    def __call__(self, weights: Float[np.ndarray, " n"]) -> Float[np.ndarray, "c c"]:
        """Returns the correlations of the ranks in a sample, NaN for constant columns.

        Args:
            weights: Number of times that the sample has each row.
        """
        rows = weights > 0
        kept = weights[rows]
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


def _estimate(
    correlations: Float[np.ndarray, "r c c"], rows: np.ndarray, factors: int
) -> Float[np.ndarray, "r effects"]:
    """Returns the partial correlation of a score with each factor; the category's effect last.

    They are NaN where a sample cannot tell.

    Args:
        correlations: Of the score, the factors, and the indicators of the category, in `r` samples.
        rows: Number of different rows of each sample.
        factors: Number of factors.
    """
    effects = np.full((len(rows), factors + 1), np.nan)
    all_vary = ~np.isnan(np.diagonal(correlations, axis1=1, axis2=2))
    enough = rows > correlations.shape[1] + 1  # Fewer are fitted exactly.
    for varies in np.unique(all_vary, axis=0):
        alike = np.flatnonzero((all_vary == varies).all(axis=1) & enough)
        kept = np.flatnonzero(varies)
        if not varies[0] or not len(alike):
            continue
        found = correlations[alike][:, kept][:, :, kept]
        regular = np.linalg.eigvalsh(found)[:, 0] >= _SINGULAR
        alike, found = alike[regular], found[regular]
        inverse = np.linalg.inv(found)
        diagonal = np.diagonal(inverse, axis1=1, axis2=2)
        partial = -inverse[:, 0] / np.sqrt(diagonal[:, :1] * diagonal)
        numeric = int(varies[: factors + 1].sum())
        effects[np.ix_(alike, kept[1:numeric] - 1)] = partial[:, 1:numeric]
        if numeric < len(kept):  # More than one category.
            # The variance of the score that is left: by all, and by all but the category.
            without = np.linalg.inv(found[:, :numeric, :numeric])[:, 0, 0]
            effects[alike, factors] = 1 - without / diagonal[:, 0]
    return effects


def _with_interval(value: float, drawn: np.ndarray) -> Mean | None:
    if np.isnan(value):
        return None
    known = drawn[~np.isnan(drawn)]
    if len(known) < RESAMPLES / 2:
        return Mean(float(value), None, None)
    low, high = np.percentile(known, [2.5, 97.5])
    return Mean(float(value), float(low), float(high))
