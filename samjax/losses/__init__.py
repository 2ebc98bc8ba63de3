"""Losses of predicted masks and of predicted classes."""

from samjax.losses.centres import centre_loss
from samjax.losses.classes import ClassLossConfig, class_loss, shrink_labels
from samjax.losses.segmentation import LossConfig, Prediction, segmentation_loss
from samjax.losses.terms import binary_cross_entropy, dice_loss, focal_loss, soft_iou

__all__ = [
    "ClassLossConfig",
    "LossConfig",
    "Prediction",
    "binary_cross_entropy",
    "centre_loss",
    "class_loss",
    "dice_loss",
    "focal_loss",
    "segmentation_loss",
    "shrink_labels",
    "soft_iou",
]
