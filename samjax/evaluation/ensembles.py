"""Ensembles of boxes: score of the mean mask, and how well its uncertainty predicts errors.

Pixels count that lie within the box, widened by half of its sides: far from the object every pixel
is sure and right. All numbers of a mask are computed on the device, and only counts leave it: the
calibration error and the areas under curves come from histograms over pixels.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.scipy.special import logit
from jaxtyping import Array, Float, Int, UInt8

from samjax import masks
from samjax.inference.uncertainty import Mean, entropy

CALIBRATION_BINS = 15  # As in SAM-U's evaluation.
ENTROPY_BINS = 300
REFUSED = (10, 20, 30)  # Percent of the least sure masks.
WIDER = 0.5  # Growth of the region beyond the box, over its sides.
_LOGITS = (1e-5, 20.0)  # Distance of a logit from zero in the least and in the most sure bin.


@struct.dataclass
class EnsembleCounts:
    """Counts of one mask and its uncertainty.

    Attributes:
        pixels: Pixels in the intersection with the truth, and in the mask.
        entropy: Mean predictive entropy within the box, bits.
        calibration: Pixels of the region, sum of their probabilities, and true pixels, by bins of
            the probability.
        by_entropy: Wrong and right pixels of the region, by bins of rising predictive entropy.
        mask: The mask on the canvas, eight pixels of a row in a byte.
    """

    pixels: Int[Array, " 2"]
    entropy: Float[Array, ""]
    calibration: Float[Array, "3 c"]
    by_entropy: Int[Array, "2 e"]
    mask: UInt8[Array, "h w8"]


@functools.partial(jax.jit, static_argnames=("size", "mean"))
def count(
    logits: Float[Array, "n m m"],
    placement: Int[Array, " 6"],
    truth: UInt8[Array, "h w"],
    boxes: Float[Array, "2 4"],
    size: int,
    mean: Mean,
) -> EnsembleCounts:
    """Compares the mean of an ensemble with the truth at original resolution.

    Args:
        logits: Low-resolution logits of each box's mask.
        placement: `samjax.data.inputs.Placement.as_array` of the image.
        truth: The true mask at original size, on a canvas (`samjax.masks.canvas_size`).
        boxes: The box that was jittered, and the region around it (`WIDER`), pixels of the image.
        size: Side of the network's input.
        mean: Whether probabilities or logits are averaged.
    """
    canvas = (truth.shape[0], truth.shape[1])

    def add(total: jax.Array, low_res: jax.Array) -> tuple[jax.Array, None]:
        restored = masks.restore_logits(low_res[None, None], placement[None], size, canvas)[0, 0]
        return total + (jax.nn.sigmoid(restored) if mean == "probability" else restored), None

    total, _ = jax.lax.scan(add, jnp.zeros(canvas), logits)
    average = total / len(logits)
    probability = average if mean == "probability" else jax.nn.sigmoid(average)
    height, width = placement[0], placement[1]
    y, x = jnp.mgrid[: canvas[0], : canvas[1]]
    image = (y < height) & (x < width)
    predicted, true = (probability > 0.5) & image, (truth != 0) & image
    uncertainty = entropy(probability)
    within, region = (masks.inside_box(each, canvas) & image for each in boxes)
    bins = jnp.minimum((probability * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    calibration = jnp.stack(
        [
            _histogram(bins, values, CALIBRATION_BINS)
            for values in (region.astype(int), region * probability, (region & true).astype(int))
        ]
    )
    bins = _entropy_bins(probability)
    wrong = predicted != true
    by_entropy = jnp.stack(
        [_histogram(bins, (region & part).astype(int), ENTROPY_BINS) for part in (wrong, ~wrong)]
    )
    mean_entropy = jnp.where(within, uncertainty, 0).sum() / jnp.maximum(within.sum(), 1)
    pixels = jnp.stack([(predicted & true).sum(), predicted.sum()])
    packed = jnp.packbits(predicted, axis=1)
    return EnsembleCounts(pixels, mean_entropy, calibration, by_entropy, packed)


def summarise(
    dice: Sequence[float], entropies: Sequence[float], counts: Sequence[dict[str, Any]]
) -> dict[str, float]:
    """Returns how well the uncertainty of an ensemble predicts its errors.

    Args:
        dice: Dice of every mask.
        entropies: Mean predictive entropy of every mask.
        counts: `calibration` and `by_entropy` of every mask.

    Returns:
        `ece`, the expected calibration error of the probability; `auroc` and `auprc` of the entropy
        as a score of wrong pixels (NaN where all are right, or all wrong); `dice_refusing_N`, the
        mean Dice without the N % of masks with the highest entropy.
    """
    calibration = np.sum([each["calibration"] for each in counts], axis=0)
    wrong, right = np.sum([each["by_entropy"] for each in counts], axis=0)
    number, probability, true = calibration
    found = {
        "ece": float(np.abs(probability - true).sum() / max(number.sum(), 1)),
        "auroc": area_under_roc(wrong, right),
        "auprc": average_precision(wrong, right),
    }
    order = np.argsort(entropies, kind="stable")
    for percent in REFUSED:
        kept = order[: max(len(order) - round(len(order) * percent / 100), 1)]
        found[f"dice_refusing_{percent}"] = float(np.mean(np.asarray(dice)[kept]))
    return found


def area_under_roc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Returns the area under the ROC curve of a score, from histograms; ties count half."""
    below = np.cumsum(negative) - negative
    pairs = float(positive.sum()) * float(negative.sum())
    ranked = (positive * (below + 0.5 * negative)).sum()
    return float(ranked / pairs) if pairs else float("nan")


def average_precision(positive: np.ndarray, negative: np.ndarray) -> float:
    """Returns the area under the precision-recall curve of a score, as a sum over thresholds."""
    found = np.cumsum(positive[::-1])
    taken = found + np.cumsum(negative[::-1])
    if not positive.sum():
        return float("nan")
    precision = found / np.maximum(taken, 1)
    return float((precision * positive[::-1]).sum() / positive.sum())


def _entropy_bins(probability: Float[Array, "h w"]) -> Int[Array, "h w"]:
    """Returns bins in the order of the entropy, narrow where it is close to 0 and to 1.

    They are even in the logarithm of the logit's distance from zero, which falls as entropy rises.
    Bins that are even in the entropy itself would have most pixels of a sharp model in one.
    """
    low, high = _LOGITS
    sure = jnp.clip(jnp.abs(logit(probability)), low, high)
    share = jnp.log(high / sure) / jnp.log(high / low)
    return jnp.minimum((share * ENTROPY_BINS).astype(int), ENTROPY_BINS - 1)


def _histogram(bins: Int[Array, "h w"], weights: Array, length: int) -> Array:
    """Sums weights by bins: first in each row, as a long sum loses digits."""
    return jax.vmap(functools.partial(jnp.bincount, length=length))(bins, weights).sum(0)
