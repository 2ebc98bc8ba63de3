"""Medical SAM Adapter (MSA) as trained by its published code of 2025, defects included.

    python train.py --config configs/reference_msa.py --workdir runs/reference_msa \
        --config.data.root=DATA --config.init_from=sam_vit_b_01ec64.pth

Its decoder is EfficientSAM's, fed with SAM's weights. The names of relative positions and of the
decoder's MLPs differ from those in SAM's file, so the code loses them: the former stay zero, the
latter start at random. Its learning rate never falls. At 1024 pixels, as in its instructions, the
loss is that of the low-resolution logits: add `--config.loss.at=low_res`.
"""

import ml_collections

from configs import msa


def get_config() -> ml_collections.ConfigDict:
    """Returns the recipe of the published code."""
    config = msa.get_config()
    config.model.peft.init = "kaiming"
    config.model.update(window_padding="norm_bias", pos_embed_size=64, two_way="efficient_sam")
    lost = r"image_encoder/.*/rel_pos_[hw]", r"mask_decoder/transformer/layers_\d+/mlp/.*"
    config.init_fresh = "|".join(lost)
    config.data.update(batch_size=2, balance="none", validation_fraction=0.0)
    config.data.augment.update(flip=0.0, rotate_degrees=0.0, intensity=0.0)
    config.optim.update(schedule="constant", clip_norm=0.0)
    config.validation.every = 0
    config.run.epochs = 100
    return config
