"""U-Net: no SAM, but the plain network that semantic methods are compared with.

python train.py --config configs/unet.py --workdir runs/unet --config.data.root=DATA

It is trained from random parameters (Ronneberger et al., 2015, with instance norms) by the loss of
nnU-Net: cross-entropy and Dice, in equal parts.
"""

import ml_collections

from samjax.training.config import Experiment, to_config_dict


def get_config() -> ml_collections.ConfigDict:
    """Returns the recipe, with a network of 3 million parameters."""
    config = to_config_dict(Experiment())
    config.model.update(encoder="unet", patch_size=4, prompt_dim=32)
    config.model.peft.kind = "none"
    config.model.head.kind = "pixel"
    config.trainable.encoder = "full"
    config.class_loss.update(ce_weight=1.0, dice_weight=1.0, at="input", background=False)
    config.data.update(validation_fraction=0.05)
    config.data.augment.update(flip=0.5, rotate_degrees=15.0, intensity=0.1)
    config.optim.update(learning_rate=1e-3, schedule="cosine", warmup_steps=50, weight_decay=0.01)
    return config
