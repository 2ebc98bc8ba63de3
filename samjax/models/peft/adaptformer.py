"""AdaptFormer: a bottleneck beside the MLP (Chen et al., arXiv 2205.13535)."""

import jax
from flax import linen as nn
from jaxtyping import Array, Float

from samjax.models import declare, layers
from samjax.models.peft.base import Peft


class AdaptFormer(Peft):
    """Adds `scale * alpha * up(relu(down(n)))`; alpha is learned, and one at first.

    The paper's formula with micro-sam's learned factor. micro-sam adds the normalised input `n`
    once more, which disturbs a pre-trained encoder from the first step; this does not.
    """

    @nn.compact
    def beside_mlp(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        """Returns the addend of the MLP's output, from the MLP's normalised input."""
        c = x.shape[-1]
        alpha = declare.parameter(self, "alpha", (1,), mean=1.0)
        hidden = layers.Linear(int(c * self.config.ratio), self.dtype, name="down")(x)
        up = layers.Linear(c, self.dtype, initial=declare.Initial(0.0), name="up")
        return (self.config.scale * alpha * up(jax.nn.relu(hidden))).astype(x.dtype)
