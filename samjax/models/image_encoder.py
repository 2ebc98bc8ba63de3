"""SAM's image encoder: a ViT with windowed attention, relative positions and adapters.

Sources: Kirillov et al., Segment Anything (2023), appendix A; Li et al., ViTDet (2022); the
adapters are those of SAM-Med2D (paper section 3.2 A). Names follow the published state dict.
"""

import functools

import jax
import jax.numpy as jnp
from einops import rearrange
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from samjax.models import bicubic, declare, interpolation, layers, peft, windows
from samjax.models.config import SamConfig


class ImageEncoder(nn.Module):
    """Maps a normalised image to an image embedding of `prompt_dim` channels."""

    group = "encoder"
    config: SamConfig

    def setup(self) -> None:
        cfg = self.config
        dtype = jnp.dtype(cfg.dtype)
        self.patch_embed = PatchEmbed(cfg.embed_dim, cfg.patch_size, dtype)
        side = cfg.pos_embed_size or cfg.grid_size
        shape = (1, side, side, cfg.embed_dim)
        self.pos_embed = declare.parameter(self, "pos_embed", shape, std=0.02, cut=-1)
        block = nn.remat(VitBlock, static_argnums=(2,)) if cfg.remat else VitBlock
        self.blocks = [block(cfg, index) for index in range(cfg.depth)]
        self.neck = neck(cfg)

    def __call__(self, images: Float[Array, "b s s 3"], adapters: bool) -> Float[Array, "b g g c"]:
        """Encodes images.

        Args:
            images: Normalised images.
            adapters: Whether to use the adapters; false skips them, with the same parameters.
        """
        x = self.patch_embed(images)
        x = x + bicubic.resize(self.pos_embed, self.config.grid_size).astype(x.dtype)
        for block in self.blocks:
            x = block(x, adapters)
        for layer in self.neck:
            x = layer(x)
        return x


def neck(config: SamConfig) -> list[nn.Module]:
    """Returns the layers from an encoder's width to `prompt_dim`, in order."""
    dtype = jnp.dtype(config.dtype)
    return [
        layers.PatchConv(config.prompt_dim, 1, dtype, use_bias=False),
        layers.LayerNorm(1e-6),
        layers.Conv3x3(config.prompt_dim, dtype),
        layers.LayerNorm(1e-6),
    ]


class PatchEmbed(nn.Module):
    """Maps image patches to tokens."""

    features: int
    patch: int
    dtype: DTypeLike

    def setup(self) -> None:
        self.proj = layers.PatchConv(self.features, self.patch, self.dtype)

    def __call__(self, images: Float[Array, "b s s 3"]) -> Float[Array, "b g g c"]:
        return self.proj(images)


class VitBlock(nn.Module):
    """Transformer block: attention, then an MLP, each with the addend of an adapter or LoRA."""

    config: SamConfig
    index: int

    def setup(self) -> None:
        cfg = self.config
        dtype = jnp.dtype(cfg.dtype)
        size = cfg.attention_size(self.index)
        self.norm1 = layers.LayerNorm(1e-6)
        self.attn = VitAttention(cfg.num_heads, size, dtype)
        self.norm2 = layers.LayerNorm(1e-6)
        self.mlp = layers.TransformerMLP(int(cfg.embed_dim * cfg.mlp_ratio), layers.gelu, dtype)
        if cfg.peft.is_in(self.index):
            self.adapter = peft.make(cfg.peft, cfg.dtype)

    def __call__(self, x: Float[Array, "b g g c"], adapters: bool) -> Float[Array, "b g g c"]:
        adapter = self.adapter if adapters and self.config.peft.is_in(self.index) else peft.NONE
        padding, window = jnp.zeros((1, 1, 1, x.shape[-1]), x.dtype), x.shape[1]
        if self.config.window_padding == "norm_bias":
            padding, window = adapter.modulate("norm1", self.norm1(padding)), self.attn.window
        normed = adapter.modulate("norm1", self.norm1(x))
        attended = adapter.after_attention(self.attn(normed, padding, adapter))
        whole = functools.partial(self.attn, padding=padding, adapter=adapter, whole=True)
        x = x + peft.add(attended, adapter.across_slices(normed, padding, window, whole))
        normed = adapter.modulate("norm2", self.norm2(x))
        x = x + self.mlp(normed, adapter.modulate)
        return peft.add(x, adapter.beside_mlp(normed))


class VitAttention(nn.Module):
    """Self-attention within square windows, with decomposed relative position.

    A window as large as the grid is global attention. Where windows do not divide the grid, it is
    padded with equal tokens (see `SamConfig.window_padding`).
    """

    heads: int
    window: int
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b h w c"],
        padding: Float[Array, "1 1 1 c"],
        adapter: peft.Peft = peft.NONE,
        whole: bool = False,
    ) -> Float[Array, "b h w c"]:
        """Attends.

        Args:
            x: Tokens.
            padding: The token that pads the grid.
            adapter: Changes queries, keys and values.
            whole: Whether to attend over all of `x`, whatever its sides, instead of in windows; the
                relative positions are resized.
        """
        c = x.shape[-1]
        shape = (2 * self.window - 1, c // self.heads)
        sides = x.shape[1:3] if whole else (self.window, self.window)
        linear = layers.Linear(3 * c, self.dtype, name="qkv")

        def project(tokens: jax.Array) -> jax.Array:
            return adapter.modulate("qkv", peft.add(linear(tokens), adapter.qkv(tokens)))

        qkv, padding = project(x), project(padding)
        # Rows of the tables in the order of ascending key positions.
        tables = [declare.parameter(self, name, shape) for name in ("rel_pos_h", "rel_pos_w")]
        tables = [
            interpolation.linear(table, 0, 2 * side - 1)[::-1].astype(self.dtype)
            for table, side in zip(tables, sides, strict=True)
        ]
        attend = functools.partial(
            _attend_windows, padding=padding, tables=tables, heads=self.heads
        )
        out = windows.apply(attend, qkv, max(sides))
        return layers.Linear(c, self.dtype, name="proj")(out)


def _attend_windows(
    qkv: Float[Array, "b h w c3"],
    padding: Float[Array, "1 1 1 c3"],
    tables: list[Float[Array, "_ d"]],
    heads: int,
) -> Float[Array, "b h w c"]:
    """Attends within the windows of a part of the grid whose windows are all alike.

    Relative positions, and the padding of windows that are not whole, enter the scores as further
    features of queries and keys: `[q, by_row, by_column] . [k, its row, its column]`, where a
    key's row and column are one-hot.
    """
    _, h, w, _ = qkv.shape
    window = [(len(table) + 1) // 2 for table in tables]
    rows, columns = min(h, window[0]), min(w, window[1])
    split = "b (y h) (x w) (three n d) -> three (b y x) n (h w) d"
    lengths = dict(three=3, n=heads)
    q, k, v = rearrange(qkv, split, h=rows, w=columns, **lengths)
    by_row, by_column = _relative_logits(q, tables, rows, columns)
    features = [by_row[..., :rows], by_column[..., :columns]]
    positions = _one_hot_positions(rows, columns)
    if [rows, columns] != window:
        _, k_pad, v_pad = rearrange(padding, split, h=1, w=1, **lengths)
        k, v = windows.append_padding(k, k_pad), windows.append_padding(v, v_pad)
        features.append(_padding_logit(by_row, by_column, rows, columns)[..., None])
        positions = jax.scipy.linalg.block_diag(positions, jnp.ones((1, 1)))
    q = jnp.concatenate([q * q.shape[-1] ** -0.5, *features], axis=-1).astype(q.dtype)
    positions = jnp.broadcast_to(positions.astype(k.dtype), (*k.shape[:3], positions.shape[-1]))
    out = layers.attend(q, jnp.concatenate([k, positions], axis=-1), v)
    merge = "(b y x) n (h w) d -> b (y h) (x w) (n d)"
    return rearrange(out, merge, y=h // rows, x=w // columns, h=rows, w=columns)


def _relative_logits(
    q: Float[Array, "n heads t d"], tables: list[Float[Array, "_ d"]], rows: int, columns: int
) -> tuple[Float[Array, "n heads t y"], Float[Array, "n heads t x"]]:
    """Returns the logits of every query for the rows and columns of a whole window of keys.

    Decomposed relative position of MViTv2 (Li et al., 2022, equation 4).
    """
    grid = rearrange(q, "n a (h w) d -> n a h w d", h=rows)
    by_row, by_column = (
        jnp.einsum("nahwd,ld->nahwl", grid, table, preferred_element_type=jnp.float32)
        for table in tables
    )
    by_row = _shift_rows(by_row.swapaxes(2, 3)).swapaxes(2, 3)
    flat = "n a h w k -> n a (h w) k"
    return rearrange(by_row, flat), rearrange(_shift_rows(by_column), flat)


def _shift_rows(x: Float[Array, "*n i l"]) -> Float[Array, "*n i size"]:
    """Maps l = 2 size - 1 offsets to keys: row i takes columns size - 1 - i and following."""
    *lead, count, length = x.shape
    size = (length + 1) // 2
    if size == 1:
        return x
    # Rows laid end to end and cut one shorter: each begins one column earlier than the last.
    flat = jnp.pad(x.reshape(*lead, count * length), [(0, 0)] * len(lead) + [(0, size)])
    flat = flat[..., size - 1 : size - 1 + count * (length - 1)]
    return flat.reshape(*lead, count, length - 1)[..., :size]


def _one_hot_positions(rows: int, columns: int) -> Float[Array, "t positions"]:
    """Returns the row and column of every token of a window, one-hot."""
    by_row = jnp.repeat(jnp.eye(rows), columns, axis=0)
    by_column = jnp.tile(jnp.eye(columns), (rows, 1))
    return jnp.concatenate([by_row, by_column], axis=1)


def _padding_logit(
    by_row: jax.Array, by_column: jax.Array, rows: int, columns: int
) -> Float[Array, "n heads t"]:
    """Returns the log of the summed exponentials over all padded places, without their key."""
    logsumexp = jax.nn.logsumexp
    parts = []
    if rows < by_row.shape[-1]:  # Below the tokens, over the full width.
        parts.append(logsumexp(by_row[..., rows:], axis=-1) + logsumexp(by_column, axis=-1))
    if columns < by_column.shape[-1]:  # To their right.
        beside = logsumexp(by_column[..., columns:], axis=-1)
        parts.append(logsumexp(by_row[..., :rows], axis=-1) + beside)
    return functools.reduce(jnp.logaddexp, parts)
