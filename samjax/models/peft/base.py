"""Interface between an encoder block and what fine-tunes it."""

from collections.abc import Callable

import jax
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

    def across_slices(
        self,
        x: Float[Array, "n h w c"],
        padding: Float[Array, "1 1 1 c"],
        window: int,
        attend: Callable[[jax.Array], jax.Array],
    ) -> Float[Array, "n h w c"] | None:
        """Returns the addend of the attention's output that comes from neighbouring slices.

        Args:
            x: The attention's input.
            padding: The token that pads the grid to whole windows.
            window: Side of the windows that follow each other along the batch axis; the grid's
                side: the images themselves do.
            attend: The block's attention over the whole of each grid, of any sides.
        """
        del x, padding, window, attend

    def modulate(self, layer: str, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        """Returns the output of a layer, `norm1`, `qkv`, `norm2`, `lin1` or `lin2`, changed."""
        del layer
        return x

    def of_last(self, initial: declare.Initial) -> declare.Initial:
        """Returns the initial values of a kind's last layer (`PeftConfig.init`): zero or these."""
        return declare.Initial(0.0) if self.config.init == "zero" else initial


def add(x: jax.Array, addend: jax.Array | None) -> jax.Array:
    """Adds what a hook returned, if anything."""
    return x if addend is None else x + addend


NONE = Peft(PeftConfig("none"), "float32", parent=None)
"""Hooks of a block that nothing fine-tunes."""
