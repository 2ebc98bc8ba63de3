"""Loss of predicted masks: focal and dice loss, and squared error of the predicted IoU."""

from samjax.losses.segmentation import LossConfig, Prediction, segmentation_loss
from samjax.losses.terms import binary_cross_entropy, dice_loss, focal_loss, soft_iou

__all__ = [
    "LossConfig",
    "Prediction",
    "binary_cross_entropy",
    "dice_loss",
    "focal_loss",
    "segmentation_loss",
    "soft_iou",
]
