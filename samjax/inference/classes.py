"""Prediction of the class of every pixel, without prompts, from the embeddings of `batch`."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from samjax import masks, models
from samjax.inference.batch import ImageEmbeddings
from samjax.inference.decoder_weights import DecoderWeights, unpack_weights
from samjax.models.config import SamConfig
from samjax.models.directory import Model


class ClassPrediction(NamedTuple):
    """Predicted classes of one image.

    Attributes:
        class_map: Label of every pixel, (h, w) uint8: 0 for the background, `i` for
            `Model.classes[i - 1]`.
        probabilities: Probabilities of all `k` classes, (k, h, w) float32, the background first;
            None unless requested.
        low_res: Low-resolution logits of all classes, (k, m, m) float32.
    """

    class_map: np.ndarray
    probabilities: np.ndarray | None
    low_res: np.ndarray


def predict_embedded(
    model: Model, embedded: ImageEmbeddings, return_probabilities: bool = False
) -> list[ClassPrediction]:
    """Predicts the classes of images from their embeddings.

    Args:
        model: The model, with a semantic head.
        embedded: Result of `samjax.inference.batch.embed_images`.
        return_probabilities: Whether to return the probabilities of all classes, too.

    Raises:
        ValueError: The model predicts masks from prompts.
    """
    logits = decode(
        model.config,
        embedded.decoder,
        embedded.features.embedding,
        model.preprocessing.multimask,
        model.preprocessing.supports_points,
    )
    found = []
    for low_res, at in zip(logits, embedded.placements, strict=False):
        canvas = masks.canvas_size(at.height, at.width)
        where = jnp.asarray(at.as_array()), model.config.image_size, canvas
        class_map = np.asarray(restore(low_res, *where))[: at.height, : at.width]
        probable = None
        if return_probabilities:
            probable = np.asarray(probabilities(low_res, *where))[:, : at.height, : at.width]
        found.append(ClassPrediction(class_map, probable, np.asarray(low_res)))
    return found


@functools.partial(jax.jit, static_argnames=("config", "multimask", "points"))
def decode(
    config: SamConfig,
    weights: DecoderWeights,
    embedding: Float[Array, "b g g c"],
    multimask: bool = True,
    points: bool = True,
) -> Float[Array, "b k m m"]:
    """Predicts low-resolution logits of all classes, see `samjax.models.predict_classes`."""
    return models.predict_classes(config, unpack_weights(weights), embedding, multimask, points)


@functools.partial(jax.jit, static_argnames=("size", "canvas"))
def restore(
    logits: Float[Array, "k m m"], placement: Int[Array, " 6"], size: int, canvas: tuple[int, int]
) -> UInt8[Array, "h w"]:
    """Returns the class of every pixel of an original image (`samjax.masks.class_map`), jitted."""
    return masks.class_map(logits, placement, size, canvas)


@functools.partial(jax.jit, static_argnames=("size", "canvas"))
def probabilities(
    logits: Float[Array, "k m m"], placement: Int[Array, " 6"], size: int, canvas: tuple[int, int]
) -> Float[Array, "k h w"]:
    """Returns the soft-max of the logits in every pixel of an original image, jitted."""
    restored = masks.restore_logits(logits[None], placement[None], size, canvas)[0]
    return jax.nn.softmax(restored, axis=0)
