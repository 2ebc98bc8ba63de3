"""AutoSAM's other heads: convolutions from the image embedding to class logits.

Source: Hu, Xu and Shi, arXiv 2306.13731, and their code. Both have four times the embedding's side.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from samjax.models import layers
from samjax.models.config import SamConfig
from samjax.models.mask_decoder import Upscaling

_DOUBLING = 2  # Number of the CNN's last stages, which double the side.


class CnnHead(nn.Module):
    """Stages of 3x3 convolutions, of which every one halves the channels.

    The first widens the embedding to `width * 2 ** depth` channels.
    """

    group = "decoder"
    config: SamConfig

    @nn.compact
    def __call__(self, embedding: Float[Array, "b g g c"]) -> Float[Array, "b k m m"]:
        """Returns low-resolution logits of all `k` classes, float32."""
        head, dtype = self.config.head, jnp.dtype(self.config.dtype)
        width = head.width * 2**head.depth
        x = embedding
        for place in (0, 2):
            x = jax.nn.relu(layers.PatchConv(width, 1, dtype, name=f"input_block_{place}")(x))
        for stage in range(head.depth):
            keeps_side = stage < head.depth - _DOUBLING
            name = f"blocks_{stage}"
            x = jax.nn.relu(_conv3x3(width, dtype, f"{name}_0")(x))
            x = _conv3x3(width // 2 if keeps_side else width, dtype, f"{name}_2")(x)
            x = jax.nn.relu(x)
            width //= 2
            if not keeps_side:
                x = layers.ConvTranspose2x2(width, dtype, name=f"{name}_4")(x)
        x = _conv3x3(width, dtype, "final_0")(x)
        return _classes(layers.PatchConv(head.classes + 1, 1, dtype, name="final_1")(x))


class LinearHead(nn.Module):
    """SAM's upscaling and two linear layers for every pixel, with a ReLU on the logits."""

    group = "decoder"
    config: SamConfig

    def setup(self) -> None:
        dim, dtype = self.config.prompt_dim, jnp.dtype(self.config.dtype)
        self.upscaling = Upscaling(dim, dtype)
        nn.share_scope(self, self.upscaling)
        self.final_0 = layers.PatchConv(dim // 8, 1, dtype)
        self.final_2 = layers.PatchConv(self.config.head.classes + 1, 1, dtype)

    def __call__(self, embedding: Float[Array, "b g g c"]) -> Float[Array, "b k m m"]:
        """Returns low-resolution logits of all `k` classes, float32."""
        x = jax.nn.relu(self.final_0(self.upscaling(embedding)))
        return _classes(jax.nn.relu(self.final_2(x)))


def _conv3x3(features: int, dtype: jnp.dtype, name: str) -> layers.Conv3x3:
    return layers.Conv3x3(features, dtype, use_bias=True, name=name)


def _classes(x: Float[Array, "b m m k"]) -> Float[Array, "b k m m"]:
    return jnp.moveaxis(x.astype(jnp.float32), -1, 1)
