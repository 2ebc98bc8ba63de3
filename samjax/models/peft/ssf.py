"""SSF: scale and shift of a block's features (Lian et al., arXiv 2210.08823)."""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from samjax.models import layers
from samjax.models.peft.base import Peft


class ScaleAndShift(Peft):
    """A factor and an addend of each channel after every norm and linear map of a block.

    The patch embedding stays as it is.

    Attributes:
        dtype: Compute type.
    """

    dtype: DTypeLike

    @nn.compact
    def modulate(self, layer: str, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        """Returns the output of a layer, scaled and shifted."""
        scale, shift = (
            self.param(f"{layer}_{name}", layers.zeros_init, x.shape[-1:], jnp.float32)
            for name in ("scale", "shift")
        )
        return x * scale.astype(x.dtype) + shift.astype(x.dtype)

    def after_attention(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        """Returns the attention's output, scaled and shifted."""
        return self.modulate("proj", x)
