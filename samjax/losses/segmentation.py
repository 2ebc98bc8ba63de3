"""Loss of one interaction: selects one of the predicted masks and scores it (paper, 4.1)."""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int

from samjax import fields, masks
from samjax.losses import terms
from samjax.losses.classes import shrink_labels


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """Weights and variants of the loss.

    Attributes:
        focal_weight: Weight of the focal loss; paper, code and we: 20.
        dice_weight: Weight of the dice loss; paper, code and we: 1.
        bce_weight: Weight of the binary cross-entropy; MedSAM: 1, without focal loss.
        bce_positive_weight: Weight of the foreground in the binary cross-entropy; Medical SAM
            Adapter: 2.
        iou_weight: Weight of the squared error of the predicted IoU; code and we: 1.
        dice: Denominator of the dice loss: the `linear` areas, smoothed by 1 (SAM, SAM-Med2D), or
            `squared` ones, smoothed by 1e-5 (MedSAM, by MONAI).
        at: Resolution of the loss: the network's `input` (SAM, ours: logits are upsampled), or
            `low_res`, that of the logits (MedSAM's first version: masks are resampled to it by
            nearest).
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
    bce_weight: fields.NonNegativeFloat = 0.0
    bce_positive_weight: fields.PositiveFloat = 1.0
    dice: Literal["linear", "squared"] = "linear"
    iou_weight: fields.NonNegativeFloat = 1.0
    at: Literal["input", "low_res"] = "input"
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
        bce: Binary cross-entropy; None if it has no weight.
    """

    low_res: Float[Array, "b k m m"]
    predicted: Bool[Array, "b k s s"]
    iou: Float[Array, "b k"]
    focal: Float[Array, ""]
    dice_loss: Float[Array, ""]
    iou_error: Float[Array, ""]
    mean_dice: Float[Array, ""]
    bce: Float[Array, ""] | None = None


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
    size = truth.shape[-1]
    side = size if config.at == "input" else low_res.shape[-1]
    whole = truth[:, :, None].astype(jnp.float32)
    target = shrink_labels(whole, side)
    # All candidates, to compare them; XLA drops them where they are not used.
    candidates = masks.upsample(jax.lax.stop_gradient(low_res), side)
    chosen = _select(candidates, jax.lax.stop_gradient(iou), target, config)
    selected = masks.select(low_res, chosen)
    logits = masks.upsample(selected, side)[:, :, None]
    probability = jax.nn.sigmoid(logits)
    focal, dice, bce = _mask_terms(logits, probability, target, config)
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
    if bce is not None:
        loss += config.bce_weight * bce.mean()
    best = jnp.argmax(iou, axis=-1)
    same = config.selection == "predicted_iou"  # Then `selected` is the best already.
    seen = logits[:, :, 0] if same else masks.select(candidates, best)
    predicted = masks.upsample(seen, size) > masks.THRESHOLD
    hard = predicted[:, :, None].astype(jnp.float32)
    prediction = Prediction(
        low_res=masks.select(low_res, best),
        predicted=predicted,
        iou=masks.select(iou, best),
        focal=focal.mean(),
        dice_loss=dice.mean(),
        iou_error=iou_error,
        # Rounding may give a Dice just below zero.
        mean_dice=jnp.maximum(1 - terms.dice_loss(hard, whole, "mask", smooth=1e-7).mean(), 0),
        bce=None if bce is None else bce.mean(),
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
    focal, dice, bce = _mask_terms(logits, jax.nn.sigmoid(logits), target, per_mask)
    loss = config.focal_weight * focal + config.dice_weight * dice
    return jnp.argmin(loss if bce is None else loss + config.bce_weight * bce, axis=-1)


def _mask_terms(
    logits: jax.Array, probability: jax.Array, target: jax.Array, config: LossConfig
) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    """Returns focal loss, dice loss and, if it has a weight, cross-entropy of every mask."""
    focal = terms.focal_loss(logits, target, config.focal_alpha, config.focal_gamma)
    squared = config.dice == "squared"
    smooth = 1e-5 if squared else 1.0
    dice = terms.dice_loss(probability, target, config.reduction, smooth, squared)
    if not config.bce_weight:
        return focal, dice, None
    bce = terms.binary_cross_entropy(logits, target, config.bce_positive_weight)
    return focal, dice, bce


def _hard_iou(
    logits: Float[Array, "b k c s s"], target: jax.Array, reduction: terms.Reduction
) -> Float[Array, "#b #k c"]:
    """Returns the IoU of every candidate's thresholded mask."""
    hard = (logits > masks.THRESHOLD).astype(jnp.float32)
    return terms.soft_iou(hard, target, reduction)
