"""AutoSAM's head: SAM's decoder without prompts, run once for each class.

Source: Hu, Xu and Shi, arXiv 2306.13731. Every class has its own output tokens: one for the IoU and
two for masks, of which the first is the class. Transformer, upscaling and hypernetworks are shared.
"""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from samjax.models.config import SamConfig
from samjax.models.mask_decoder import MaskDecoder
from samjax.models.prompt_encoder import PositionEncoding, PromptEmbeddings, cell_centres


class AutosamHead(nn.Module):
    """Maps image embeddings to the logits of classes, each by its own tokens."""

    group = "decoder"
    config: SamConfig

    def setup(self) -> None:
        self.decoder = MaskDecoder(self.config)
        nn.share_scope(self, self.decoder)
        self.pe_layer = PositionEncoding(self.config.prompt_dim)

    def __call__(self, embedding: Float[Array, "b g g c"]) -> Float[Array, "b k m m"]:
        """Returns low-resolution logits of all `k` classes, float32."""
        return self.with_scores(embedding)[0]

    def with_scores(
        self, embedding: Float[Array, "b g g c"]
    ) -> tuple[Float[Array, "b k m m"], Float[Array, "b k"]]:
        """Returns the logits, and the predicted IoU of every class (published: untrained)."""
        size = self.config.grid_size
        prompts = _nothing(len(embedding), self.config.token_sets, *embedding.shape[2:])
        encoding = self.pe_layer(cell_centres(size))
        logits, iou = self.decoder(embedding, encoding, prompts, multimask=False)
        return logits[:, :, 0], iou[:, :, 0]


def _nothing(b: int, k: int, g: int, c: int) -> PromptEmbeddings:
    """Returns embedded prompts without any token or addend, not even "no mask"."""
    return PromptEmbeddings(
        sparse=jnp.zeros((b, k, 0, c)),
        valid=jnp.zeros((b, k, 0), bool),
        coefficients=jnp.zeros((b, k, g, g, 0)),
        basis=jnp.zeros((0, c)),
    )
