"""Parameters and shapes of small networks."""

import jax
import numpy as np

from samjax import models
from samjax.models import PeftConfig, SamConfig

TINY = models.tiny(image_size=64, embed_dim=32, window_size=4, mask_in_chans=16)
TINY_TINY_VIT = models.tiny(
    encoder="tiny_vit", mask_in_chans=16, decoder_heads=8, peft=PeftConfig(init="kaiming")
)


def random_params(config: SamConfig, seed: int = 0):
    """Returns random parameters that all affect the output, without compiling `models.init`."""
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        fan_in = np.prod(leaf.shape[:-1]) if path[-1].key == "kernel" else 4
        mean = 1 if path[-1].key == "scale" else 0
        drawn = rng.normal(mean, fan_in**-0.5, leaf.shape).astype(np.float32)
        return drawn**2 + 0.5 if path[-1].key == "var" else drawn

    return jax.tree_util.tree_map_with_path(draw, shapes(config))


def shapes(config: SamConfig):
    """Returns the shapes of the parameters of a network."""
    return jax.eval_shape(lambda: models.init(config, jax.random.key(0)))
