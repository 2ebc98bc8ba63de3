"""SAM-Med2D: adapters, prompt encoder and decoder, by interactive training.

    python train.py --config configs/sam_med2d.py --workdir runs/mine \
        --config.data.root=DATA --config.init_from=sam_vit_b_01ec64.pth

Architecture, schedule and batch are those of the paper (section 4.1). Defects of the published code
are corrected. `configs/reference.py` reproduces the published code.
"""

import ml_collections

from samjax.data.augment import AugmentConfig
from samjax.data.config import DataConfig
from samjax.training import config as training_config


def get_config() -> ml_collections.ConfigDict:
    """Returns the default recipe."""
    augment = AugmentConfig(flip=0.5, rotate_degrees=15.0, intensity=0.1)
    data = DataConfig(root="", balance="mask", validation_fraction=0.05, augment=augment)
    return training_config.to_config_dict(training_config.Experiment(data=data))
