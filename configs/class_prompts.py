"""Class-wise automatic prompts: a small head that prompts a frozen SAM for every class.

    python train.py --config configs/class_prompts.py --workdir runs/class_prompts \
        --config.data.root=DATA --config.init_from=MODEL

MODEL is a model of masks, best one of your own kind of images; its encoder, prompt encoder and
decoder stay as they are. From the image embedding the head proposes a box and a point for the
objects of every class, and the decoder answers them. Image embeddings are computed once, so that
the head trains in minutes, from 20 labelled images on (docs/class_prompts.md).
"""

import ml_collections

from samjax.data.config import DataConfig
from samjax.models import HeadConfig, PeftConfig, SamConfig
from samjax.tasks import TrainableConfig
from samjax.training.config import Experiment, to_config_dict


def get_config() -> ml_collections.ConfigDict:
    """Returns the recipe."""
    experiment = Experiment(
        model=SamConfig(peft=PeftConfig("none"), head=HeadConfig("prompts")),
        data=DataConfig("", validation_fraction=0.2, cache_embeddings=True),
        trainable=TrainableConfig(encoder="frozen"),
        preprocessing_from="checkpoint",
    )
    config = to_config_dict(experiment)
    config.class_loss.update(
        ce_weight=1.0, dice_weight=1.0, at="input", background=False, smooth=1.0, positive_only=True
    )
    config.optim.update(learning_rate=2e-3, schedule="cosine", warmup_steps=10, weight_decay=0.01)
    config.run.steps = 400
    config.validation.every = 100
    return config
