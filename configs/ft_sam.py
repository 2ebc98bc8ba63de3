"""FT-SAM, the paper's baseline: only the decoder is trained, without adapters.

python train.py --config configs/ft_sam.py --workdir runs/ft_sam \
        --config.data.root=DATA --config.init_from=sam_vit_b_01ec64.pth
"""

import ml_collections

from configs import sam_med2d


def get_config() -> ml_collections.ConfigDict:
    """Returns SAM-Med2D's recipe with everything but the decoder frozen."""
    config = sam_med2d.get_config()
    config.model.peft.kind = "none"
    config.trainable.update(encoder="frozen", prompt_encoder="frozen")
    return config
