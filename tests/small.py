"""Parameters and shapes of small networks."""

import jax
import numpy as np

from samjax import models
from samjax.models import SamConfig

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


def random_params(config: SamConfig, seed: int = 0):
    """Parameters in which everything matters, without compiling their initialisation."""
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        fan_in = np.prod(leaf.shape[:-1]) if path[-1].key == "kernel" else 4
        mean = 1 if path[-1].key == "scale" else 0
        return rng.normal(mean, fan_in**-0.5, leaf.shape).astype(np.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes(config))


def shapes(config: SamConfig):
    return jax.eval_shape(lambda: models.init(config, jax.random.key(0)))
