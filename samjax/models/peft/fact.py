"""FacT: factorised updates of the attention's projections (Jie and Deng, arXiv 2212.03145)."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from samjax.models import declare, layers
from samjax.models.peft.base import Peft
from samjax.models.peft.config import PROJECTIONS


class Fact(Peft):
    """Low-rank updates `scale * x U S V` that share U and V, each with an S of its own.

    U and V belong to the block, as in micro-sam, where FacT shares them between blocks. There is
    no dropout.
    """

    @nn.compact
    def qkv(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c3"]:
        """Returns the addend of queries, keys and values, from the attention's input."""
        rank = self.config.rank
        down = layers.Linear(rank, self.dtype, False, name="u")(x)
        initial = self.of_last(declare.Initial())
        up = layers.Linear(x.shape[-1], self.dtype, False, initial, name="v")
        parts = []
        for name in PROJECTIONS:
            part = jnp.zeros_like(x)
            if name in self.config.targets:
                middle = layers.Linear(rank, self.dtype, False, name=f"{name}_s")(down)
                part = (self.config.scale * up(middle)).astype(x.dtype)
            parts.append(part)
        return jnp.concatenate(parts, axis=-1)
