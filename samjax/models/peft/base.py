"""Interface between an encoder block and what fine-tunes it."""

from flax import linen as nn
from jaxtyping import Array, Float


class Peft(nn.Module):
    """Parameters of one encoder block; a kind implements the addends that it has."""

    def qkv(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c3"] | None:
        """Returns the addend of queries, keys and values, from the attention's input."""
        del x

    def beside_mlp(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"] | None:
        """Returns the addend of the MLP's output, from the MLP's normalised input."""
        del x
