"""Prediction of classes without prompts: three jitted pure functions, as in `batch`."""

import functools

import jax
from jaxtyping import Array, Float, Int, UInt8

from samjax import masks, models
from samjax.models.config import SamConfig
from samjax.types import Params


@functools.partial(jax.jit, static_argnames=("config", "adapters"))
def encode(
    config: SamConfig, params: Params, images: Float[Array, "b s s 3"], adapters: bool = True
) -> Float[Array, "b g g c"]:
    """Computes the embeddings of normalised images."""
    return models.encode_image(config, params, images, adapters)


@functools.partial(jax.jit, static_argnames=("config",))
def decode(
    config: SamConfig, params: Params, embedding: Float[Array, "b g g c"]
) -> Float[Array, "b k m m"]:
    """Predicts low-resolution logits of all classes, see `samjax.models.predict_classes`."""
    return models.predict_classes(config, params, embedding)


@functools.partial(jax.jit, static_argnames=("size", "canvas"))
def restore(
    logits: Float[Array, "k m m"], placement: Int[Array, " 6"], size: int, canvas: tuple[int, int]
) -> UInt8[Array, "h w"]:
    """Returns the class of every pixel of an original image (`samjax.masks.class_map`), jitted."""
    return masks.class_map(logits, placement, size, canvas)
