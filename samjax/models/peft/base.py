"""Interface between an encoder block and what fine-tunes it."""

from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from samjax.models import declare
from samjax.models.peft.config import PeftConfig


class Peft(nn.Module):
    """Parameters of one encoder block; a kind implements the hooks that it needs.

    Without an implementation, a hook changes nothing.

    Attributes:
        config: Settings.
        dtype: Compute type.
    """

    group = "adapter"
    config: PeftConfig
    dtype: DTypeLike

    def qkv(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c3"] | None:
        """Returns the addend of queries, keys and values, in this order, from their input."""
        del x

    def after_attention(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        """Returns the attention's output, after its last projection, changed."""
        return x

    def beside_mlp(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"] | None:
        """Returns the addend of the MLP's output, from the MLP's normalised input."""
        del x

    def modulate(self, layer: str, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        """Returns the output of a layer, `norm1`, `qkv`, `norm2`, `lin1` or `lin2`, changed."""
        del layer
        return x

    def of_last(self, initial: declare.Initial) -> declare.Initial:
        """Returns the initial values of a kind's last layer (`PeftConfig.init`): zero or these."""
        return declare.Initial(0.0) if self.config.init == "zero" else initial


NONE = Peft(PeftConfig("none"), "float32", parent=None)
"""Hooks of a block that nothing fine-tunes."""
