"""The demo: trains a small ViT with adapters on synthetic scans, in minutes on a CPU.

python train.py
"""

import ml_collections

from configs import sam_med2d


def get_config() -> ml_collections.ConfigDict:
    """Returns a recipe with a network of 1.6 million parameters on 128 x 128 phantoms."""
    config = sam_med2d.get_config()
    config.model.update(
        image_size=128,
        patch_size=8,
        embed_dim=96,
        depth=4,
        num_heads=4,
        global_attn_indexes=(1, 3),
        window_size=8,
        prompt_dim=64,
        decoder_mlp_dim=128,
        iou_head_hidden_dim=64,
    )
    config.run.update(phantoms=True, steps=550)
    config.data.update(balance="none", batch_size=8, masks_per_image=4, validation_fraction=0.0)
    config.data.augment.update(rotate_degrees=0.0, intensity=0.0)
    # Many cheap batches train a fresh network better than few expensive ones.
    config.prompting.update(iterations=3, point_counts=(1, 2, 3), box_jitter_pixels=2.0)
    # Less weight on single pixels: fewer steps until the first masks are not empty.
    config.loss.focal_weight = 5.0
    config.trainable.encoder = "full"
    config.optim.update(learning_rate=1e-3, schedule="cosine", warmup_steps=50, weight_decay=0.01)
    config.validation.update(every=0)
    config.checkpoint.every = 275
    config.log.picture_every = 0
    return config
