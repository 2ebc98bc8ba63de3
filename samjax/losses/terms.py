"""Terms of the loss, from logits and in float32, so that bfloat16 never underflows.

`batch` reduction treats all masks of a batch as one set of pixels, as the published SAM-Med2D
code does; `mask` reduction treats every mask on its own, as SAM does.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Reduction = Literal["mask", "batch"]

Logits = Float[Array, "b k c h w"]
Truth = Float[Array, "b k 1 h w"]


def focal_loss(logits: Logits, truth: Truth, alpha: float, gamma: float) -> Float[Array, "b k c"]:
    """Returns the focal loss (Lin et al., 2017, equation 5), averaged over the pixels of each mask.

    Args:
        logits: Mask logits, float32.
        truth: True masks, 0 or 1.
        alpha: Weight of the foreground; the background has 1 - alpha.
        gamma: Focusing exponent: the larger, the less a well-classified pixel counts.
    """
    # A background pixel with logit x has the loss of a foreground pixel with logit -x.
    foreground = truth > 0.5
    signed = jnp.where(foreground, logits, -logits)
    weight = jnp.where(foreground, alpha, 1 - alpha)
    modulation = jax.nn.sigmoid(-signed) ** (int(gamma) if gamma == int(gamma) else gamma)
    return jnp.mean(weight * modulation * jax.nn.softplus(-signed), axis=(-2, -1))


def binary_cross_entropy(
    logits: Logits, truth: Float[Array, "b k #c h w"], positive_weight: float = 1.0
) -> Float[Array, "b k c"]:
    """Returns the binary cross-entropy, averaged over the pixels of each mask.

    Args:
        logits: Mask logits, float32.
        truth: True masks, 0 to 1.
        positive_weight: Weight of the foreground's part; the background's is 1.
    """
    loss = jax.nn.softplus(logits) - logits * truth
    if positive_weight != 1:
        loss += (positive_weight - 1) * truth * jax.nn.softplus(-logits)
    return jnp.mean(loss, axis=(-2, -1))


def dice_loss(
    probability: Logits,
    truth: Truth,
    reduction: Reduction,
    smooth: float = 1.0,
    squared: bool = False,
) -> Float[Array, "#b #k c"]:
    """Returns one minus the soft Dice coefficient, per mask or one for the whole batch.

    Args:
        probability: Probabilities of the foreground, float32.
        truth: True masks, 0 to 1.
        reduction: Pixels that a coefficient counts.
        smooth: Addend of numerator and denominator.
        squared: Whether the denominator sums squares (Milletari et al., V-Net, 2016).
    """
    intersection, predicted, true = _areas(probability, truth, reduction, 2 if squared else 1)
    return 1 - (2 * intersection + smooth) / (predicted + true + smooth)


def soft_iou(probability: Logits, truth: Truth, reduction: Reduction) -> Float[Array, "#b #k c"]:
    """Returns the soft intersection over union, per mask or one for the whole batch."""
    intersection, predicted, true = _areas(probability, truth, reduction)
    return (intersection + 1e-7) / (predicted + true - intersection + 1e-7)


def _areas(
    probability: Logits, truth: Truth, reduction: Reduction, power: int = 1
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns the soft areas of intersection, prediction and truth, the last two of powers."""
    parts = (probability * truth, probability**power, truth**power)
    areas = [x.sum(axis=(-2, -1)) for x in parts]
    if reduction == "batch":
        areas = [x.sum(axis=(0, 1), keepdims=True) for x in areas]
    return areas[0], areas[1], areas[2]
