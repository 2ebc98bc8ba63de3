"""Uncertainty of a mask: predictions from an ensemble of jittered boxes.

The idea is SAM-U's (Deng et al., 2023, arXiv 2307.04973), which calls the predictive entropy
aleatoric. Here, every map has its usual name.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.scipy.special import entr
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from samjax import fields
from samjax.data.boxes import jitter_box, shift_box
from samjax.inference.batch import SegmentationResult
from samjax.inference.object_prompt import ObjectPrompt

if TYPE_CHECKING:
    from samjax.inference.predictor import Predictor

Mean = Literal["probability", "logit"]
Move = Literal["sides", "centre"]


@struct.dataclass
class UncertaintyMaps:
    """Uncertainty of every pixel; entropies in bits, 0 to 1.

    Attributes:
        probability: Probability of the foreground: the mean of all predictions'.
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
class EnsembleConfig:
    """Settings of an ensemble, see `predict_ensemble`.

    Attributes:
        count: Number of boxes, the given one included.
        jitter: Largest move.
        seed: Seed of the jitter.
        mean: Whether probabilities or logits are averaged.
        move: Whether sides or centres move.

    Raises:
        ValueError: A field has an invalid value.
    """

    count: fields.PositiveInt = 5
    jitter: fields.NonNegativeFloat = 1 / 32
    seed: fields.Seed = 0
    mean: Mean = "probability"
    move: Move = "sides"

    def __post_init__(self) -> None:
        fields.check(self)


@dataclasses.dataclass(frozen=True)
class Ensemble:
    """Prediction of an ensemble of boxes.

    Attributes:
        mask: Mask (H, W) bool: probability above 0.5.
        maps: Uncertainty of every pixel, (H, W) float32.
        boxes: The boxes (N, 4), pixels of the image; the first is the box that was given.
        scores: Predicted IoU of each box's mask, (N,) float32.
        low_res: Low-resolution logits of each box's mask, (N, m, m) float32.
    """

    mask: np.ndarray
    maps: UncertaintyMaps
    boxes: np.ndarray
    scores: np.ndarray
    low_res: np.ndarray


def predict_ensemble(
    predictor: "Predictor",
    box: ArrayLike,
    count: int = 5,
    jitter: float = 1 / 32,
    seed: int = 0,
    mean: Mean = "probability",
    move: Move = "sides",
    multimask_output: bool | None = None,
) -> Ensemble:
    """Predicts one object of the current image from jittered boxes, on one image embedding.

    Args:
        predictor: Predictor with an image.
        box: Corners (x0, y0, x1, y1), pixels of the image, shape (4,).
        count: Number of boxes, the given one included; SAM-U: 5, for its figures 20.
        jitter: Largest move: of each `sides`, as a share of the image's width or height (SAM-U:
            1/32); or of the `centre`, as a share of the box's shorter side.
        seed: Seed of the jitter.
        mean: Whether the mask is that of the mean `probability` (SAM-U's figures) or of the mean
            `logit` (its evaluation).
        move: Whether each of the `sides` moves by itself (SAM-U) or the `centre` of a box of
            unchanged size (FNPC).
        multimask_output: Whether each box gives the best of three masks, or a single one (SAM-U).
            None: as the network was trained, since SAM-Med2D never trains its single mask.

    Raises:
        RuntimeError: No image is set, or several are.
        ValueError: An argument has the wrong shape or value; the message names it.
    """
    corners = np.asarray(box, np.float32)
    if corners.shape != (4,):
        raise ValueError(f"box: expected shape (4,), found {corners.shape}")
    EnsembleConfig(count, jitter, seed, mean, move)  # Checks them.
    rng, others = np.random.default_rng(seed), count - 1
    draw = {"sides": jitter_box, "centre": shift_box}[move]
    moved = draw(corners, others, predictor.original_size, jitter, rng)
    boxes = np.concatenate([corners[None], moved])
    logits, scores, low_res = predictor.predict(
        box=boxes, multimask_output=multimask_output, return_logits=True, best=True
    )
    maps = uncertainty_maps(jnp.asarray(logits[:, 0]), mean)
    mask = np.asarray(maps.probability) > 0.5
    return Ensemble(mask, maps, boxes, scores[:, 0], low_res[:, 0])


def predict_objects(
    predictor: "Predictor",
    prompts: Sequence[ObjectPrompt],
    count: int,
    multimask_output: bool | None,
    return_logits: bool,
) -> SegmentationResult:
    """Predicts objects of the current image, each by the mean of an ensemble of boxes.

    Args:
        predictor: Predictor with an image.
        prompts: Boxes of the objects.
        count: Number of boxes of each object.
        multimask_output: As in `predict_ensemble`.
        return_logits: Return logits of the probability instead of masks.

    Raises:
        ValueError: A prompt is not a box alone, or `count` is below 1.
    """
    found = []
    for prompt in prompts:
        if prompt.box is None or prompt.points is not None or prompt.mask is not None:
            raise ValueError("ensemble: expected a box prompt alone, which can be jittered")
        found.append(
            predict_ensemble(predictor, prompt.box, count, multimask_output=multimask_output)
        )
    probability = np.stack([np.asarray(each.maps.probability) for each in found])[:, None]
    masks = probability > 0.5
    if return_logits:
        bounded = np.clip(probability, 1e-7, 1 - 1e-7)
        masks = np.log(bounded) - np.log1p(-bounded)
    return SegmentationResult(
        masks=masks,
        scores=np.stack([each.scores.mean(keepdims=True) for each in found]),
        low_res=np.stack([each.low_res.mean(0, keepdims=True) for each in found]),
    )


@functools.partial(jax.jit, static_argnames=("mean",))
def uncertainty_maps(logits: Float[Array, "n h w"], mean: Mean = "probability") -> UncertaintyMaps:
    """Computes uncertainty from the mask logits of `n` predictions of one object.

    Args:
        logits: Mask logits.
        mean: Whether `probability` is the mean of the probabilities, or of the `logit`.
    """
    logits = logits.astype(jnp.float32)
    probabilities = jax.nn.sigmoid(logits)
    probability = probabilities.mean(0)
    if mean == "logit":
        probability = jax.nn.sigmoid(logits.mean(0))
    predictive, expected = entropy(probability), entropy(probabilities).mean(0)
    votes = (logits > 0).mean(0)
    return UncertaintyMaps(
        probability,
        predictive,
        expected,
        # Rounding, and the mean of logits, may give less than zero.
        jnp.maximum(predictive - expected, 0),
        votes * (1 - votes),
    )


def entropy(probability: jax.Array) -> jax.Array:
    """Returns the entropy of a binary variable, bits; `probability` is that of one value."""
    return (entr(probability) + entr(1 - probability)) / jnp.log(2.0)
