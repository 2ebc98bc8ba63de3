"""A small general model: a small SAM, trained from scratch on photographs with regions.

It replaces a published checkpoint. Training has three stages and takes an hour and a half on two
CPU cores. Each stage starts from the result of the one before it:

    python train.py --config configs/general.py:coarse --workdir runs/coarse \
        --config.data.root=../shared/data/natural_mini
    python train.py --config configs/general.py:fine --workdir runs/fine \
        --config.data.root=../shared/data/natural_mini --config.init_from=runs/coarse/last
    python train.py --config configs/general.py:dense --workdir runs/general \
        --config.data.root=../shared/data/natural_mini --config.init_from=runs/fine/last

At half the resolution, an image costs about a quarter, which is enough to learn the meaning of
prompts. At full resolution, the encoder is most of the cost, so the last stage has twice as many
masks for each image. For one GPU, there is a larger network, in a single stage:

    python train.py --config configs/general.py:large --workdir runs/general \
        --config.data.root=../shared/data/natural_mini
"""

import ml_collections

from configs import sam_med2d

STAGES = ("coarse", "fine", "dense")


def get_config(stage: str = "fine") -> ml_collections.ConfigDict:
    """Returns a recipe for a narrow TinyViT with 3.3 million parameters, or a larger one.

    Args:
        stage: `coarse` (128 x 128, from fresh parameters), `fine` (256 x 256, from `coarse`),
            `dense` (from `fine`, with more masks for each image); or `large` (256 x 256, from fresh
            parameters): MobileSAM's widths, 9.8 million parameters.
    """
    expected = (*STAGES, "large")
    if stage not in expected:
        raise ValueError(f"configs/general.py: expected one of {expected}, found {stage!r}")
    return _large() if stage == "large" else _small(stage)


def _small(stage: str) -> ml_collections.ConfigDict:
    config = sam_med2d.get_config()
    config.model.update(
        image_size=128 if stage == "coarse" else 256,
        encoder="tiny_vit",
        prompt_dim=128,
        decoder_mlp_dim=512,
        iou_head_hidden_dim=128,
    )
    config.model.peft.kind = "none"
    # Windows that divide the grids of both stages.
    config.model.tiny_vit.update(
        dims=(32, 64, 160, 192), depths=(1, 2, 4, 2), num_heads=(2, 5, 6), window_sizes=(8, 8, 8)
    )
    # Photographs are larger than the input and fill it. Logits as in SAM.
    config.preprocessing.update(resize="stretch", mask_prompt="logits")
    config.data.update(
        batch_size=16 if stage == "coarse" else 8,
        masks_per_image=8 if stage == "dense" else 4,
        balance="none",  # All photographs have many masks.
        validation_fraction=0.0,
    )
    config.data.augment.update(intensity=0.2, zoom=1.0)
    # Cheap batches, as in the demo: new images train a fresh network best.
    config.prompting.update(iterations=3, point_counts=(1, 2, 3), mask_only=False)
    config.prompting.box_jitter_pixels = 2.0
    # Less weight on single pixels: fewer steps until the first masks are not empty.
    config.loss.focal_weight = 5.0
    config.trainable.encoder = "full"
    config.optim.update(learning_rate=1e-3, schedule="constant", warmup_steps=100)
    config.optim.weight_decay = 0.05
    config.run.steps = {"coarse": 2000, "fine": 600, "dense": 1200}[stage]
    if stage != "coarse":
        config.optim.schedule = "cosine"
    config.validation.every = 0
    config.log.update(every=50, picture_every=0)
    return config


def _large() -> ml_collections.ConfigDict:
    config = _small("fine")
    config.model.update(
        prompt_dim=256, decoder_mlp_dim=2048, iou_head_hidden_dim=256, dtype="bfloat16"
    )
    config.model.tiny_vit.update(
        dims=(64, 128, 160, 320),
        depths=(2, 2, 6, 2),
        num_heads=(4, 5, 10),
        window_sizes=(8, 16, 16),
    )
    config.data.update(batch_size=64, masks_per_image=8)
    config.optim.warmup_steps = 500
    config.run.steps = 12_000
    return config
