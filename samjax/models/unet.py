"""U-Net: no SAM, but the plain network that semantic methods are compared with.

Two 3x3 convolutions at every resolution, max pooling down, transposed convolutions and
concatenation up (Ronneberger et al., 2015). Unlike there, convolutions are padded and followed by
instance norms (nnU-Net: Isensee et al., 2021), so that it trains from scratch in minutes.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from samjax.models import declare, layers
from samjax.models.config import SamConfig


class Unet(nn.Module):
    """Maps a normalised image to features of every pixel, `unet_widths[0]` of them."""

    group = "encoder"
    config: SamConfig

    def setup(self) -> None:
        widths, dtype = self.config.unet_widths, jnp.dtype(self.config.dtype)
        self.down = [UnetConvs(width, dtype) for width in widths]
        self.up = [UnetConvs(width, dtype) for width in widths[:-1]]
        self.enlarge = [layers.ConvTranspose2x2(width, dtype) for width in widths[:-1]]

    def __call__(self, images: Float[Array, "b s s 3"], adapters: bool) -> Float[Array, "b s s c"]:
        """Encodes images; `adapters` has no effect, since there are none."""
        del adapters
        x, skipped = self.down[0](images), []
        for convs in self.down[1:]:
            skipped.append(x)
            x = convs(nn.max_pool(x, (2, 2), (2, 2)))
        for level in reversed(range(len(self.up))):
            x = jnp.concatenate([skipped[level], self.enlarge[level](x)], axis=-1)
            x = self.up[level](x)
        return x


class PixelHead(nn.Module):
    """Linear map from the features of every pixel to class logits."""

    group = "decoder"
    config: SamConfig

    @nn.compact
    def __call__(self, embedding: Float[Array, "b s s c"]) -> Float[Array, "b k s s"]:
        """Returns logits of all `k` classes, float32."""
        classes, dtype = self.config.head.classes + 1, jnp.dtype(self.config.dtype)
        logits = layers.PatchConv(classes, 1, dtype, name="classes")(embedding)
        return jnp.moveaxis(logits.astype(jnp.float32), -1, 1)


class UnetConvs(nn.Module):
    """Two convolutions, each with instance norm and ReLU."""

    features: int
    dtype: DTypeLike

    def setup(self) -> None:
        self.convs = [layers.Conv3x3(self.features, self.dtype) for _ in range(2)]
        self.norms = [InstanceNorm() for _ in range(2)]

    def __call__(self, x: Float[Array, "b h w i"]) -> Float[Array, "b h w o"]:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = jax.nn.relu(norm(conv(x)))
        return x


class InstanceNorm(nn.Module):
    """Normalisation of each channel of each image over its pixels, in float32."""

    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        scale = declare.parameter(self, "scale", x.shape[-1:], mean=1.0)
        bias = declare.parameter(self, "bias", x.shape[-1:])
        wide = x.astype(jnp.float32)
        centred = wide - wide.mean((1, 2), keepdims=True)
        variance = jnp.square(centred).mean((1, 2), keepdims=True)
        return (centred * jax.lax.rsqrt(variance + self.epsilon) * scale + bias).astype(x.dtype)
