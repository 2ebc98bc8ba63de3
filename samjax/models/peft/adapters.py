"""Adapters: SAM-Med2D's, and a bottleneck of a fiftieth of its size."""

import jax
from flax import linen as nn
from jaxtyping import Array, Float

from samjax.models import declare, layers
from samjax.models.peft.base import Peft


class SamMed2DAdapter(Peft):
    """Adapts one encoder block: `LN(n + relu(up(relu(down(n * channel_weights(n))))))`.

    Channel attention, then a spatial bottleneck (SAM-Med2D paper, section 3.2 A).
    """

    @nn.compact
    def beside_mlp(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        """Returns the addend of the MLP's output, from the MLP's normalised input."""
        _, h, w, c = x.shape
        pooled = x.mean(axis=(1, 2))
        width, initial = int(c * self.config.ratio), declare.Initial(2.0, "out")
        squeeze = layers.Linear(width, self.dtype, False, initial, name="channel_0")
        excite = layers.Linear(c, self.dtype, False, initial, name="channel_2")
        weights = jax.nn.sigmoid(excite(jax.nn.relu(squeeze(pooled))))
        down = layers.Conv3x3(c, self.dtype, 2, initial=initial, name="spatial_0")
        up = layers.ConvTranspose4x4(c, self.dtype, initial, name="spatial_2")
        spatial = jax.nn.relu(up(jax.nn.relu(down(x * weights[:, None, None]))))
        # An odd grid becomes one token larger; the surplus row and column are dropped.
        spatial = spatial[:, :h, :w]
        norm = layers.LayerNorm(1e-5, float(self.config.init != "zero"), name="norm")
        return norm(x + spatial.astype(x.dtype))


class ConvBottleneckAdapter(Peft):
    """Adapts one encoder block: `up(gelu(depthwise(down(n))))`, a bottleneck of the channels.

    Linear maps down and up (Houlsby et al., 2019), between them a depthwise 3x3 convolution over
    neighbouring tokens. In SAM's ViT-B it has 300 thousand parameters instead of 15 million.
    """

    @nn.compact
    def beside_mlp(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        """Returns the addend of the MLP's output, from the MLP's normalised input."""
        c = x.shape[-1]
        width, initial = int(c * self.config.ratio), declare.Initial(2.0, "out")
        down = layers.Linear(width, self.dtype, initial=initial, name="down")(x)
        spatial = layers.DepthwiseConv3x3(self.dtype, name="spatial")(down)
        up = layers.Linear(c, self.dtype, initial=self.of_last(initial), name="up")
        return up(layers.gelu(spatial)).astype(x.dtype)
