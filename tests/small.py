"""Parameters and shapes of small networks."""

import jax
import numpy as np

from samjax import models
from samjax.models import PeftConfig, SamConfig, TinyVitConfig

# A network with every structural feature, that runs in milliseconds.
TINY = SamConfig(
    image_size=64,
    patch_size=8,
    embed_dim=32,
    depth=2,
    num_heads=2,
    global_attn_indexes=(1,),
    window_size=4,
    prompt_dim=32,
    decoder_mlp_dim=32,
    iou_head_hidden_dim=32,
    decoder_heads=2,
)

# The same with TinyViT; grids of 16, 8 and 4 tokens, of which windows of 3 and 5 are no divisors.
TINY_TINY_VIT = SamConfig(
    image_size=64,
    encoder="tiny_vit",
    tiny_vit=TinyVitConfig(
        dims=(8, 12, 16, 24),
        depths=(1, 2, 1, 1),
        num_heads=(3, 2, 4),
        window_sizes=(3, 5, 4),
        mlp_ratio=2.0,
        conv_ratio=3.0,
    ),
    peft=PeftConfig(init="kaiming"),
    prompt_dim=32,
    decoder_mlp_dim=32,
    iou_head_hidden_dim=32,
)


def random_params(config: SamConfig, seed: int = 0):
    """Parameters in which everything matters, without compiling their initialisation."""
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        fan_in = np.prod(leaf.shape[:-1]) if path[-1].key == "kernel" else 4
        mean = 1 if path[-1].key == "scale" else 0
        drawn = rng.normal(mean, fan_in**-0.5, leaf.shape).astype(np.float32)
        return drawn**2 + 0.5 if path[-1].key == "var" else drawn

    return jax.tree_util.tree_map_with_path(draw, shapes(config))


def shapes(config: SamConfig):
    return jax.eval_shape(lambda: models.init(config, jax.random.key(0)))
