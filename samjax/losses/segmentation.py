"""Loss of one interaction: selects one of the predicted masks and scores it (paper, 4.1)."""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int

from samjax import fields, masks
from samjax.losses import terms


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """Weights and variants of the loss.

    Attributes:
        focal_weight: Weight of the focal loss; paper, code and we: 20.
        dice_weight: Weight of the dice loss; paper, code and we: 1.
        iou_weight: Weight of the squared error of the predicted IoU; code and we: 1.
        focal_alpha: Focal loss: weight of the foreground; code and we: 0.25.
        focal_gamma: Focal loss: focus; code and we: 2.
        reduction: Dice and IoU per `mask` (SAM, ours) or per `batch` (published code: one ratio
            for all masks together, so every mask's IoU head gets the same target).
        selection: Predicted mask that gets the gradient: `lowest_loss` (SAM, ours), `true_iou`
            (the SAM-Med2D paper), or `predicted_iou` (published code: masks that the IoU head
            does not select are never trained).
        iou_supervision: Predicted IoUs that are trained: `all` (ours: each to the thresholded IoU
            of its mask, so that selecting by it works) or `selected` (published code: only the
            selected one, to its soft IoU, through which the mask gets gradients too).

    Raises:
        ValueError: A field is invalid; the message names it, with the expected and the found value.
    """

    focal_weight: fields.NonNegativeFloat = 20.0
    dice_weight: fields.NonNegativeFloat = 1.0
    iou_weight: fields.NonNegativeFloat = 1.0
    focal_alpha: fields.Probability = 0.25
    focal_gamma: fields.NonNegativeFloat = 2.0
    reduction: terms.Reduction = "mask"
    selection: Literal["lowest_loss", "true_iou", "predicted_iou"] = "lowest_loss"
    iou_supervision: Literal["all", "selected"] = "all"

    def __post_init__(self) -> None:
        fields.check(self)


@struct.dataclass
class Prediction:
    """Loss terms of one interaction, and the mask of every object that an annotator sees.

    That is the candidate of highest predicted IoU, as in use, whichever gets the gradient (SAM,
    appendix A). With the candidate closest to the truth, the network would never learn to correct
    the errors of its IoU head.

    Attributes:
        low_res: Low-resolution logits of these masks.
        predicted: The masks at input resolution.
        iou: Their predicted IoU.
        focal: Focal loss.
        dice_loss: Dice loss.
        iou_error: Squared error of the predicted IoU.
        mean_dice: Mean Dice coefficient of these masks, for the log.
    """

    low_res: Float[Array, "b k m m"]
    predicted: Bool[Array, "b k s s"]
    iou: Float[Array, "b k"]
    focal: Float[Array, ""]
    dice_loss: Float[Array, ""]
    iou_error: Float[Array, ""]
    mean_dice: Float[Array, ""]


def segmentation_loss(
    low_res: Float[Array, "b k c m m"],
    iou: Float[Array, "b k c"],
    truth: Bool[Array, "b k s s"],
    config: LossConfig,
) -> tuple[Float[Array, ""], Prediction]:
    """Selects one candidate for every object and returns the loss (paper, section 4.1).

    Args:
        low_res: Low-resolution logits of `c` candidate masks.
        iou: Their predicted IoU.
        truth: True masks at input resolution.
        config: Weights and variants.

    Returns:
        The weighted sum of focal loss, dice loss and squared IoU error, and the prediction.
    """
    target = truth[:, :, None].astype(jnp.float32)
    # All candidates at input resolution, to compare them; XLA drops them where they are not used.
    candidates = masks.upsample(jax.lax.stop_gradient(low_res), truth.shape[-1])
    chosen = _select(candidates, jax.lax.stop_gradient(iou), target, config)
    selected = masks.select(low_res, chosen)
    logits = masks.upsample(selected, truth.shape[-1])[:, :, None]
    probability = jax.nn.sigmoid(logits)
    focal, dice = _mask_terms(logits, probability, target, config)
    if config.iou_supervision == "all":
        error = iou - _hard_iou(candidates, target, config.reduction)
    else:
        error = masks.select(iou, chosen)[..., None] - terms.soft_iou(
            probability, target, config.reduction
        )
    iou_error = jnp.mean(jnp.square(error))
    loss = (
        config.focal_weight * focal.mean()
        + config.dice_weight * dice.mean()
        + config.iou_weight * iou_error
    )
    best = jnp.argmax(iou, axis=-1)
    same = config.selection == "predicted_iou"  # Then `selected` is the best already.
    predicted = (logits[:, :, 0] if same else masks.select(candidates, best)) > masks.THRESHOLD
    hard = predicted[:, :, None].astype(jnp.float32)
    prediction = Prediction(
        low_res=masks.select(low_res, best),
        predicted=predicted,
        iou=masks.select(iou, best),
        focal=focal.mean(),
        dice_loss=dice.mean(),
        iou_error=iou_error,
        # Rounding may give a Dice just below zero.
        mean_dice=jnp.maximum(1 - terms.dice_loss(hard, target, "mask", smooth=1e-7).mean(), 0),
    )
    return loss, jax.lax.stop_gradient(prediction)


def _select(
    logits: Float[Array, "b k c s s"], iou: jax.Array, target: jax.Array, config: LossConfig
) -> Int[Array, "b k"]:
    """Returns the index of the candidate that each object is scored by."""
    if config.selection == "predicted_iou":
        return jnp.argmax(iou, axis=-1)
    if config.selection == "true_iou":
        return jnp.argmax(_hard_iou(logits, target, "mask"), axis=-1)
    per_mask = dataclasses.replace(config, reduction="mask")
    focal, dice = _mask_terms(logits, jax.nn.sigmoid(logits), target, per_mask)
    return jnp.argmin(config.focal_weight * focal + config.dice_weight * dice, axis=-1)


def _mask_terms(
    logits: jax.Array, probability: jax.Array, target: jax.Array, config: LossConfig
) -> tuple[jax.Array, jax.Array]:
    """Returns focal and dice loss of every mask."""
    focal = terms.focal_loss(logits, target, config.focal_alpha, config.focal_gamma)
    return focal, terms.dice_loss(probability, target, config.reduction)


def _hard_iou(
    logits: Float[Array, "b k c s s"], target: jax.Array, reduction: terms.Reduction
) -> Float[Array, "#b #k c"]:
    """Returns the IoU of every candidate's thresholded mask."""
    hard = (logits > masks.THRESHOLD).astype(jnp.float32)
    return terms.soft_iou(hard, target, reduction)
