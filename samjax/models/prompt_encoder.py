"""SAM's prompt encoder: one padded structure for every combination of prompts.

Source: Kirillov et al. (2023), appendix A. A point prompt without a box is followed by one
"not a point" token, a box is two corner tokens, no mask is a learned constant.
"""

from typing import Any

import jax
import jax.numpy as jnp
from einops import rearrange
from flax import linen as nn
from flax import struct
from jaxtyping import Array, Bool, Float

from samjax import types
from samjax.models import declare, layers
from samjax.models.config import SamConfig


@struct.dataclass
class PromptEmbeddings:
    """Embedded prompts, as the decoder takes them.

    Attributes:
        sparse: One token per point, one for SAM's padding point, two for the box's corners.
        valid: Whether each token is present; absent ones are masked out of attention.
        coefficients: Weights of the vectors `basis` in the dense embedding, for every cell.
        basis: Vectors that the decoder can project once, whatever the prompts.
    """

    sparse: Float[Array, "b k t c"]
    valid: Bool[Array, "b k t"]
    coefficients: Float[Array, "b k g g r"]
    basis: Float[Array, "r c"]

    @property
    def dense(self) -> Float[Array, "b k g g c"]:
        """Dense embedding, which is added to the image embedding."""
        return layers.product(self.coefficients, self.basis)


class PromptEncoder(nn.Module):
    """Embeds points, boxes and masks as sparse tokens and a dense map."""

    group = "masks"
    config: SamConfig

    def setup(self) -> None:
        cfg = self.config
        dtype = jnp.dtype(cfg.dtype)
        self.pe_layer = PositionEncoding(cfg.prompt_dim)

        def vector(name: str, group: declare.GroupName) -> Any:
            return declare.parameter(self, name, (1, cfg.prompt_dim), std=1.0, group=group)

        # Background, foreground, upper left corner, lower right corner.
        kinds: tuple[declare.GroupName, ...] = ("points", "points", "boxes", "boxes")
        self.point_embeddings = [vector(f"point_embeddings_{i}", kinds[i]) for i in range(4)]
        self.not_a_point_embed = vector("not_a_point_embed", "points")
        self.no_mask_embed = vector("no_mask_embed", "no_mask")
        self.mask_downscaling_0 = layers.PatchConv(cfg.mask_in_chans // 4, 2, dtype)
        self.mask_downscaling_1 = layers.LayerNorm(1e-6)
        self.mask_downscaling_3 = layers.PatchConv(cfg.mask_in_chans, 2, dtype)
        self.mask_downscaling_4 = layers.LayerNorm(1e-6)
        self.mask_downscaling_6 = layers.PatchConv(cfg.prompt_dim, 1, dtype)

    def __call__(self, prompts: types.Prompts) -> PromptEmbeddings:
        """Embeds prompts; see `samjax.types.Prompts`."""
        points, points_valid = self._points(prompts)
        corners = self._corners(prompts.boxes)
        corners_valid = jnp.repeat(prompts.has_box[..., None], 2, axis=-1)
        return PromptEmbeddings(
            sparse=jnp.concatenate([points, corners], axis=-2),
            valid=jnp.concatenate([points_valid, corners_valid], axis=-1),
            coefficients=self._coefficients(prompts.mask, prompts.has_mask),
            basis=self.basis(),
        )

    def basis(self) -> Float[Array, "r c"]:
        """Returns the vectors of dense embeddings: a mask's channels, their bias, and "no mask"."""
        kernel, bias = self.mask_downscaling_6.weights(self.config.mask_in_chans)
        rows = [kernel, bias, self.no_mask_embed.astype(kernel.dtype)]
        return jnp.concatenate(
            [row.reshape(-1, kernel.shape[-1]) for row in rows if row is not None]
        )

    def grid_encoding(self) -> Float[Array, "g g c"]:
        """Returns the position encoding of the image embedding's cells."""
        return self.pe_layer(cell_centres(self.config.grid_size))

    def _points(self, prompts: types.Prompts) -> tuple[jax.Array, jax.Array]:
        """Embeds points and SAM's padding point: (b, k, p + 1, c), (b, k, p + 1)."""
        labels = prompts.labels
        present = labels != types.PADDING
        # SAM appends its padding point where points come without a box.
        pad_present = present.any(-1, keepdims=True) & ~prompts.has_box[..., None]
        pad_label = jnp.full_like(labels[..., :1], types.NOT_A_POINT)
        labels = jnp.concatenate([labels, pad_label], axis=-1)[..., None]
        points = jnp.concatenate([prompts.points, prompts.points[..., :1, :]], axis=-2)
        background, foreground = self.point_embeddings[:2]
        position = self._position(points)
        embedded = jnp.where(labels == types.FOREGROUND, position + foreground, position)
        embedded = jnp.where(labels == types.BACKGROUND, position + background, embedded)
        embedded = jnp.where(labels == types.NOT_A_POINT, self.not_a_point_embed, embedded)
        return embedded, jnp.concatenate([present, pad_present], axis=-1)

    def _corners(self, boxes: Float[Array, "b k 4"]) -> Float[Array, "b k 2 c"]:
        corners = rearrange(boxes, "b k (corner xy) -> b k corner xy", xy=2)
        return self._position(corners) + jnp.concatenate(self.point_embeddings[2:])

    def _position(self, coords: Float[Array, "*n 2"]) -> Float[Array, "*n c"]:
        """Encodes pixel coordinates, taken at pixel centres."""
        return self.pe_layer((coords + 0.5) / self.config.image_size)

    def _coefficients(self, mask: jax.Array, present: jax.Array) -> Float[Array, "b k g g r"]:
        b, k, m, _ = mask.shape
        x = mask.reshape(b * k, m, m, 1)
        x = layers.gelu(self.mask_downscaling_1(self.mask_downscaling_0(x)))
        x = layers.gelu(self.mask_downscaling_4(self.mask_downscaling_3(x)))
        x = rearrange(x, "(b k) g h c -> b k g h c", b=b)
        of_mask = jnp.concatenate([x, jnp.ones_like(x[..., :1]), jnp.zeros_like(x[..., :1])], -1)
        absent = jnp.zeros(x.shape[-1] + 2, x.dtype).at[-1].set(1)
        return jnp.where(present[..., None, None, None], of_mask, absent)


class PositionEncoding(nn.Module):
    """Random Fourier features of coordinates; the frequencies are a constant, never trained."""

    features: int

    @nn.compact
    def __call__(self, coords: Float[Array, "*n 2"]) -> Float[Array, "*n c"]:
        """Encodes coordinates (x, y) in 0..1, in float32 whatever the compute type."""
        name, shape = "positional_encoding_gaussian_matrix", (2, self.features // 2)
        frequencies = declare.parameter(self, name, shape, std=1.0, group="constant")
        frequencies = jax.lax.stop_gradient(frequencies)
        angles = jnp.matmul(2 * coords - 1, frequencies, precision=jax.lax.Precision.HIGHEST)
        angles = 2 * jnp.pi * angles
        return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


def cell_centres(grid_size: int) -> Float[Array, "g g 2"]:
    """Returns the centres (x, y) of the image embedding's cells, in 0..1."""
    centres = (jnp.arange(grid_size) + 0.5) / grid_size
    return jnp.stack(jnp.meshgrid(centres, centres), axis=-1)
