"""SAM-Med2D as trained by the published code, for comparison; bug-compatible where it matters.

    python train.py --config configs/reference.py --workdir runs/reference \
        --config.data.root=DATA --config.init_from=sam_vit_b_01ec64.pth

Two defects are not copied: prompt embeddings that the optimizer loses, and data that crash.
"""

import ml_collections

from configs import sam_med2d


def get_config() -> ml_collections.ConfigDict:
    """Returns the recipe of the published code."""
    config = sam_med2d.get_config()
    config.model.peft.init = "kaiming"
    config.preprocessing.update(
        resize="pad_or_stretch", interpolation="nearest", channel_order="bgr"
    )
    config.data.update(balance="none", mask_sampling="replacement", validation_fraction=0.0)
    config.validation.every = 0
    config.data.augment.update(flip=0.0, rotate_degrees=0.0, intensity=0.0)
    config.prompting.update(points="new", box_jitter="shift")
    config.loss.update(reduction="batch", selection="predicted_iou", iou_supervision="selected")
    config.trainable.prompt_encoder = "first"
    config.optim.update(schedule="constant", clip_norm=0.0)
    config.run.epochs = 15
    return config
