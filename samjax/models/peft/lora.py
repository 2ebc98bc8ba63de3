"""LoRA on the projections of attention (Hu et al., 2022), as in SAMed (arXiv 2304.13785)."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from samjax.models import declare, layers
from samjax.models.peft.base import Peft
from samjax.models.peft.config import PROJECTIONS


class LoraLinear(layers.Linear):
    """Affine map with a low-rank update of its kernel, `W + scale * A B`; B is zero at first.

    Whatever reads its kernel, such as products of images that are computed once, sees the update.

    Attributes:
        rank: Rank of the update.
        scale: Its factor.
    """

    rank: int = 4
    scale: float = 1.0

    def updated(self, kernel: Float[Array, "i o"]) -> Float[Array, "i o"]:
        """Returns the kernel with its update."""
        return kernel + self.scale * LowRank(self.rank, name="adapter")(*kernel.shape)


class LowRank(nn.Module):
    """Product of two matrices A and B, float32.

    Attributes:
        rank: Inner size.
    """

    rank: int

    @nn.compact
    def __call__(self, inputs: int, outputs: int) -> Float[Array, "i o"]:
        """Returns the product, of `inputs` rows and `outputs` columns."""
        a, _ = layers.Linear(self.rank, jnp.float32, False, name="a").weights(inputs)
        up = layers.Linear(outputs, jnp.float32, False, declare.Initial(0.0), name="b")
        return layers.product(a, up.weights(self.rank)[0])


class Lora(Peft):
    """Low-rank updates of queries, keys or values: `scale * x A B`; B is zero at first."""

    @nn.compact
    def qkv(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c3"]:
        """Returns the addend of queries, keys and values, from the attention's input."""
        c, parts = x.shape[-1], []
        for name in PROJECTIONS:
            part = jnp.zeros_like(x)
            if name in self.config.targets:
                down = layers.Linear(self.config.rank, self.dtype, False, name=f"{name}_a")
                up = layers.Linear(c, self.dtype, False, declare.Initial(0.0), name=f"{name}_b")
                part = (self.config.scale * up(down(x))).astype(x.dtype)
            parts.append(part)
        return jnp.concatenate(parts, axis=-1)
