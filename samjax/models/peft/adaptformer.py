"""AdaptFormer: a bottleneck beside the MLP (Chen et al., arXiv 2205.13535)."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from samjax.models import layers
from samjax.models.peft.base import Peft
from samjax.models.peft.config import PeftConfig


class AdaptFormer(Peft):
    """Adds `scale * alpha * up(relu(down(n)))`; alpha is learned, and one at first.

    The paper's formula with micro-sam's learned factor. micro-sam adds the normalised input `n`
    once more, which disturbs a pre-trained encoder from the first step; this does not.

    Attributes:
        config: Ratio and scale.
        dtype: Compute type.
    """

    config: PeftConfig
    dtype: DTypeLike

    @nn.compact
    def beside_mlp(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        """Returns the addend of the MLP's output, from the MLP's normalised input."""
        c = x.shape[-1]
        alpha = self.param("alpha", layers.zeros_init, (1,), jnp.float32)
        hidden = layers.Linear(int(c * self.config.ratio), self.dtype, name="down")(x)
        up = layers.Linear(c, self.dtype, name="up")(jax.nn.relu(hidden))
        return (self.config.scale * alpha * up).astype(x.dtype)
