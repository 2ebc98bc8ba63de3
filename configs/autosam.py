"""AutoSAM: classes of all pixels without a prompt, by a head on SAM's frozen encoder.

    python train.py --config configs/autosam.py --workdir runs/autosam \
        --config.data.root=DATA --config.init_from=sam_vit_b_01ec64.pth

`autosam.py:cnn` and `autosam.py:linear` train its other heads. `autosam.py:autosam,cached` (and so
for the others) computes the image embeddings once and trains on them, without augmentation: a step
takes a small part of the time.

Source: Hu, Xu and Shi, arXiv 2306.13731, and its code. Its defects are corrected: the head starts
from SAM's positional matrix and tokens, which are trained; the rate falls by validation, not by a
batch of training; the best model is kept; brightness changes the channels together; and the Dice
loss of an image without errors is zero.
"""

import ml_collections

from samjax.conversion.families import AUTOSAM_PREPROCESSING
from samjax.models import HeadConfig, PeftConfig, SamConfig
from samjax.tasks import TrainableConfig
from samjax.training.config import Experiment, to_config_dict

HEADS = ("autosam", "cnn", "linear")


def get_config(head: str = "autosam") -> ml_collections.ConfigDict:
    """Returns the recipe.

    Args:
        head: `autosam`, `cnn` or `linear`; with `,cached`, on embeddings that are kept on disk.
    """
    kind, *options = head.split(",")
    if kind not in HEADS or options not in ([], ["cached"]):
        expected = ", ".join(f"{each} or {each},cached" for each in HEADS)
        raise ValueError(f"configs/autosam.py: expected {expected}, found {head!r}")
    network = SamConfig(image_size=1024, peft=PeftConfig("none"), head=HeadConfig(kind))
    trainable = TrainableConfig(encoder="frozen")
    experiment = Experiment(model=network, preprocessing=AUTOSAM_PREPROCESSING, trainable=trainable)
    config = to_config_dict(experiment)
    config.data.update(batch_size=4, validation_fraction=0.25)
    if options:
        config.data.cache_embeddings = True
    else:
        config.data.augment.update(rotate_degrees=6.0, zoom=0.9, intensity=0.2)
    config.class_loss.update(
        ce_weight=1.0, dice_weight=1.0, at="input", background=False, smooth=1.0, positive_only=True
    )
    config.optim.update(learning_rate=5e-4, schedule="plateau", decay=0.1, clip_norm=0.0)
    config.run.epochs = 120
    config.validation.every = 100
    return config
