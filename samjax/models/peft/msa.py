"""Adapters of the Medical SAM Adapter (Wu et al., arXiv 2304.12620), as its code has them."""

from collections.abc import Callable

import jax
from einops import rearrange
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from samjax.models import declare, layers, windows
from samjax.models.peft.base import Peft

_MLP_SCALE = 0.5  # Fixed in the published code.


class MsaAdapter(Peft):
    """Three bottlenecks of a block: after its attention, beside its MLP, and for depth.

    The depth adapter belongs to volumes (`PeftConfig.depth`). In two dimensions it has parameters,
    which are saved, but takes no part (`PeftConfig.idle`).
    """

    def setup(self) -> None:
        last = self.of_last(declare.Initial(bias=True))
        self.space, self.mlp, self.depth = (
            Bottleneck(self.config.ratio, last, self.dtype) for _ in range(3)
        )

    def after_attention(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        """Adds the space adapter's output to the attention's."""
        return x + self.space(x)

    def across_slices(
        self,
        x: Float[Array, "n h w c"],
        padding: Float[Array, "1 1 1 c"],
        window: int,
        attend: Callable[[jax.Array], jax.Array],
    ) -> Float[Array, "n h w c"] | None:
        """Returns the addend of the attention's output: tokens of one place attend to each other.

        They are those of a chunk of `depth` neighbours along the batch axis, folded to a grid. The
        attention's weights are the block's, the adapter after it has no skip connection.
        """
        chunk = self.config.depth
        if chunk < 2 or self.is_initializing():
            return None

        def branch(tokens: jax.Array) -> jax.Array:
            _, h, w, _ = tokens.shape
            apart, together = "(n r s) h w c", "(n h w) r s c"
            lengths = dict(r=_rows(chunk), h=h, w=w)
            chunks = rearrange(tokens, f"{apart} -> {together}", s=chunk // _rows(chunk), **lengths)
            return rearrange(self.depth(attend(chunks)), f"{together} -> {apart}", **lengths)

        return windows.apply_padded(branch, x, padding, window)

    def beside_mlp(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        """Returns the addend of the MLP's output, from the MLP's normalised input."""
        if self.is_initializing():
            self.depth(x)
        return _MLP_SCALE * self.mlp(x)


def _rows(chunk: int) -> int:
    """Returns the rows of the grid that a chunk is folded to: its largest factor below the root.

    As in the published code; so 4 slices are 1 x 4, and 6 are 2 x 3.
    """
    return max(rows for rows in range(1, chunk) if chunk % rows == 0 and rows**2 < chunk)


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
