"""SAMed: classes of all pixels without a prompt, by LoRA in the encoder and one mask a class.

    python train.py --config configs/samed.py --workdir runs/samed \
        --config.data.root=DATA --config.init_from=sam_vit_b_01ec64.pth

Source: Zhang and Liu, arXiv 2304.13785. Against `configs/reference_samed.py`, which follows the
published code, images are prepared as the encoder was trained with them, weight decay leaves out
biases, norms and tokens, the rate falls to zero at the end, and validation chooses the best model.
"""

import ml_collections

from configs import sam_med2d


def get_config() -> ml_collections.ConfigDict:
    """Returns the recipe."""
    config = sam_med2d.get_config()
    config.model.image_size = 512
    config.model.peft.update(kind="lora", rank=4, targets=("q", "v"))
    config.model.head.kind = "semantic"
    config.preprocessing.update(interpolation="antialias", mask_prompt="logits")
    config.data.update(batch_size=24, balance="none")
    config.data.augment.update(flip=0.5, rotate_degrees=20.0)
    config.class_loss.update(ce_weight=0.2, dice_weight=0.8, at="low_res", background=True)
    config.optim.update(learning_rate=5e-3, schedule="poly", warmup_steps=250)
    config.optim.update(weight_decay=0.1, clip_norm=0.0)
    config.run.epochs = 160
    return config
