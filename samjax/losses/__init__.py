"""What a predicted mask costs: focal and dice loss of the mask, squared error of its IoU."""

from samjax.losses.segmentation import LossConfig, Prediction, segmentation_loss
from samjax.losses.terms import dice_loss, focal_loss, soft_iou

__all__ = [
    "LossConfig",
    "Prediction",
    "dice_loss",
    "focal_loss",
    "segmentation_loss",
    "soft_iou",
]
