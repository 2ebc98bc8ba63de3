"""MedSAM's first version: only the decoder is trained, by one box for each mask.

python train.py --config configs/medsam_v0.py --workdir runs/medsam_v0 \
        --config.data.root=DATA --config.init_from=sam_vit_b_01ec64.pth

Loss, optimizer and box are those of the published code before July 2023 (Ma et al., arXiv
2304.12306, first version): squared Dice alone, of the low-resolution logits. Images are prepared as
for SAM, whose encoder stays as it is. As in `configs/medsam.py`, no mask of an image is dropped.
"""

import ml_collections

from configs import medsam

_GROWTH = 19 / 1024  # Of each side of a box, over the side of the image.


def get_config() -> ml_collections.ConfigDict:
    """Returns the recipe."""
    config = medsam.get_config()
    config.trainable.encoder = "frozen"
    config.preprocessing.update(interpolation="linear", normalise="mean_std")
    config.data.update(batch_size=8)
    config.prompting.box_jitter_pixels = float(round(_GROWTH * config.model.image_size))
    config.loss.update(bce_weight=0.0, at="low_res")
    config.optim.update(learning_rate=1e-5, weight_decay=0.0, decayed="matrices")
    return config
