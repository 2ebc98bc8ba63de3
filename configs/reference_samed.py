"""SAMed as trained by its published code, for comparison; bug-compatible where it matters.

    python train.py --config configs/reference_samed.py --workdir runs/reference_samed \
        --config.data.root=DATA --config.init_from=sam_vit_b_01ec64.pth

Source: Zhang and Liu, arXiv 2304.13785, and the command of their README. Five things differ. Images
are enlarged linearly, not by a cubic spline that leaves the range of values. Every image may be
flipped and rotated: the published code turns half of them by right angles and a quarter by up to 20
degrees. New layers start from normal values of the published variance, their biases from zero. The
data are not blurred to 224 pixels before. A global block is one by its number, where the published
code, in a ViT-L or ViT-H, takes others for global as well.
"""

import ml_collections

from configs import samed


def get_config() -> ml_collections.ConfigDict:
    """Returns the recipe of the published code."""
    config = samed.get_config()
    config.init_fresh = (
        r"mask_decoder/(mask_tokens|iou_prediction_head/layers_2/.*"
        r"|output_hypernetworks_mlps_([4-9]|\d\d+)/.*)"
    )
    config.preprocessing.update(resize="stretch", interpolation="linear")
    config.preprocessing.update(mean=(0.0, 0.0, 0.0), std=(255.0, 255.0, 255.0))
    config.data.validation_fraction = 0.0
    config.data.augment.intensity = 0.0
    config.optim.update(poly_shifted=True, poly_epochs=200, decayed="all")
    config.run.seed = 1234
    config.validation.every = 0
    return config
