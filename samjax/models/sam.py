"""Pure functions of a network over plain nested-dict parameters.

`config` is static and hashable: jit with `static_argnums=0` or close over it.
"""

from typing import Any

from flax import linen as nn
from jaxtyping import Array, Bool, Float

from samjax import masks, types
from samjax.models.config import SamConfig
from samjax.models.heads.autosam import AutosamHead
from samjax.models.heads.convolutional import CnnHead, LinearHead
from samjax.models.heads.prompts import ClassMaps, PromptHead, class_logits, propose
from samjax.models.image_encoder import ImageEncoder
from samjax.models.mask_decoder import MaskDecoder, PreparedImages
from samjax.models.prompt_encoder import PromptEmbeddings, PromptEncoder
from samjax.models.tiny_vit import TinyVit
from samjax.models.unet import PixelHead, Unet
from samjax.types import Params


def encode_image(
    config: SamConfig, params: Params, images: Float[Array, "b s s 3"], adapters: bool = True
) -> Float[Array, "b g g c"]:
    """Encodes normalised images.

    Args:
        config: Architecture.
        params: Parameters.
        images: Normalised images, NHWC, of side `config.image_size`; with `config.peft.depth`,
            slices of one or more chunks, one chunk after the other.
        adapters: Whether to use the adapters, if the network has any. False skips them, with the
            same parameters (SAM-Med2D* in the paper).

    Raises:
        ValueError: The images have another shape, or are not whole chunks.
    """
    expected = (config.image_size, config.image_size, 3)
    if images.ndim != 4 or images.shape[1:] != expected:
        raise ValueError(f"images: expected shape (b, *{expected}), found {images.shape}")
    chunk = config.peft.depth
    if adapters and chunk > 1 and len(images) % chunk:
        raise ValueError(
            f"images: expected a multiple of model.peft.depth = {chunk} slices, found {len(images)}"
        )
    encoder = image_encoder(config)
    return _apply(encoder, params["image_encoder"], images, adapters and config.peft.enabled)


def image_encoder(config: SamConfig) -> ImageEncoder | TinyVit | Unet:
    """Returns the module that encodes images."""
    return {"vit": ImageEncoder, "tiny_vit": TinyVit, "unet": Unet}[config.encoder](config)


def encode_prompts(config: SamConfig, params: Params, prompts: types.Prompts) -> PromptEmbeddings:
    """Embeds prompts, whatever combination is present.

    Raises:
        ValueError: The mask prompt has a side other than `config.mask_size`.
    """
    side = config.mask_size
    if prompts.mask.shape[2:] != (side, side):
        raise ValueError(f"prompts.mask: expected side {side}, found shape {prompts.mask.shape}")
    return _apply(PromptEncoder(config), params["prompt_encoder"], prompts)


def prepare_images(
    config: SamConfig, params: Params, embedding: Float[Array, "b g g c"]
) -> PreparedImages:
    """Computes the part of the decoder that depends on images alone, once for all prompts."""
    encoder, decoder = PromptEncoder(config), MaskDecoder(config)
    encoding = grid_encoding(config, params)
    basis = _apply(encoder, params["prompt_encoder"], method=PromptEncoder.basis)
    own = params["mask_decoder"]
    return _apply(decoder, own, embedding, encoding, basis, method=MaskDecoder.prepare)


def decode_masks(
    config: SamConfig,
    params: Params,
    embedding: Float[Array, "b g g c"],
    prompts: PromptEmbeddings,
    multimask: bool = True,
) -> tuple[Float[Array, "b k o m m"], Float[Array, "b k o"]]:
    """Predicts masks for every object of every image.

    Args:
        config: Architecture.
        params: Parameters.
        embedding: Result of `encode_image`.
        prompts: Result of `encode_prompts`.
        multimask: Whether to predict `num_multimask` masks for each object, or one.

    Returns:
        Low-resolution logits and predicted IoU, float32.
    """
    encoding = grid_encoding(config, params)
    decoder = MaskDecoder(config)
    return _apply(decoder, params["mask_decoder"], embedding, encoding, prompts, multimask)


def predict_masks(
    config: SamConfig,
    params: Params,
    embedding: Float[Array, "b g g c"],
    prompts: types.Prompts,
    multimask: bool = True,
) -> tuple[Float[Array, "b k o m m"], Float[Array, "b k o"]]:
    """Predicts masks from prompts: `encode_prompts` and `decode_masks` in one."""
    images = prepare_images(config, params, embedding)
    return predict_prepared(config, params, images, prompts, multimask)


def predict_prepared(
    config: SamConfig,
    params: Params,
    images: PreparedImages,
    prompts: types.Prompts,
    multimask: bool = True,
) -> tuple[Float[Array, "b k o m m"], Float[Array, "b k o"]]:
    """Predicts masks as `predict_masks` does, from the result of `prepare_images`."""
    embedded, own = encode_prompts(config, params, prompts), params["mask_decoder"]
    return _apply(MaskDecoder(config), own, images, embedded, multimask, method=MaskDecoder.decode)


def predict_classes(
    config: SamConfig,
    params: Params,
    embedding: Float[Array, "b g g c"],
    multimask: bool = True,
    points: bool = True,
) -> Float[Array, "b k m m"]:
    """Predicts the class of every pixel, without a prompt of the user.

    Args:
        config: Architecture, with a semantic head.
        params: Parameters.
        embedding: Result of `encode_image`.
        multimask: Head `prompts`: whether the decoder predicts three masks for each object, of
            which the one with the highest predicted IoU counts, or one.
        points: Head `prompts`: whether objects may be prompted by points, beside their boxes.

    Returns:
        Low-resolution logits of `k = config.head.classes + 1` classes, float32; the first is the
        background.

    Raises:
        ValueError: The network predicts masks from prompts.
    """
    if not config.head.is_semantic:
        raise ValueError(
            "model.head.kind: expected a semantic head, which predicts classes, found masks, which "
            "needs prompts"
        )
    if not config.head.takes_prompt_encoder:
        return _apply(class_head(config), params["mask_decoder"], embedding)
    if config.head.kind == "prompts":
        head = PromptHead(config)
        found = _apply(head, params["prompt_head"], method=PromptHead.thresholds)
        presence, foreground, has_points = found
        maps, has_points = predict_class_maps(config, params, embedding), has_points & points
        answer = answer_maps(config, params, embedding, maps, foreground, multimask, has_points)
        return class_logits(*answer, presence)
    prompts = types.no_prompts(len(embedding), 1, 1, config.mask_size)
    return predict_masks(config, params, embedding, prompts)[0][:, 0]


def predict_class_maps(
    config: SamConfig, params: Params, embedding: Float[Array, "b g g c"]
) -> ClassMaps:
    """Predicts foreground and centres of all classes by a head `prompts`."""
    return _apply(PromptHead(config), params["prompt_head"], embedding)


def answer_maps(
    config: SamConfig,
    params: Params,
    embedding: Float[Array, "b g g c"],
    maps: ClassMaps,
    foreground: Float[Array, ""],
    multimask: bool = True,
    points: Bool[Array, ""] | bool = True,
) -> tuple[Float[Array, "b k n m m"], Float[Array, "b k n"]]:
    """Prompts the decoder by the objects that class maps show; arguments as of `predict_classes`.

    Args:
        config: Architecture, with a head `prompts`.
        params: Parameters.
        embedding: Result of `encode_image`.
        maps: Result of `predict_class_maps`.
        foreground: Threshold of the probability of a class.
        multimask: Whether the decoder predicts three masks for each object, or one.
        points: Whether objects are prompted by point and box, or box alone.

    Returns:
        Low-resolution logits and scores of `n` objects of each of `k` classes.
    """
    found = propose(maps, foreground, config.head.objects, config.image_size, points)
    candidates, quality = predict_masks(config, params, embedding, found.prompts, multimask)
    low_res, _ = masks.select_best(candidates, quality)
    return low_res.reshape(*found.scores.shape, *low_res.shape[3:]), found.scores


def class_head(config: SamConfig) -> AutosamHead | CnnHead | LinearHead | PixelHead:
    """Returns the module that predicts classes without a prompt encoder."""
    modules = {"autosam": AutosamHead, "cnn": CnnHead, "linear": LinearHead, "pixel": PixelHead}
    return modules[config.head.kind](config)


def grid_encoding(config: SamConfig, params: Params) -> Float[Array, "g g c"]:
    """Returns the position encoding that the decoder adds to the image embedding's cells."""
    encoder = PromptEncoder(config)
    return _apply(encoder, params["prompt_encoder"], method=PromptEncoder.grid_encoding)


def _apply(module: nn.Module, params: Params, *args: Any, method: Any = None) -> Any:
    """Runs a module on its parameters."""
    return module.apply({"params": params}, *args, method=method)
