"""SAM's image encoder: a ViT with windowed attention, relative positions and adapters.

Facts: Kirillov et al., Segment Anything (2023), appendix A; Li et al., ViTDet (2022); the
adapters are those of SAM-Med2D (paper section 3.2 A). Names follow the published state dict.
"""

import jax
import jax.numpy as jnp
from einops import rearrange
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from samjax.models import layers
from samjax.models.adapter import Adapter
from samjax.models.config import SamConfig


class ImageEncoder(nn.Module):
    """Normalised image -> image embedding of `prompt_dim` channels."""

    config: SamConfig

    def setup(self) -> None:
        cfg = self.config
        dtype = jnp.dtype(cfg.dtype)
        self.patch_embed = PatchEmbed(cfg.embed_dim, cfg.patch_size, dtype)
        shape = (1, cfg.grid_size, cfg.grid_size, cfg.embed_dim)
        self.pos_embed = self.param("pos_embed", layers.declared, shape, jnp.float32)
        block = nn.remat(Block, static_argnums=(2,)) if cfg.remat else Block
        self.blocks = [block(cfg, index) for index in range(cfg.depth)]
        self.neck_0 = layers.PatchConv(cfg.prompt_dim, 1, dtype, use_bias=False)
        self.neck_1 = layers.LayerNorm(1e-6)
        self.neck_2 = layers.Conv3x3(cfg.prompt_dim, dtype)
        self.neck_3 = layers.LayerNorm(1e-6)

    def __call__(self, images: Float[Array, "b s s 3"], adapters: bool) -> Float[Array, "b g g c"]:
        """Encodes images.

        Args:
            images: Normalised images.
            adapters: Whether the adapters take part; false drops them, on the same parameters.
        """
        x = self.patch_embed(images)
        x = x + self.pos_embed.astype(x.dtype)
        for block in self.blocks:
            x = block(x, adapters)
        return self.neck_3(self.neck_2(self.neck_1(self.neck_0(x))))


class PatchEmbed(nn.Module):
    """Image patches -> tokens."""

    features: int
    patch: int
    dtype: DTypeLike

    def setup(self) -> None:
        self.proj = layers.PatchConv(self.features, self.patch, self.dtype)

    def __call__(self, images: Float[Array, "b s s 3"]) -> Float[Array, "b g g c"]:
        return self.proj(images)


class Block(nn.Module):
    """One transformer block: attention, then MLP and adapter side by side."""

    config: SamConfig
    index: int

    def setup(self) -> None:
        cfg = self.config
        dtype = jnp.dtype(cfg.dtype)
        size = cfg.attention_size(self.index)
        self.norm1 = layers.LayerNorm(1e-6)
        self.attn = WindowAttention(cfg.num_heads, size, dtype)
        self.norm2 = layers.LayerNorm(1e-6)
        self.mlp = layers.TransformerMLP(int(cfg.embed_dim * cfg.mlp_ratio), layers.gelu, dtype)
        if cfg.adapters:
            self.adapter = Adapter(cfg.adapter_ratio, dtype)

    def __call__(self, x: Float[Array, "b g g c"], adapters: bool) -> Float[Array, "b g g c"]:
        x = x + self.attn(self.norm1(x))
        normed = self.norm2(x)
        x = x + self.mlp(normed)
        return x + self.adapter(normed) if adapters else x


class WindowAttention(nn.Module):
    """Self-attention within square windows, with decomposed relative position.

    A window as large as the grid is global attention. Where windows do not divide the grid, SAM
    pads it with zero tokens that take part as keys and values; their projections are the bias
    alone, so only real tokens are projected here.
    """

    heads: int
    window: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        b, h, w, c = x.shape
        size, depth = self.window, c // self.heads
        project = layers.Linear(3 * c, self.dtype, name="qkv")
        padding = project(jnp.zeros((1, 1, 1, c), x.dtype))
        qkv = _pad(project(x), padding, size)  # (b, hp, wp, 3 c)
        qkv = rearrange(
            qkv,
            "b (y h) (x w) (three n d) -> three (b y x) n (h w) d",
            h=size,
            w=size,
            three=3,
            n=self.heads,
        )
        q, k, v = qkv  # (windows, heads, size * size, depth) each
        rel_pos_h = self.param("rel_pos_h", layers.declared, (2 * size - 1, depth), jnp.float32)
        rel_pos_w = self.param("rel_pos_w", layers.declared, (2 * size - 1, depth), jnp.float32)
        out = layers.attend(q, k, v, _relative_bias(q, rel_pos_h, rel_pos_w, size))
        rows = -(-h // size)
        out = rearrange(
            out, "(b y x) n (h w) d -> b (y h) (x w) (n d)", b=b, y=rows, h=size
        )  # (b, hp, wp, c)
        return layers.Linear(c, self.dtype, name="proj")(out[:, :h, :w])


def _pad(x: jax.Array, value: jax.Array, multiple: int) -> jax.Array:
    """Fills (b, h, w, c) with `value` (1, 1, 1, c) below and right up to a multiple."""
    b, h, w, c = x.shape
    below, right = -h % multiple, -w % multiple
    if below == 0 and right == 0:
        return x
    x = jnp.concatenate([x, jnp.broadcast_to(value, (b, below, w, c))], axis=1)
    return jnp.concatenate([x, jnp.broadcast_to(value, (b, h + below, right, c))], axis=2)


def _relative_bias(
    q: Float[Array, "n heads t d"],
    rel_pos_h: Float[Array, "l d"],
    rel_pos_w: Float[Array, "l d"],
    size: int,
) -> Float[Array, "n heads t t"]:
    """Attention bias from row and column distance (MViTv2's decomposed relative position)."""
    offset = jnp.arange(size)[:, None] - jnp.arange(size)[None, :] + size - 1  # (query, key)
    q = rearrange(q, "n a (h w) d -> n a h w d", h=size)
    rows = rel_pos_h[offset].astype(q.dtype)
    columns = rel_pos_w[offset].astype(q.dtype)
    wide = jnp.float32
    by_row = jnp.einsum("nahwd,hkd->nahwk", q, rows, preferred_element_type=wide)
    by_column = jnp.einsum("nahwd,wkd->nahwk", q, columns, preferred_element_type=wide)
    bias = by_row[..., :, None] + by_column[..., None, :]  # (n, heads, h, w, key h, key w)
    return rearrange(bias, "n a h w p q -> n a (h w) (p q)")
