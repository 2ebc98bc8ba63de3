"""Full fine-tuning: the encoder's own weights are trained too, without adapters.

python train.py --config configs/full.py --workdir runs/full \
        --config.data.root=DATA --config.init_from=sam_vit_b_01ec64.pth
"""

import ml_collections

from configs import sam_med2d


def get_config() -> ml_collections.ConfigDict:
    """Returns SAM-Med2D's recipe with the encoder trained in place of adapters, and warm-up."""
    config = sam_med2d.get_config()
    config.model.peft.kind = "none"
    config.trainable.encoder = "full"
    config.optim.update(schedule="cosine", warmup_steps=250, weight_decay=0.05)
    return config
