"""MedSAM: encoder and decoder fine-tuned whole, by one box for each mask.

    python train.py --config configs/medsam.py --workdir runs/medsam \
        --config.data.root=DATA --config.init_from=sam_vit_b_01ec64.pth

Loss, optimizer, box and preprocessing are those of the published code (Ma et al., Nature
Communications, 2024). Three defects of it are corrected: it trains one mask of each image and drops
the others, selects the best model by its training loss, and trains only at 1024 pixels.
"""

import ml_collections

from configs import sam_med2d

_GROWTH = 20 / 1024  # Of each side of a box, over the side of the image.


def get_config() -> ml_collections.ConfigDict:
    """Returns the recipe."""
    config = sam_med2d.get_config()
    config.model.peft.kind = "none"
    config.trainable.update(
        encoder="full", prompt_encoder="frozen", iou_head=False, multimask=False
    )
    config.preprocessing.update(
        resize="stretch", interpolation="antialias", normalise="min_max", mask_prompt="logits"
    )
    config.prompting.update(iterations=1, box_probability=1.0, box_jitter="grow")
    config.prompting.box_jitter_pixels = float(round(_GROWTH * config.model.image_size))
    config.loss.update(
        focal_weight=0.0, bce_weight=1.0, iou_weight=0.0, dice="squared", dice_weight=1.0
    )
    config.optim.update(schedule="constant", weight_decay=0.01, decayed="all", clip_norm=0.0)
    config.evaluation.protocols = config.validation.evaluation.protocols = ("bbox",)
    return config
