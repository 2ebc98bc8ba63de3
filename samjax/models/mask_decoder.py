"""SAM's mask decoder: a two-way transformer between prompt tokens and the image.

Source: Kirillov et al. (2023), appendix A. Tokens are one for the predicted IoU, one for each
mask, then the prompt's; absent prompt tokens are masked out of every attention over tokens.

The part that depends on the image alone is computed once for all prompts: see `PreparedImages`.
"""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from einops import rearrange
from flax import linen as nn
from flax import struct
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from samjax.models import declare, decoder_attention, layers
from samjax.models.config import SamConfig
from samjax.models.prompt_encoder import PromptEmbeddings


@struct.dataclass
class PreparedImages:
    """The decoder's intermediate results that depend on the images alone, not on prompts.

    The first layer projects the sum of image embedding and dense prompt embedding. The latter is
    a weighted sum of a few vectors, `PromptEmbeddings.basis`. So the projections of image and
    vectors are computed here, and only their sum depends on the prompts.

    Attributes:
        embedding: Image embeddings.
        projected: The first layer's keys, queries and values of them, with position encoding and
            biases.
        basis: Products of `PromptEmbeddings.basis` with the same kernels.
        offsets: Contributions of position encoding and biases to the projections of each later
            layer.
    """

    embedding: Float[Array, "b g g c"]
    projected: list[Float[Array, "b i w"]]
    basis: list[Float[Array, "r w"]]
    offsets: list[list[Float[Array, "#i w"]]]

    def take(self, images: Int[Array, " n"]) -> "PreparedImages":
        """Returns the rows `images`: for each of `n` objects, those of its image."""
        projected = [x[images] for x in self.projected]
        return dataclasses.replace(self, embedding=self.embedding[images], projected=projected)


class MaskDecoder(nn.Module):
    """Maps image and prompt embeddings to low-resolution logits and predicted IoU."""

    group = "decoder"
    config: SamConfig

    def setup(self) -> None:
        cfg = self.config
        dtype, dim = jnp.dtype(cfg.dtype), cfg.prompt_dim
        masks, sets = cfg.mask_tokens, cfg.token_sets
        self.iou_token = declare.parameter(self, "iou_token", (sets, dim), std=1.0)
        self.mask_tokens = declare.parameter(self, "mask_tokens", (sets * masks, dim), std=1.0)
        self.transformer = TwoWayTransformer(cfg)
        self.upscaling = Upscaling(dim, dtype)
        nn.share_scope(self, self.upscaling)
        self.output_hypernetworks_mlps = [
            layers.MLP((dim, dim, dim // 8), dtype) for _ in range(masks)
        ]
        hidden = cfg.iou_head_hidden_dim
        # The IoU head decides between masks: a tiny network, in float32 always.
        self.iou_prediction_head = layers.MLP((hidden, hidden, masks), jnp.float32)

    def __call__(
        self,
        embedding: Float[Array, "b g g c"],
        grid_encoding: Float[Array, "g g c"],
        prompts: PromptEmbeddings,
        multimask: bool,
    ) -> tuple[Float[Array, "b k o m m"], Float[Array, "b k o"]]:
        """Prepares images and decodes masks; arguments as of `prepare` and `decode`."""
        prepared = self.prepare(embedding, grid_encoding, prompts.basis)
        return self.decode(prepared, prompts, multimask)

    def prepare(
        self,
        embedding: Float[Array, "b g g c"],
        grid_encoding: Float[Array, "g g c"],
        basis: Float[Array, "r c"],
    ) -> PreparedImages:
        """Computes the part that depends on images alone.

        Args:
            embedding: Image embeddings.
            grid_encoding: Position encoding of their cells.
            basis: `PromptEmbeddings.basis`.
        """
        dtype = jnp.dtype(self.config.dtype)
        embedding = embedding.astype(dtype)
        cells = rearrange(embedding, "b g h c -> b (g h) c")
        encoding = rearrange(grid_encoding.astype(dtype), "g h c -> (g h) c")
        first, *later = self.transformer.image_projections()
        return PreparedImages(
            embedding=embedding,
            projected=first.project(cells, first.offsets(encoding)),
            basis=first.products(basis),
            offsets=[x.offsets(encoding) for x in later],
        )

    def decode(
        self, prepared: PreparedImages, prompts: PromptEmbeddings, multimask: bool
    ) -> tuple[Float[Array, "b k o m m"], Float[Array, "b k o"]]:
        """Predicts masks for `k` objects in each image.

        Args:
            prepared: Result of `prepare`.
            prompts: Embedded prompts.
            multimask: Whether to predict `num_multimask` masks, for an ambiguous prompt, or one.
                A `semantic` head predicts all its masks, whatever it is.

        Returns:
            Low-resolution logits and predicted IoU of every mask, float32.
        """
        b, k = prompts.sparse.shape[:2]
        dtype, dim = jnp.dtype(self.config.dtype), self.config.prompt_dim
        image = prepared.embedding[:, None] + prompts.dense
        dense = rearrange(prompts.coefficients, "b k g h r -> b k (g h) r")
        projected = [
            rearrange(x[:, None] + layers.product(dense, basis), "b k i w -> (b k) i w")
            for x, basis in zip(prepared.projected, prepared.basis, strict=True)
        ]
        output = jnp.broadcast_to(self._output_tokens(), (b, k, 1 + self.config.mask_tokens, dim))
        tokens = jnp.concatenate([output, prompts.sparse], axis=2).astype(dtype)
        present = jnp.concatenate([jnp.ones(output.shape[:3], bool), prompts.valid], axis=2)
        tokens, image = self.transformer(
            rearrange(tokens, "b k t c -> (b k) t c"),
            rearrange(present, "b k t -> (b k) t"),
            rearrange(image, "b k g h c -> (b k) (g h) c"),
            projected,
            prepared.offsets,
        )
        first, last = (1, self.config.mask_tokens) if multimask else (0, 1)
        if self.config.head.kind == "semantic":
            first, last = 0, self.config.mask_tokens
        logits = self._masks(tokens[:, 1:], image, range(first, last))
        iou = self.iou_prediction_head(tokens[:, 0])[:, first:last]
        return rearrange(logits, "(b k) o h w -> b k o h w", b=b), iou.reshape(b, k, -1)

    def _output_tokens(self) -> Float[Array, "*k t c"]:
        """Returns IoU and mask tokens; with several sets of them, one for each object."""
        if self.config.token_sets == 1:
            return jnp.concatenate([self.iou_token, self.mask_tokens])
        masks = rearrange(self.mask_tokens, "(k m) c -> k m c", m=self.config.mask_tokens)
        return jnp.concatenate([self.iou_token[:, None], masks], axis=1)

    def _masks(self, tokens: jax.Array, image: jax.Array, indexes: range) -> jax.Array:
        """Returns dot products of the selected mask tokens' weights with the upscaled image."""
        x = rearrange(image, "n (g h) c -> n g h c", g=self.config.grid_size)
        x = self.upscaling(x)
        weights = [self.output_hypernetworks_mlps[i](tokens[:, i]) for i in indexes]
        if self.is_initializing():  # The others declare their parameters, too.
            for mlp in self.output_hypernetworks_mlps:
                mlp(tokens[:, 0])
        masks = jnp.einsum(
            "nhwc,nco->nhwo", x, jnp.stack(weights, axis=-1), preferred_element_type=jnp.float32
        )
        return jnp.moveaxis(masks, -1, 1)


class Upscaling(nn.Module):
    """Upscales an image embedding four times; its layers are named as in SAM's decoder."""

    features: int
    dtype: DTypeLike

    def setup(self) -> None:
        self.output_upscaling_0 = layers.ConvTranspose2x2(self.features // 4, self.dtype)
        self.output_upscaling_1 = layers.LayerNorm(1e-6)
        self.output_upscaling_3 = layers.ConvTranspose2x2(self.features // 8, self.dtype)

    def __call__(self, x: Float[Array, "n g g c"]) -> Float[Array, "n m m o"]:
        x = layers.gelu(self.output_upscaling_1(self.output_upscaling_0(x)))
        return layers.gelu(self.output_upscaling_3(x))


class TwoWayTransformer(nn.Module):
    """Transformer layers in which tokens attend to the image and the image to the tokens."""

    config: SamConfig

    def setup(self) -> None:
        cfg = self.config
        self.layers = [TwoWayAttentionBlock(cfg, first=i == 0) for i in range(cfg.decoder_depth)]
        self.final_attn_token_to_image = decoder_attention.cross(cfg)
        self.norm_final_attn = layers.LayerNorm(1e-5)

    def __call__(
        self,
        tokens: Float[Array, "n t c"],
        present: Bool[Array, "n t"],
        image: Float[Array, "n i c"],
        projected: Sequence[Float[Array, "n i w"]],
        offsets: Sequence[Sequence[Float[Array, "#i w"]]],
    ) -> tuple[Float[Array, "n t c"], Float[Array, "n i c"]]:
        """Returns tokens and image after all layers.

        Args:
            tokens: Tokens, which also are their own position encodings.
            present: False masks absent tokens out.
            image: Cells of the image.
            projected: The first layer's projections of them.
            offsets: Addends of the later layers' projections, see `PreparedImages`.
        """
        token_pe = tokens
        bias = jnp.where(present, 0.0, -jnp.inf)[:, None, None, :]
        _, *later = self.image_projections()
        for layer, following, offset in zip(self.layers, later, offsets, strict=True):
            tokens, image = layer(tokens, token_pe, bias, image, projected)
            projected = following.project(image, offset)
        final = self.final_attn_token_to_image
        update = final.attend(final.q_proj(tokens + token_pe), *projected)
        return self.norm_final_attn(tokens + update), image

    def image_projections(self) -> list["ImageProjections"]:
        """Returns the projections of the image in every layer and in the final attention."""
        final = self.final_attn_token_to_image
        last = ImageProjections([final.k_proj], final.v_proj)
        return [*(layer.image_projections() for layer in self.layers), last]


class TwoWayAttentionBlock(nn.Module):
    """Transformer layer: self-attention of tokens, tokens to image, MLP, image to tokens."""

    config: SamConfig
    first: bool

    def setup(self) -> None:
        cfg = self.config
        dtype = jnp.dtype(cfg.dtype)
        self.self_attn = decoder_attention.of_tokens(cfg)
        self.norm1 = layers.LayerNorm(1e-5)
        self.cross_attn_token_to_image = decoder_attention.cross(cfg)
        self.norm2 = layers.LayerNorm(1e-5)
        self.mlp = layers.TransformerMLP(cfg.decoder_mlp_dim, jax.nn.relu, dtype)
        self.norm3 = layers.LayerNorm(1e-5)
        self.cross_attn_image_to_token = decoder_attention.cross(cfg)
        self.norm4 = layers.LayerNorm(1e-5)

    def __call__(
        self,
        tokens: jax.Array,
        token_pe: jax.Array,
        bias: jax.Array,
        image: jax.Array,
        projected: Sequence[jax.Array],
    ) -> tuple[jax.Array, jax.Array]:
        tokens = self.norm1(self._attend_tokens(tokens, token_pe, bias))
        to_image, to_token = self.cross_attn_token_to_image, self.cross_attn_image_to_token
        k, q, v = projected
        update = to_image.attend(to_image.q_proj(tokens + token_pe), k, v)
        tokens = self.norm2(tokens + update)
        tokens = self.norm3(tokens + self.mlp(tokens))
        token_k = to_token.k_proj(tokens + token_pe)
        update = to_token.attend(q, token_k, to_token.v_proj(tokens), bias)
        return tokens, self.norm4(image + update)

    def _attend_tokens(self, tokens: jax.Array, token_pe: jax.Array, bias: jax.Array) -> jax.Array:
        """Returns the tokens after self-attention, with its shortcut (see `SamConfig.two_way`)."""
        if self.config.two_way == "efficient_sam":
            # The encoding stays in the tokens; the first layer has a shortcut, too.
            tokens = tokens if self.first else tokens + token_pe
            return tokens + self.self_attn(tokens, tokens, tokens, bias)
        q = tokens if self.first else tokens + token_pe  # The first are their own encoding.
        update = self.self_attn(q, q, tokens, bias)
        return update if self.first else tokens + update

    def image_projections(self) -> "ImageProjections":
        """Returns the projections of the image: keys and values for tokens, queries to them."""
        to_image, to_token = self.cross_attn_token_to_image, self.cross_attn_image_to_token
        return ImageProjections([to_image.k_proj, to_token.q_proj], to_image.v_proj)


@dataclasses.dataclass(frozen=True)
class ImageProjections:
    """Linear maps of the image: `positional` of it with position encoding, `plain` without."""

    positional: list[layers.Linear]
    plain: layers.Linear

    def project(
        self, image: Float[Array, "n i c"], offsets: Sequence[Float[Array, "#i w"]]
    ) -> list[Float[Array, "n i w"]]:
        """Projects images; `offsets` is the result of the method of that name."""
        return [x + offset for x, offset in zip(self.products(image), offsets, strict=True)]

    def products(self, image: Float[Array, "*n c"]) -> list[Float[Array, "*n w"]]:
        """Returns the products of the image with all kernels."""
        return layers.product_of_all(image, [*self.positional, self.plain])

    def offsets(self, encoding: Float[Array, "i c"]) -> list[Float[Array, "#i w"]]:
        """Returns the addends of `products` that position encoding and biases give."""
        zeros = jnp.zeros_like(encoding[:1])
        return [*(x(encoding) for x in self.positional), self.plain(zeros)]
