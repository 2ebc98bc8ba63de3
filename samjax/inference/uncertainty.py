"""Uncertainty of a mask: predictions from an ensemble of jittered boxes.

The idea is SAM-U's (Deng et al., 2023, arXiv 2307.04973), which calls the predictive entropy
aleatoric. Here, every map has its usual name.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.scipy.special import entr
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from samjax.inference.predictor import Predictor


@struct.dataclass
class UncertaintyMaps:
    """Uncertainty of every pixel; entropies in bits, 0 to 1.

    Attributes:
        probability: Mean probability of the foreground.
        predictive_entropy: Entropy of the mean probability: the total uncertainty.
        expected_entropy: Mean entropy of the single predictions: how unsure each of them is.
        mutual_information: The difference of both: how far the predictions disagree.
        vote_variance: Variance `v (1 - v)` of the masks, of which the share `v` has the pixel;
            0 to 0.25 (Yao et al., FNPC-SAM, 2023).
    """

    probability: Float[Array, "h w"]
    predictive_entropy: Float[Array, "h w"]
    expected_entropy: Float[Array, "h w"]
    mutual_information: Float[Array, "h w"]
    vote_variance: Float[Array, "h w"]


@dataclasses.dataclass(frozen=True)
class Ensemble:
    """Prediction of an ensemble of boxes.

    Attributes:
        mask: Mask (H, W) bool: mean probability above 0.5.
        maps: Uncertainty of every pixel, (H, W) float32.
        boxes: The boxes (N, 4), pixels of the image; the first is the box that was given.
        scores: Predicted IoU of each box's mask, (N,) float32.
    """

    mask: np.ndarray
    maps: UncertaintyMaps
    boxes: np.ndarray
    scores: np.ndarray


def predict_ensemble(
    predictor: Predictor,
    box: ArrayLike,
    count: int = 5,
    jitter: float = 1 / 32,
    seed: int = 0,
) -> Ensemble:
    """Predicts one object of the current image from jittered boxes, on one image embedding.

    Args:
        predictor: Predictor with an image.
        box: Corners (x0, y0, x1, y1), pixels of the image, shape (4,).
        count: Number of boxes, the given one included; SAM-U: 5, for its figures 20.
        jitter: Largest move of each side, as a share of the image's width or height; SAM-U: 1/32.
        seed: Seed of the jitter.

    Raises:
        RuntimeError: No image is set, or several are.
        ValueError: `box`, `count` or `jitter` has the wrong shape or value.
    """
    corners = np.asarray(box, np.float32)
    if corners.shape != (4,):
        raise ValueError(f"box: expected shape (4,), found {corners.shape}")
    if count < 1 or jitter < 0:
        raise ValueError(
            f"expected a count of 1 or more and a jitter of 0 or more, found {count} and {jitter}"
        )
    height, width = predictor.original_size
    boxes = jitter_box(corners, count, (height, width), jitter, np.random.default_rng(seed))
    logits, scores, _ = predictor.predict(box=boxes, multimask_output=False, return_logits=True)
    maps = uncertainty_maps(jnp.asarray(logits[:, 0]))
    return Ensemble(np.asarray(maps.probability) > 0.5, maps, boxes, scores[:, 0])


def jitter_box(
    box: np.ndarray, count: int, extent: tuple[int, int], jitter: float, rng: np.random.Generator
) -> np.ndarray:
    """Returns (count, 4) boxes: the given one, and others with sides moved independently.

    Args:
        box: Corners (x0, y0, x1, y1), pixels.
        count: Number of boxes.
        extent: Height and width of the image, within which boxes are kept.
        jitter: Largest move of a side over the width or height.
        rng: Random numbers.
    """
    height, width = extent
    limits = np.array([width, height, width, height], np.float32)
    moves = rng.uniform(-jitter, jitter, (count - 1, 4)).astype(np.float32) * limits
    moved = np.clip(box + moves, 0, limits)
    # A side that has passed the opposite one takes its place.
    corners = np.sort(moved.reshape(-1, 2, 2), axis=1)
    return np.concatenate([box[None], corners.reshape(-1, 4)])


@jax.jit
def uncertainty_maps(logits: Float[Array, "n h w"]) -> UncertaintyMaps:
    """Computes uncertainty from the mask logits of `n` predictions of one object."""
    probabilities = jax.nn.sigmoid(logits.astype(jnp.float32))
    probability = probabilities.mean(0)
    predictive, expected = _entropy(probability), _entropy(probabilities).mean(0)
    votes = (logits > 0).mean(0)
    return UncertaintyMaps(
        probability,
        predictive,
        expected,
        jnp.maximum(predictive - expected, 0),  # Rounding may give less than zero.
        votes * (1 - votes),
    )


def _entropy(probability: jax.Array) -> jax.Array:
    """Returns the entropy of a binary variable, bits."""
    return (entr(probability) + entr(1 - probability)) / jnp.log(2.0)
