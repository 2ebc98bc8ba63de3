"""Adapters of the Medical SAM Adapter (Wu et al., arXiv 2304.12620), as its code has them."""

from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from samjax.models import declare, layers
from samjax.models.peft.base import Peft

_MLP_SCALE = 0.5  # Fixed in the published code.


class MsaAdapter(Peft):
    """Three bottlenecks of a block: after its attention, beside its MLP, and for depth.

    The depth adapter belongs to volumes. In two dimensions it has parameters, which are saved, but
    takes no part (see `samjax.models.peft.IDLE`).
    """

    def setup(self) -> None:
        last = self.of_last(declare.Initial(bias=True))
        self.space, self.mlp, self.depth = (
            Bottleneck(self.config.ratio, last, self.dtype) for _ in range(3)
        )

    def after_attention(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        """Adds the space adapter's output to the attention's."""
        return x + self.space(x)

    def beside_mlp(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        """Returns the addend of the MLP's output, from the MLP's normalised input."""
        if self.is_initializing():
            self.depth(x)
        return _MLP_SCALE * self.mlp(x)


class Bottleneck(nn.Module):
    """Two linear maps with a GELU between them: `fc2(gelu(fc1(x)))`.

    Attributes:
        ratio: Width between them over that of the input.
        last: Initial values of the second.
        dtype: Compute type.
    """

    ratio: float
    last: declare.Initial
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, "*n c"]) -> Float[Array, "*n c"]:
        c = x.shape[-1]
        width, initial = int(c * self.ratio), declare.Initial(bias=True)
        hidden = layers.gelu(layers.Linear(width, self.dtype, initial=initial, name="fc1")(x))
        return layers.Linear(c, self.dtype, initial=self.last, name="fc2")(hidden).astype(x.dtype)
