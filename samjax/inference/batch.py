"""Prediction for batches of images with any prompts: three jitted pure functions and padding.

`encode`, `decode` and `restore` have static shapes and no hidden state. `segment` pads images and
prompts up to powers of two, so that they are compiled once per size class, never per prompt.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from samjax import masks, models, types
from samjax.data import inputs
from samjax.inference import jit_cache
from samjax.inference.decoder_weights import DecoderWeights, pack_weights, unpack_weights
from samjax.inference.image_arrays import ImageLike, to_uint8_array
from samjax.inference.input_checks import check_images, check_prompts, prefix_errors
from samjax.inference.object_prompt import ObjectPrompt, next_power_of_two, pack_prompts
from samjax.models.config import SamConfig
from samjax.models.directory import Model

FORMATS = ("RGB", "BGR")
MAX_OBJECTS = 64  # Objects decoded at once, to bound memory.
MAX_PIXELS = 2**26  # Pixels of their masks at once, likewise.


@functools.partial(jax.jit, static_argnames=("config", "adapters"))
def encode(
    config: SamConfig, params: types.Params, images: Float[Array, "b s s 3"], adapters: bool = True
) -> models.PreparedImages:
    """Computes the embeddings of normalised images, prepared for `decode` if that takes prompts."""
    embedding = models.encode_image(config, params, images, adapters)
    if not config.head.keeps_masks:
        return models.PreparedImages(embedding, [], [], [])
    return models.prepare_images(config, params, embedding)


@functools.partial(jax.jit, static_argnames=("config", "mask_prompt", "multimask", "best"))
def decode(
    config: SamConfig,
    weights: DecoderWeights,
    images: models.PreparedImages,
    image_of: Int[Array, " n"],
    prompts: types.Prompts,
    mask_prompt: str,
    multimask: bool = True,
    best: bool = False,
) -> tuple[Float[Array, "n o m m"], Float[Array, "n o"]]:
    """Predicts masks of objects, each in its image.

    Args:
        config: Architecture.
        weights: Parameters, packed by `pack_weights`.
        images: Result of `encode`.
        image_of: Row in `images` of each object's image.
        prompts: One object per row, shapes (n, 1, ...), in input pixels; masks as logits.
        mask_prompt: Form of the network's mask prompts (`Preprocessing.mask_prompt`).
        multimask: Whether to predict three masks for each object, or one.
        best: Return only the mask with the highest predicted IoU.

    Returns:
        Low-resolution logits and predicted IoU.
    """
    prompts = dataclasses.replace(prompts, mask=masks.mask_prompt(prompts.mask, mask_prompt))
    params, images = unpack_weights(weights), images.take(image_of)
    low_res, scores = models.predict_prepared(config, params, images, prompts, multimask)
    if best:
        low_res, scores = masks.select_best(low_res, scores)
    return low_res[:, 0], scores[:, 0]


@functools.partial(jax.jit, static_argnames=("size", "canvas", "return_logits"))
def restore(
    low_res: Float[Array, "n o m m"],
    placements: Int[Array, "n 6"],
    size: int,
    canvas: tuple[int, int],
    return_logits: bool = False,
) -> Array:
    """Brings masks back to their original images (`samjax.masks.restore_logits`), jitted.

    Returns:
        Boolean masks (n, c, *canvas), or their logits; valid in the first rows and columns.
    """
    logits = masks.restore_logits(low_res, placements, size, canvas)
    return logits if return_logits else logits > masks.THRESHOLD


@dataclasses.dataclass(frozen=True, eq=False)
class SegmentationResult:
    """Predicted masks of one image's `k` objects.

    Attributes:
        masks: (k, c, h, w) at the original size, bool, or float32 logits if requested; `c` is 3
            with multimask unless only the best is requested, else 1.
        scores: Predicted IoU of every mask, (k, c) float32.
        low_res: Low-resolution logits, (k, c, m, m) float32: mask prompts for the next call.
    """

    masks: np.ndarray
    scores: np.ndarray
    low_res: np.ndarray

    @property
    def best(self) -> np.ndarray:
        """Index of each object's mask with the highest predicted IoU, (k,)."""
        return self.scores.argmax(axis=1)


@dataclasses.dataclass(frozen=True, eq=False)
class ImageEmbeddings:
    """Image embeddings, with the parameters to decode them.

    Attributes:
        decoder: Parameters of prompt encoder and mask decoder.
        features: Result of `encode`; rows beyond the placements are padding.
        placements: Placement of each image in the network's input.
    """

    decoder: DecoderWeights
    features: models.PreparedImages
    placements: tuple[inputs.Placement, ...]


def segment(
    model: Model,
    images: Sequence[ImageLike],
    prompts: Sequence[Sequence[ObjectPrompt]],
    *,
    multimask: bool | None = None,
    best: bool = False,
    adapters: bool = True,
    image_format: str = "RGB",
    return_logits: bool = False,
) -> list[SegmentationResult]:
    """Segments objects in a batch of images of any size, with any prompts.

    Keep the parameters on the device (`jax.device_put`) if this is called often.

    Args:
        model: The model.
        images: uint8 images, (h, w) or (h, w, 3), or PIL images; all of them are encoded at once.
        prompts: For each image, its objects; an image may have none.
        multimask: Whether to predict three masks for each object, for ambiguous prompts such as a
            single click, or one. None: as the network was trained.
        best: Return only the mask with the highest predicted IoU.
        adapters: Whether the image encoder uses its adapters, if it has any.
        image_format: Channel order of the arrays, `RGB` or `BGR`.
        return_logits: Return logits at the original size instead of boolean masks.

    Returns:
        One result per image.

    Raises:
        ValueError: An image or a prompt has the wrong type, shape or values; the message names it.
            Or the model predicts classes without prompts.
    """
    embedded = embed_images(model, images, adapters=adapters, image_format=image_format)
    return segment_embedded(
        model,
        embedded,
        prompts,
        multimask=multimask,
        best=best,
        return_logits=return_logits,
    )


def embed_images(
    model: Model,
    images: Sequence[ImageLike],
    *,
    adapters: bool = True,
    image_format: str = "RGB",
) -> ImageEmbeddings:
    """Computes the embeddings of images: the first half of `segment`."""
    check_images(images)
    jit_cache.clear_if_large()
    size = model.config.image_size
    if image_format not in FORMATS:
        raise ValueError(f"image_format: expected one of {FORMATS}, found {image_format!r}")
    batch = np.zeros((next_power_of_two(len(images)), size, size, 3), np.float32)
    placements = []
    for row, image in enumerate(images):
        with prefix_errors(f"image {row}" if len(images) > 1 else ""):
            pixels = to_uint8_array(image, image_format)
            batch[row], placement = inputs.prepare_image(
                pixels, size, model.preprocessing, image_format.lower()
            )
        placements.append(placement)
    features = encode(model.config, model.params, jnp.asarray(batch), adapters)
    return ImageEmbeddings(pack_weights(model.params), features, tuple(placements))


def segment_embedded(
    model: Model,
    embedded: ImageEmbeddings,
    prompts: Sequence[Sequence[ObjectPrompt]],
    *,
    multimask: bool | None = None,
    best: bool = False,
    return_logits: bool = False,
) -> list[SegmentationResult]:
    """Predicts masks from embeddings: the second half of `segment`."""
    _check_head(model)
    check_prompts(prompts, embedded.placements, model.config.mask_size)
    multimask = model.preprocessing.multimask if multimask is None else multimask
    candidates = model.config.num_multimask if multimask and not best else 1
    m, dtype = model.config.mask_size, np.float32 if return_logits else bool
    results = [
        SegmentationResult(
            masks=np.empty((len(objects), candidates, placement.height, placement.width), dtype),
            scores=np.empty((len(objects), candidates), np.float32),
            low_res=np.empty((len(objects), candidates, m, m), np.float32),
        )
        for objects, placement in zip(prompts, embedded.placements, strict=True)
    ]
    for rows, canvas in _chunks(prompts, embedded.placements, candidates):
        placements, low_res, scores = _decode_rows(model, embedded, prompts, rows, multimask, best)
        restored = restore(low_res, placements, model.config.image_size, canvas, return_logits)
        arrays = [np.asarray(x) for x in (restored, scores, low_res)]
        for (image, index), logits_or_mask, score, low in zip(rows, *arrays, strict=False):
            height, width = results[image].masks.shape[2:]
            results[image].masks[index] = logits_or_mask[:, :height, :width]
            results[image].scores[index] = score
            results[image].low_res[index] = low
    return results


def iter_masks(
    model: Model,
    embedded: ImageEmbeddings,
    prompts: Sequence[ObjectPrompt],
    *,
    multimask: bool | None = None,
    all_masks: bool = False,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Predicts masks of one image in bounded memory, a few objects at a time.

    Args:
        model: The model.
        embedded: Embedding of the image.
        prompts: Objects in it.
        multimask: Whether to predict three masks for each object, or one. None: as the network was
            trained.
        all_masks: Yield all masks of an object, not only the one with the highest predicted IoU.

    Returns:
        An iterator over each object's masks, (c, h, w) bool, and predicted IoU of all its
        candidates, (3,) or (1,) float32.

    Raises:
        ValueError: A prompt has the wrong type, shape or values.
    """
    _check_head(model)
    check_prompts([prompts], embedded.placements, model.config.mask_size)
    multimask = model.preprocessing.multimask if multimask is None else multimask
    return _iter_masks(model, embedded, prompts, multimask, all_masks)


def _check_head(model: Model) -> None:
    if not model.config.head.keeps_masks:
        raise ValueError(
            f"prompts: expected none, as this model (model.head.kind={model.config.head.kind}) "
            "gives every pixel a class; call predict_classes"
        )


def _iter_masks(
    model: Model,
    embedded: ImageEmbeddings,
    prompts: Sequence[ObjectPrompt],
    multimask: bool,
    all_masks: bool,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    candidates = model.config.num_multimask if multimask and all_masks else 1
    (placement,) = embedded.placements
    for rows, canvas in _chunks([prompts], embedded.placements, candidates):
        placements, low_res, scores = _decode_rows(
            model, embedded, [prompts], rows, multimask, False
        )
        if not all_masks:
            low_res, _ = masks.select_best(low_res[:, None], scores[:, None])
            low_res = low_res[:, 0]
        restored = np.asarray(restore(low_res, placements, model.config.image_size, canvas))
        for _, restored_masks, score in zip(rows, restored, np.asarray(scores), strict=False):
            yield restored_masks[:, : placement.height, : placement.width], score


def _decode_rows(
    model: Model,
    embedded: ImageEmbeddings,
    prompts: Sequence[Sequence[ObjectPrompt]],
    rows: list[tuple[int, int]],
    multimask: bool,
    best: bool,
) -> tuple[np.ndarray, jax.Array, jax.Array]:
    """Returns placements, low-resolution logits and scores, padded to a power of two of objects."""
    objects = [prompts[image][index] for image, index in rows]
    placements = [embedded.placements[image] for image, _ in rows]
    packed = pack_prompts(objects, placements, model.config.mask_size)
    padded = rows + rows[:1] * (len(packed.points) - len(rows))
    image_of = np.array([image for image, _ in padded], np.int32)
    stacked = np.stack([embedded.placements[image].as_array() for image, _ in padded])
    low_res, scores = decode(
        model.config,
        embedded.decoder,
        embedded.features,
        image_of,
        packed,
        model.preprocessing.mask_prompt,
        multimask,
        best,
    )
    return stacked, low_res, scores


def _chunks(
    prompts: Sequence[Sequence[ObjectPrompt]],
    placements: Sequence[inputs.Placement],
    candidates: int,
) -> Iterator[tuple[list[tuple[int, int]], tuple[int, int]]]:
    """Yields objects to decode at once, as (image, object) indices, and their canvas."""

    def canvas(row: tuple[int, int]) -> tuple[int, int]:
        return masks.canvas_size(placements[row[0]].height, placements[row[0]].width)

    rows = [(image, i) for image, objects in enumerate(prompts) for i in range(len(objects))]
    for shape, group in itertools.groupby(rows, canvas):
        # The largest power of two of objects within the budget.
        room = next_power_of_two(max(MAX_PIXELS // (candidates * math.prod(shape)), 1) + 1) // 2
        chunk, alike = min(room, MAX_OBJECTS), list(group)
        for start in range(0, len(alike), chunk):
            yield alike[start : start + chunk], shape
