"""Attention of SAM's mask decoder, with LoRA on its projections if the network has it there."""

import jax
import jax.numpy as jnp
from einops import rearrange
from flax import linen as nn
from jax.typing import DTypeLike

from samjax.models import layers
from samjax.models.config import SamConfig
from samjax.models.peft import PeftConfig
from samjax.models.peft.config import PROJECTIONS
from samjax.models.peft.lora import LoraLinear


class Attention(nn.Module):
    """Multi-head attention whose inner width may be smaller than the outer one.

    Attributes:
        features: Width of input and output.
        width: Inner width, of all heads together.
        heads: Number of heads.
        peft: LoRA of the projections, if `decoder` is set.
        dtype: Compute type.
        cut: Axis of the kernels of queries, keys and values along which devices may share them.
    """

    features: int
    width: int
    heads: int
    peft: PeftConfig
    dtype: DTypeLike
    cut: int = -1

    def setup(self) -> None:
        rank, scale = self.peft.rank, self.peft.scale
        self.q_proj, self.k_proj, self.v_proj = (
            LoraLinear(self.width, self.dtype, cut=self.cut, rank=rank, scale=scale)
            if self.peft.decoder and name in self.peft.targets
            else layers.Linear(self.width, self.dtype, cut=self.cut)
            for name in PROJECTIONS
        )
        self.out_proj = layers.Linear(self.features, self.dtype)

    def __call__(
        self, q: jax.Array, k: jax.Array, v: jax.Array, bias: jax.Array | None = None
    ) -> jax.Array:
        """Attends from `q` (n, t, c) to `k`, `v` (n, u, c); `bias` is added to the scores."""
        return self.attend(self.q_proj(q), self.k_proj(k), self.v_proj(v), bias)

    def attend(
        self, q: jax.Array, k: jax.Array, v: jax.Array, bias: jax.Array | None = None
    ) -> jax.Array:
        """Attends with queries, keys and values that are already projected to `width`."""
        q, k, v = (rearrange(x, "n t (a d) -> n a t d", a=self.heads) for x in (q, k, v))
        out = layers.attend(q * q.shape[-1] ** -0.5, k, v, bias)
        return self.out_proj(rearrange(out, "n a t d -> n t (a d)"))


def of_tokens(cfg: SamConfig) -> Attention:
    """Makes attention among tokens, at the full width."""
    dim = cfg.prompt_dim
    return Attention(dim, dim, cfg.decoder_heads, cfg.peft, jnp.dtype(cfg.dtype))


def cross(cfg: SamConfig) -> Attention:
    """Makes attention between tokens and image, at half the width.

    If devices shared its kernels by their outputs, XLA would spread the heads over them, and send
    activations of the image, many times as large. They share them by their inputs.
    """
    dim = cfg.prompt_dim
    return Attention(dim, dim // 2, cfg.decoder_heads, cfg.peft, jnp.dtype(cfg.dtype), cut=-2)
