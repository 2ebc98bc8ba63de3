"""SAM-Med2D's adapter: channel attention, then a spatial bottleneck (paper section 3.2 A)."""

import jax
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from samjax.models import layers


class Adapter(nn.Module):
    """Adapts one encoder block: `LN(n + relu(up(relu(down(n * channel_weights(n))))))`.

    Attributes:
        ratio: Bottleneck of the channel attention.
        dtype: Compute type.
    """

    ratio: float
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        """Takes the block's normalised tokens; returns what is to be added to the block."""
        _, h, w, c = x.shape
        pooled = x.mean(axis=(1, 2))
        squeeze = layers.Linear(int(c * self.ratio), self.dtype, False, name="channel_0")
        excite = layers.Linear(c, self.dtype, False, name="channel_2")
        weights = jax.nn.sigmoid(excite(jax.nn.relu(squeeze(pooled))))
        down = layers.Conv3x3(c, self.dtype, 2, name="spatial_0")
        up = layers.UpConv4x4(c, self.dtype, name="spatial_2")
        spatial = jax.nn.relu(up(jax.nn.relu(down(x * weights[:, None, None]))))
        # An odd grid comes back one token larger; the surplus row and column are dropped.
        spatial = spatial[:, :h, :w]
        return layers.LayerNorm(1e-5, name="norm")(x + spatial.astype(x.dtype))
