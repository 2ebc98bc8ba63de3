"""Medical SAM Adapter (MSA): adapters and decoder, by one click for each mask.

    python train.py --config configs/msa.py --workdir runs/msa \
        --config.data.root=DATA --config.init_from=sam_vit_b_01ec64.pth

Source: Wu et al., arXiv 2304.12620, and its code. Defects of the code, which
configs/reference_msa.py follows, are corrected: SAM's relative positions and decoder are kept,
adapters add nothing until they are trained, windows are padded as SAM pads them, and the learning
rate falls. `--config.prompting.iterations=9` trains it by SAM-Med2D's corrections.
"""

import ml_collections

from configs import sam_med2d


def get_config() -> ml_collections.ConfigDict:
    """Returns the recipe."""
    config = sam_med2d.get_config()
    config.model.peft.kind = "msa"
    config.trainable.update(prompt_encoder="frozen", iou_head=False, multimask=False)
    config.preprocessing.update(resize="stretch", interpolation="antialias", mask_prompt="logits")
    config.prompting.update(iterations=1, box_probability=0.0)
    config.loss.update(
        focal_weight=0.0, dice_weight=0.0, iou_weight=0.0, bce_weight=1.0, bce_positive_weight=2.0
    )
    config.evaluation.protocols = config.validation.evaluation.protocols = ("1pt",)
    return config
