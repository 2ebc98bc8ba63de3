"""TinyViT, the small image encoder of MobileSAM and LiteMedSAM.

A stage of convolutions, three of transformer blocks with windowed attention, then SAM's neck. It
runs at any size, since nothing is learned per position. Sources: Wu et al., TinyViT (2022); Zhang
et al., Faster Segment Anything (2023); the adapters are those of SAM-Med2D (paper section 3.2 A).
Names follow the published state dicts.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from samjax.models import declare, layers, peft, windows
from samjax.models.config import SamConfig
from samjax.models.image_encoder import neck


class TinyVit(nn.Module):
    """Maps a normalised image to an image embedding of `prompt_dim` channels."""

    group = "encoder"
    config: SamConfig

    def setup(self) -> None:
        cfg, widths = self.config, self.config.tiny_vit.dims
        self.patch_embed = TinyVitStem(widths[0], cfg.patch_size, jnp.dtype(cfg.dtype))
        self.layers = [TinyVitStage(cfg, index) for index in range(len(widths))]
        self.neck = neck(cfg)

    def __call__(self, images: Float[Array, "b s s 3"], adapters: bool) -> Float[Array, "b g g c"]:
        """Encodes images.

        Args:
            images: Normalised images.
            adapters: Whether to use the adapters; false skips them, with the same parameters.
        """
        x = self.patch_embed(images)
        for stage in self.layers:
            x = stage(x, adapters)
        for layer in self.neck:
            x = layer(x)
        return x


class TinyVitStem(nn.Module):
    """Maps an image to features of a quarter of its side, or of all of it.

    A quarter with patch 16 (MobileSAM), all of it with patch 4 (LiteMedSAM). The stages halve the
    side twice more.
    """

    features: int
    patch: int
    dtype: DTypeLike

    def setup(self) -> None:
        def conv(features: int) -> ConvBatchNorm:
            if self.patch == 4:
                return _pointwise(features, self.dtype)
            return ConvBatchNorm(
                functools.partial(layers.Conv3x3, features, self.dtype, 2, initial=_initial)
            )

        self.seq_0, self.seq_2 = conv(self.features // 2), conv(self.features)

    def __call__(self, images: Float[Array, "b s s 3"]) -> Float[Array, "b h w c"]:
        return _apply_convs(images, self.seq_0, self.seq_2)


class TinyVitStage(nn.Module):
    """Blocks of one width, then patch merging to the next width except in the last stage.

    Merging halves the grid, except before the last stage.
    """

    config: SamConfig
    index: int

    def setup(self) -> None:
        cfg, tiny = self.config, self.config.tiny_vit
        kind = TinyVitBlock if self.index else MBConv
        kind = nn.remat(kind, static_argnums=(2,)) if cfg.remat else kind
        self.blocks = [kind(cfg, self.index) for _ in range(tiny.depths[self.index])]
        next_widths = tiny.dims[self.index + 1 :]
        if next_widths:
            stride = 2 if len(next_widths) > 1 else 1
            self.downsample = PatchMerging(next_widths[0], stride, jnp.dtype(cfg.dtype))

    def __call__(self, x: Float[Array, "b h w c"], adapters: bool) -> Float[Array, "b i j d"]:
        for block in self.blocks:
            x = block(x, adapters)
        last = self.index + 1 == len(self.config.tiny_vit.dims)
        return x if last else self.downsample(x)


class PatchMerging(nn.Module):
    """Maps features to another width and, with stride 2, halves their side."""

    features: int
    stride: int
    dtype: DTypeLike

    def setup(self) -> None:
        self.conv1 = _pointwise(self.features, self.dtype)
        self.conv2 = _depthwise(self.dtype, self.stride)
        self.conv3 = _pointwise(self.features, self.dtype)

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b i j d"]:
        return _apply_convs(x, self.conv1, self.conv2, self.conv3)


class MBConv(nn.Module):
    """Inverted bottleneck with a shortcut (MBConv of MobileNetV2). It has no adapter.

    At first it is the shortcut alone.
    """

    config: SamConfig
    index: int

    def setup(self) -> None:
        tiny, dtype = self.config.tiny_vit, jnp.dtype(self.config.dtype)
        width = tiny.dims[self.index]
        self.conv1 = _pointwise(int(width * tiny.conv_ratio), dtype)
        self.conv2 = _depthwise(dtype)
        self.conv3 = _pointwise(width, dtype, initial_scale=0.0)

    def __call__(self, x: Float[Array, "b h w c"], adapters: bool) -> Float[Array, "b h w c"]:
        return layers.gelu(x + _apply_convs(x, self.conv1, self.conv2, self.conv3))


class TinyVitBlock(nn.Module):
    """Transformer block: attention, a depthwise convolution, then an MLP, each adapted."""

    config: SamConfig
    index: int

    def setup(self) -> None:
        cfg, tiny, dtype = self.config, self.config.tiny_vit, jnp.dtype(self.config.dtype)
        width = tiny.dims[self.index]
        # Heads and windows have no entry for the stage of convolutions.
        heads, window = tiny.num_heads[self.index - 1], tiny.window_sizes[self.index - 1]
        self.attn = TinyVitAttention(heads, window, dtype)
        self.local_conv = _depthwise(dtype, initial=declare.Initial(1.0))
        self.mlp = NormedMLP(width, int(width * tiny.mlp_ratio), dtype)
        if cfg.peft.enabled:
            self.adapter = peft.make(cfg.peft, cfg.dtype)

    def __call__(self, x: Float[Array, "b h w c"], adapters: bool) -> Float[Array, "b h w c"]:
        adapter = self.adapter if adapters else peft.NONE
        x = self.local_conv(x + adapter.after_attention(self.attn(x, adapter)))
        normed = self.mlp.norm(x)
        x = x + self.mlp(normed)
        return peft.add(x, adapter.beside_mlp(normed))


class NormedMLP(nn.Module):
    """MLP with the norm of its input, which the block applies for the adapter as well."""

    features: int
    hidden: int
    dtype: DTypeLike

    def setup(self) -> None:
        self.norm = layers.LayerNorm(1e-5)
        self.fc1 = layers.Linear(self.hidden, self.dtype)
        self.fc2 = layers.Linear(self.features, self.dtype)

    def __call__(self, normed: Float[Array, "*n c"]) -> Float[Array, "*n c"]:
        return self.fc2(layers.gelu(self.fc1(normed)))


class TinyVitAttention(nn.Module):
    """Self-attention within square windows, with a norm before it and a bias for every offset.

    Where windows do not divide the grid, it is padded with zero tokens before the norm, which
    turns them into its bias. The queries, keys and values of one head follow each other.
    """

    heads: int
    window: int
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], adapter: peft.Peft = peft.NONE
    ) -> Float[Array, "b h w c"]:
        """Attends; `adapter` changes queries, keys and values."""
        c, size = x.shape[-1], self.window
        norm = layers.LayerNorm(1e-5, name="norm")
        linear = layers.Linear(3 * c, self.dtype, name="qkv")

        def project(tokens: jax.Array) -> jax.Array:
            tokens = norm(tokens)
            qkv, addend = linear(tokens), adapter.qkv(tokens)
            if addend is None:
                return qkv
            order = "b h w (three n d) -> b h w (n three d)"
            return qkv + rearrange(addend, order, three=3, n=self.heads)

        qkv, padding = project(x), project(jnp.zeros((1, 1, 1, c), x.dtype))
        shape = (self.heads, size**2)
        biases = declare.parameter(self, "attention_biases", shape)
        biases = biases[:, _offsets(size)]  # (heads, size, size, size, size): query, key.
        attend = functools.partial(_attend_windows, padding=padding, biases=biases)
        out = windows.apply(attend, qkv, size)
        return layers.Linear(c, self.dtype, name="proj")(out)


def _attend_windows(
    qkv: Float[Array, "b h w c3"],
    padding: Float[Array, "1 1 1 c3"],
    biases: Float[Array, "heads s s s s"],
) -> Float[Array, "b h w c"]:
    """Attends within the windows of a part of the grid whose windows are all alike."""
    _, h, w, _ = qkv.shape
    heads, size = biases.shape[:2]
    rows, columns = min(h, size), min(w, size)
    split = "b (y h) (x w) (n three d) -> three (b y x) n (h w) d"
    q, k, v = rearrange(qkv, split, three=3, n=heads, h=rows, w=columns)
    biases = biases[:, :rows, :columns]
    bias = rearrange(biases[..., :rows, :columns], "n h w i j -> n (h w) (i j)")
    if rows < size or columns < size:
        _, k_pad, v_pad = rearrange(padding, split, three=3, n=heads, h=1, w=1)
        k, v = windows.append_padding(k, k_pad), windows.append_padding(v, v_pad)
        places = np.arange(size)
        padded = (places[:, None] >= rows) | (places >= columns)
        total = jax.nn.logsumexp(biases, axis=(-2, -1), where=padded)
        bias = jnp.concatenate([bias, rearrange(total, "n h w -> n (h w) 1")], axis=-1)
    out = layers.attend(q * q.shape[-1] ** -0.5, k, v, bias)
    merge = "(b y x) n (h w) d -> b (y h) (x w) (n d)"
    return rearrange(out, merge, y=h // rows, x=w // columns, h=rows, w=columns)


def _offsets(size: int) -> np.ndarray:
    """Returns the bias's index for query and key: |dy| * size + |dx|, (size, size, size, size)."""
    apart = abs(np.arange(size)[:, None] - np.arange(size))
    return apart[:, None, :, None] * size + apart[:, None, :]


# MARK: convolutions

# They keep the scale of their input, since their batch norms do nothing at first.
_initial = declare.Initial(2.0)


class ConvBatchNorm(nn.Module):
    """Convolution without bias, then batch normalisation."""

    conv: Callable[[], nn.Module]
    initial_scale: float = 1.0

    def setup(self) -> None:
        self.c = self.conv()
        self.bn = FrozenBatchNorm(1e-5, self.initial_scale)

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b i j d"]:
        return self.bn(self.c(x))


class FrozenBatchNorm(nn.Module):
    """Batch normalisation by the stored statistics: a fixed scale and shift of every channel.

    In training too: statistics of the few images of a fine-tuning batch are worse than those of
    the pre-training. They are constants; scale and bias are trained.
    """

    epsilon: float
    initial_scale: float = 1.0

    @nn.compact
    def __call__(self, x: Float[Array, "*n c"]) -> Float[Array, "*n c"]:
        declared = functools.partial(declare.parameter, self, shape=x.shape[-1:])
        scale, bias = declared("scale", mean=self.initial_scale), declared("bias")
        mean = jax.lax.stop_gradient(declared("mean", group="constant"))
        var = jax.lax.stop_gradient(declared("var", mean=1.0, group="constant"))
        scale = scale * jax.lax.rsqrt(var + self.epsilon)
        return (x.astype(jnp.float32) * scale + (bias - mean * scale)).astype(x.dtype)


def _pointwise(features: int, dtype: DTypeLike, initial_scale: float = 1.0) -> ConvBatchNorm:
    conv = functools.partial(layers.PatchConv, features, 1, dtype, False, _initial)
    return ConvBatchNorm(conv, initial_scale)


def _depthwise(
    dtype: DTypeLike, stride: int = 1, initial: declare.Initial = _initial
) -> ConvBatchNorm:
    return ConvBatchNorm(functools.partial(layers.DepthwiseConv3x3, dtype, stride, initial))


def _apply_convs(x: Float[Array, "b h w c"], *convs: ConvBatchNorm) -> Float[Array, "b i j d"]:
    """Applies convolutions with GELU between them."""
    for conv in convs[:-1]:
        x = layers.gelu(conv(x))
    return convs[-1](x)
