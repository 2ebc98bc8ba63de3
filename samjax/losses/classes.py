"""Loss of class logits: cross-entropy and soft Dice (SAMed, AutoSAM), by numbers."""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer, Shaped

from samjax import fields, masks


@dataclasses.dataclass(frozen=True)
class ClassLossConfig:
    """Weights and variants of the loss of a semantic head.

    Attributes:
        ce_weight: Weight of the cross-entropy; SAMed: 0.2, AutoSAM: 1.
        dice_weight: Weight of the Dice loss; SAMed: 0.8, AutoSAM: 1.
        at: Resolution: `low_res` (SAMed: labels are resampled to the logits by nearest) or `input`
            (AutoSAM: logits are upsampled to the labels).
        reduction: Pixels that one Dice coefficient of a class counts: those of the `batch`
            (both), or of each `image`.
        background: Whether the background is a class of the Dice loss; SAMed: yes, AutoSAM: no.
        smooth: Addend of numerator and denominator; SAMed: 1e-5, AutoSAM: 1.
        positive_only: Whether the mean over classes leaves out those whose loss is not above zero;
            AutoSAM: yes (a class that no image has, for one).
        centre_weight: Head `prompts`: weight of the centres of objects.

    Raises:
        ValueError: A field is invalid; the message names it, with the expected and the found value.
    """

    ce_weight: fields.NonNegativeFloat = 0.2
    dice_weight: fields.NonNegativeFloat = 0.8
    at: Literal["low_res", "input"] = "low_res"
    reduction: Literal["batch", "image"] = "batch"
    background: bool = True
    smooth: fields.PositiveFloat = 1e-5
    positive_only: bool = False
    centre_weight: fields.NonNegativeFloat = 0.1

    def __post_init__(self) -> None:
        fields.check(self)


def class_loss(
    low_res: Float[Array, "b c m m"], labels: Integer[Array, "b s s"], config: ClassLossConfig
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """Returns the loss of class logits, and its terms by name.

    Args:
        low_res: Low-resolution logits; class 0 is the background.
        labels: True classes at input resolution.
        config: Weights and variants.
    """
    if config.at == "low_res":
        logits, truth = low_res, shrink_labels(labels, low_res.shape[-1])
    else:
        logits, truth = masks.upsample(low_res, labels.shape[-1]), labels
    logits = logits.astype(jnp.float32)
    log_probability = jax.nn.log_softmax(logits, axis=1)
    one_hot = jax.nn.one_hot(truth, logits.shape[1], axis=1)
    ce = -(log_probability * one_hot).sum(1).mean()
    dice = dice_of_classes(jnp.exp(log_probability), one_hot, config)
    return config.ce_weight * ce + config.dice_weight * dice, {"ce": ce, "dice_loss": dice}


def dice_of_classes(
    probability: Float[Array, "b c h w"], truth: Float[Array, "b c h w"], config: ClassLossConfig
) -> Float[Array, ""]:
    """Returns one minus the soft Dice coefficient, with squares, as a mean over classes."""
    if not config.background:
        probability, truth = probability[:, 1:], truth[:, 1:]
    axes = (-2, -1) if config.reduction == "image" else (0, -2, -1)
    intersection = (probability * truth).sum(axes)
    area = (jnp.square(probability) + jnp.square(truth)).sum(axes)
    loss = 1 - (2 * intersection + config.smooth) / (area + config.smooth)
    if not config.positive_only:
        return loss.mean()
    positive = loss > 0
    return jnp.where(positive, loss, 0).sum() / jnp.maximum(positive.sum(), 1)


def shrink_labels(labels: Shaped[Array, "*b s s"], size: int) -> Shaped[Array, "*b m m"]:
    """Resamples labels or masks by nearest to a smaller side."""
    if size == labels.shape[-1]:  # Else XLA gathers every pixel, in the loss of every update.
        return labels
    centres = (2 * np.arange(size) + 1) * labels.shape[-1] // (2 * size)
    return labels[..., centres, :][..., centres]
