"""Agreement of the IoU that a model predicts for its masks with their true IoU."""

from typing import Any

import numpy as np

BINS = 10
BAD = 0.75  # A mask of a lower IoU is one that a user would correct.


def reliability(predicted: np.ndarray, iou: np.ndarray) -> list[dict[str, float]]:
    """Returns the reliability table: masks by their predicted IoU, in bins of equal width.

    A predicted IoU below 0 or above 1 counts in the first or last bin, as it is.

    Args:
        predicted: Predicted IoU of every mask.
        iou: Its true IoU.

    Returns:
        For each bin that has masks its bounds `low` and `high`, their number `count`, and the means
        `predicted` and `iou`.
    """
    at = np.clip((predicted * BINS).astype(int), 0, BINS - 1)
    found = []
    for number in np.unique(at):
        inside = at == number
        found.append(
            {
                "low": float(number / BINS),
                "high": float((number + 1) / BINS),
                "count": int(inside.sum()),
                "predicted": float(predicted[inside].mean()),
                "iou": float(iou[inside].mean()),
            }
        )
    return found


def summarise(predicted: np.ndarray, iou: np.ndarray) -> dict[str, Any]:
    """Returns how well the predicted IoU tells the true one.

    Args:
        predicted: Predicted IoU of every mask, (n,).
        iou: Its true IoU, (n,).

    Returns:
        `bins`, see `reliability`; `ece`, the expected calibration error: the mean over masks of the
        difference between the means of its bin; `bias`, mean predicted less mean true IoU;
        `spearman`, the rank correlation; `auroc`, the probability that of a mask with an IoU under
        `BAD` and another one the first has the lower predicted IoU, ties half. The last two are
        None where they are not defined: all values equal, or no mask of either kind.
    """
    predicted, iou = np.asarray(predicted, float), np.asarray(iou, float)
    bins = reliability(predicted, iou)
    gaps = [each["count"] * abs(each["predicted"] - each["iou"]) for each in bins]
    return {
        "bins": bins,
        "ece": float(sum(gaps) / len(iou)),
        "bias": float(predicted.mean() - iou.mean()),
        "spearman": _spearman(predicted, iou),
        "auroc": auroc(-predicted, iou < BAD),
    }


def auroc(score: np.ndarray, positive: np.ndarray) -> float | None:
    """Returns the area under the ROC curve of a score; None without both kinds.

    Args:
        score: Higher for those that should be positive.
        positive: Whether they are.
    """
    count = int(positive.sum())
    others = len(positive) - count
    if not count or not others:
        return None
    ranks = _ranks(score)[positive].sum()
    return float((ranks - count * (count + 1) / 2) / (count * others))


def _spearman(one: np.ndarray, two: np.ndarray) -> float | None:
    if np.ptp(one) == 0 or np.ptp(two) == 0:
        return None
    return float(np.corrcoef(_ranks(one), _ranks(two))[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    """Returns ranks from 1, ties at their mean; `scipy.stats` takes a second to import."""
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[index]
