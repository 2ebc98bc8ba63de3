"""SSF: scale and shift of a block's features (Lian et al., arXiv 2210.08823)."""

from flax import linen as nn
from jaxtyping import Array, Float

from samjax.models import declare
from samjax.models.peft.base import Peft


class ScaleAndShift(Peft):
    """A factor and an addend of each channel after every norm and linear map of a block.

    The patch embedding stays as it is.
    """

    @nn.compact
    def modulate(self, layer: str, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        """Returns the output of a layer, scaled and shifted."""
        std = 0.0 if self.config.init == "zero" else 0.2
        scale, shift = (
            declare.parameter(self, f"{layer}_{name}", x.shape[-1:], mean, std)
            for name, mean in (("scale", 1.0), ("shift", 0.0))
        )
        return x * scale.astype(x.dtype) + shift.astype(x.dtype)

    def after_attention(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        """Returns the attention's output, scaled and shifted."""
        return self.modulate("proj", x)
