"""Masks for many images with any prompts: three jitted pure functions and their padding.

`encode`, `decode` and `restore` have static shapes and no hidden state. `segment` pads images and
prompts up to powers of two, so that they are compiled once per size class, never per prompt.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from samjax import masks, models, types
from samjax.data import inputs
from samjax.inference.objects import ObjectPrompt, bucket, pack
from samjax.models.config import SamConfig
from samjax.pretrained import Pretrained

FORMATS = ("RGB", "BGR")
MAX_OBJECTS = 64  # Objects decoded at once; more are done in turn, to bound memory.
MAX_PIXELS = 2**26  # Mask pixels restored at once, likewise.


@functools.partial(jax.jit, static_argnames=("config", "adapters"))
def encode(
    config: SamConfig, params: types.Params, images: Float[Array, "b s s 3"], adapters: bool = True
) -> Float[Array, "b g g c"]:
    """Embeds normalised images; `samjax.models.encode_image`, jitted."""
    return models.encode_image(config, params, images, adapters)


@functools.partial(jax.jit, static_argnames=("config", "mask_prompt", "multimask"))
def decode(
    config: SamConfig,
    params: types.Params,
    embeddings: Float[Array, "b g g c"],
    image_of: Int[Array, " n"],
    prompts: types.Prompts,
    mask_prompt: str,
    multimask: bool = True,
) -> tuple[Float[Array, "n o m m"], Float[Array, "n o"]]:
    """Predicts masks of objects, each in the image that `image_of` names.

    Args:
        config: Architecture.
        params: Parameters; `prompt_encoder` and `mask_decoder` are enough.
        embeddings: Result of `encode`.
        image_of: Row of `embeddings` to which each object belongs.
        prompts: One object per row, shapes (n, 1, ...), in input pixels; masks as logits.
        mask_prompt: What the network takes as a mask prompt (`InputConfig.mask_prompt`).
        multimask: Three masks for each object, or one.

    Returns:
        Low-resolution logits and predicted IoU.
    """
    prompts = dataclasses.replace(prompts, mask=masks.mask_prompt(prompts.mask, mask_prompt))
    embeddings = jnp.take(embeddings, image_of, axis=0)
    low_res, scores = models.predict_masks(config, params, embeddings, prompts, multimask)
    return low_res[:, 0], scores[:, 0]


@functools.partial(jax.jit, static_argnames=("size", "canvas", "return_logits"))
def restore(
    low_res: Float[Array, "n o m m"],
    placements: Int[Array, "n 6"],
    size: int,
    canvas: int,
    return_logits: bool = False,
) -> Array:
    """Brings masks back to their original images (`samjax.masks.restore_logits`), jitted.

    Returns:
        Boolean masks (n, c, canvas, canvas), or their logits; valid in the first rows and columns.
    """
    logits = masks.restore_logits(low_res, placements, size, canvas)
    return logits if return_logits else logits > masks.THRESHOLD


@dataclasses.dataclass(frozen=True, eq=False)
class Segmentation:
    """The masks of one image's `k` objects.

    Attributes:
        masks: (k, c, h, w) at the original size, bool, or float32 logits where asked for; `c` is
            3 with multimask, else 1.
        scores: Predicted IoU of every mask, (k, c) float32.
        low_res: Low-resolution logits, (k, c, m, m) float32: mask prompts for the next call.
    """

    masks: np.ndarray
    scores: np.ndarray
    low_res: np.ndarray

    @property
    def best(self) -> np.ndarray:
        """Index of each object's mask of highest predicted IoU, (k,)."""
        return self.scores.argmax(axis=1)


@dataclasses.dataclass(frozen=True, eq=False)
class EmbeddedImages:
    """Images that have been through the encoder.

    Attributes:
        features: Embeddings, (b, g, g, c); rows beyond the placements are padding.
        placements: Where each image lies in the network's input.
    """

    features: jax.Array
    placements: tuple[inputs.Placement, ...]


def segment(
    pretrained: Pretrained,
    images: Sequence[np.ndarray],
    prompts: Sequence[Sequence[ObjectPrompt]],
    *,
    multimask: bool = True,
    adapters: bool = True,
    image_format: str = "RGB",
    return_logits: bool = False,
) -> list[Segmentation]:
    """Segments objects in a batch of images of any size, with any prompts.

    Keep the parameters on the device (`jax.device_put`) where this is called often.

    Args:
        pretrained: The network.
        images: uint8 images, (h, w) or (h, w, 3); all of them are encoded at once.
        prompts: For each image, its objects; an image may have none.
        multimask: Three masks for each object, for ambiguous prompts such as a single click, or
            one.
        adapters: Whether the adapters take part, if the network has any.
        image_format: Channel order of the images, `RGB` or `BGR`.
        return_logits: Logits at the original size instead of boolean masks.

    Returns:
        One result per image.

    Raises:
        ValueError: An image or a prompt is not what it should be; the message names it.
    """
    embedded = embed_images(pretrained, images, adapters=adapters, image_format=image_format)
    return segment_embedded(
        pretrained, embedded, prompts, multimask=multimask, return_logits=return_logits
    )


def embed_images(
    pretrained: Pretrained,
    images: Sequence[np.ndarray],
    *,
    adapters: bool = True,
    image_format: str = "RGB",
) -> EmbeddedImages:
    """The first half of `segment`, once per image."""
    if not images:
        raise ValueError("images: expected at least one, found none")
    size = pretrained.model.image_size
    if image_format not in FORMATS:
        raise ValueError(f"image_format: expected one of {FORMATS}, found {image_format!r}")
    batch = np.zeros((bucket(len(images)), size, size, 3), np.float32)
    placements = []
    for row, image in enumerate(images):
        with _naming(f"image {row}" if len(images) > 1 else ""):
            batch[row], placement = inputs.prepare_image(
                _eight_bits(image), size, pretrained.input, image_format.lower()
            )
        placements.append(placement)
    features = encode(pretrained.model, pretrained.params, jnp.asarray(batch), adapters)
    return EmbeddedImages(features, tuple(placements))


def segment_embedded(
    pretrained: Pretrained,
    embedded: EmbeddedImages,
    prompts: Sequence[Sequence[ObjectPrompt]],
    *,
    multimask: bool = True,
    return_logits: bool = False,
) -> list[Segmentation]:
    """The second half of `segment`: as often as there are new prompts."""
    if len(prompts) != len(embedded.placements):
        raise ValueError(
            f"prompts: expected one list of objects for each of {len(embedded.placements)} images, "
            f"found {len(prompts)}"
        )
    owners = [image for image, objects in enumerate(prompts) for _ in objects]
    flat = [prompt for objects in prompts for prompt in objects]
    _check_fits(prompts, embedded.placements, pretrained.model.mask_size)
    low_res, scores = _decode_all(pretrained, embedded, flat, owners, multimask)
    size, ends = pretrained.model.image_size, np.cumsum([len(objects) for objects in prompts])
    results = []
    for image, placement in enumerate(embedded.placements):
        rows = slice(ends[image] - len(prompts[image]), ends[image])
        restored = _restore_all(low_res[rows], placement, size, return_logits)
        results.append(Segmentation(restored, scores[rows], low_res[rows]))
    return results


def _decode_all(
    pretrained: Pretrained,
    embedded: EmbeddedImages,
    objects: Sequence[ObjectPrompt],
    owners: Sequence[int],
    multimask: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Low-resolution logits (n, c, m, m) and scores (n, c) of objects of any number."""
    config, kind = pretrained.model, pretrained.input.mask_prompt
    # Handing over the image encoder's hundreds of arrays takes as long as a layer of the decoder.
    params = {name: pretrained.params[name] for name in ("prompt_encoder", "mask_decoder")}
    candidates = config.num_multimask if multimask else 1
    low_res = np.zeros((len(objects), candidates, config.mask_size, config.mask_size), np.float32)
    scores = np.zeros((len(objects), candidates), np.float32)
    for start in range(0, len(objects), MAX_OBJECTS):
        rows = slice(start, min(start + MAX_OBJECTS, len(objects)))
        placements = [embedded.placements[owner] for owner in owners[rows]]
        prompts = pack(objects[rows], placements, config.mask_size)
        image_of = np.zeros(len(prompts.points), np.int32)
        image_of[: len(placements)] = owners[rows]
        decoded = decode(config, params, embedded.features, image_of, prompts, kind, multimask)
        low_res[rows], scores[rows] = (np.asarray(x)[: len(placements)] for x in decoded)
    return low_res, scores


def _restore_all(
    low_res: np.ndarray, placement: inputs.Placement, size: int, return_logits: bool
) -> np.ndarray:
    """Masks (k, c, h, w) of one image from its low-resolution logits (k, c, m, m)."""
    height, width = placement.height, placement.width
    count, candidates = low_res.shape[:2]
    canvas = masks.canvas_size(height, width)
    # The largest power of two of objects within the budget.
    chunk = bucket(max(MAX_PIXELS // (candidates * canvas**2), 1) + 1) // 2
    dtype = np.float32 if return_logits else bool
    restored = np.empty((count, candidates, height, width), dtype)
    for start in range(0, count, chunk):
        part = low_res[start : start + chunk]
        padded = np.zeros((bucket(len(part)), *part.shape[1:]), np.float32)
        padded[: len(part)] = part
        where = np.tile(placement.as_array(), (len(padded), 1))
        whole = np.asarray(restore(padded, where, size, canvas, return_logits))
        restored[start : start + chunk] = whole[: len(part), :, :height, :width]
    return restored


def _eight_bits(image: np.ndarray) -> np.ndarray:
    """Refuses images that do not have 8 bits: their values would mean something else."""
    image = np.asarray(image)
    if image.dtype != np.uint8:
        values = f" from {image.min():g} to {image.max():g}" if image.size else ""
        raise ValueError(
            f"image: expected uint8 values from 0 to 255, found {image.dtype}{values}; scale to "
            "0..255 first, as in (255 * x).round().astype(np.uint8) for x between 0 and 1"
        )
    return image


def _check_fits(
    prompts: Sequence[Sequence[ObjectPrompt]],
    placements: Sequence[inputs.Placement],
    mask_size: int,
) -> None:
    for image, (objects, at) in enumerate(zip(prompts, placements, strict=True)):
        for index, prompt in enumerate(objects):
            where = f"image {image}, " if len(placements) > 1 else ""
            with _naming(f"{where}object {index}" if where or len(objects) > 1 else ""):
                prompt.check_fits(at.height, at.width, mask_size)


@contextlib.contextmanager
def _naming(where: str) -> Iterator[None]:
    """Says in errors which one of several things is meant."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{where}: {error}" if where else str(error)) from error
