"""SAMed: classes of all pixels without a prompt, by LoRA in the encoder and one mask a class.

python train.py --config configs/samed.py --workdir runs/samed \
        --config.data.root=DATA --config.init_from=sam_vit_b_01ec64.pth

Source: Zhang and Liu, arXiv 2304.13785. Differences from the published code, which
configs/reference_samed.py follows: images are prepared as for SAM, and weight decay leaves out
biases, norms and tokens.
"""

import ml_collections

from samjax.training.config import Experiment, to_config_dict


def get_config() -> ml_collections.ConfigDict:
    """Returns the recipe."""
    config = to_config_dict(Experiment())
    config.model.image_size = 512
    config.model.peft.update(kind="lora", rank=4, targets=("q", "v"))
    config.model.head.kind = "semantic"
    config.preprocessing.update(mask_prompt="logits", interpolation="antialias")
    config.data.update(batch_size=24)
    config.data.augment.update(flip=0.5, rotate_degrees=20.0)
    config.optim.update(learning_rate=5e-3, schedule="cosine", warmup_steps=250)
    config.optim.update(weight_decay=0.1, clip_norm=0.0)
    config.run.epochs = 160
    config.validation.every = 0
    return config
