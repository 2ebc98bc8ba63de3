"""AutoSAM's files: the head that their tensors are of, and a head made from SAM's decoder."""

from collections.abc import Mapping

import numpy as np

from samjax.models.config import SamConfig
from samjax.models.heads import HeadConfig

_POSITIONS = "pe_layer.positional_encoding_gaussian_matrix"
_IOU_TOKEN, _MASK_TOKENS = "mask_decoder.iou_token.weight", "mask_decoder.mask_tokens.weight"
_IOU_HEAD = "mask_decoder.iou_prediction_head."
_BLOCKS = "mask_decoder.blocks"
_CNN, _LINEAR = "mask_decoder.input_block.0.weight", "mask_decoder.final.2.weight"
_NOISE = 0.1  # Standard deviation of what tells the classes apart, over that of SAM's tokens.


def infer_head(tensors: Mapping[str, np.ndarray]) -> HeadConfig:
    """Returns the head that tensors are of, by AutoSAM's names; `masks` where it is SAM's.

    Raises:
        ValueError: The shapes are of no such head.
    """
    if _CNN in tensors:
        depth = len({name.split(".")[2] for name in tensors if name.startswith(f"{_BLOCKS}.")})
        width = _rows(tensors, "mask_decoder.final.0.weight")
        classes = _rows(tensors, "mask_decoder.final.1.weight")
        return HeadConfig("cnn", classes - 1, depth=depth, width=width)
    if _LINEAR in tensors:
        return HeadConfig("linear", _rows(tensors, _LINEAR) - 1)
    is_sam = any(name.startswith("prompt_encoder.") for name in tensors)
    if is_sam or _IOU_TOKEN not in tensors or _MASK_TOKENS not in tensors:
        return HeadConfig()
    classes, masks = _rows(tensors, _IOU_TOKEN), _rows(tensors, _MASK_TOKENS)
    if masks != 2 * classes:
        raise ValueError(
            f"{_MASK_TOKENS}: expected {2 * classes} tokens, two for each of the {classes} of "
            f"{_IOU_TOKEN} as AutoSAM has them, found {masks}"
        )
    return HeadConfig("autosam", classes - 1)


def from_sam(
    tensors: Mapping[str, np.ndarray], config: SamConfig, seed: int
) -> dict[str, tuple[np.ndarray, str]]:
    """Makes tensors of AutoSAM's head from those of SAM's decoder, where they differ.

    Every class starts from SAM's tokens of the IoU and of masks 0 and 1. Noise tells their tokens
    of masks apart, as classes with the same tokens would stay the same.

    Args:
        tensors: State dict of a SAM, by its PyTorch names.
        config: Architecture with the new head.
        seed: Seed of the noise.

    Returns:
        Tensors by their PyTorch names, each with its origin in words; none for heads of other
        kinds, and with `positions` "random".
    """
    head = config.head
    if head.kind != "autosam" or head.positions != "sam":
        return {}
    classes, masks = config.token_sets, config.mask_tokens
    tokens = np.asarray(tensors[_MASK_TOKENS], np.float32)[:masks]
    noise = np.random.default_rng(seed).normal(
        0, _NOISE * tokens.std(), (classes * masks, tokens.shape[1])
    )
    noisy = np.tile(tokens, (classes, 1)) + noise.astype(np.float32)
    made = {
        _POSITIONS: (tensors[f"prompt_encoder.{_POSITIONS}"], "SAM's prompt encoder"),
        _IOU_TOKEN: (np.tile(tensors[_IOU_TOKEN], (classes, 1)), "SAM's, for each class"),
        _MASK_TOKENS: (noisy, f"SAM's of masks 0 and 1, for each class, noise of seed {seed}"),
    }
    for end in ("weight", "bias"):
        name = f"{_IOU_HEAD}layers.2.{end}"
        made[name] = (tensors[name][:masks], "SAM's of masks 0 and 1")
    return made


def is_drawn(name: str, config: SamConfig) -> bool:
    """Whether a new head draws the tensor of this name anew, even where SAM's has its shape."""
    head = config.head
    published = head.kind == "autosam" and head.positions == "random"
    return published and name.startswith((_IOU_HEAD, _IOU_TOKEN, _MASK_TOKENS, _POSITIONS))


def _rows(tensors: Mapping[str, np.ndarray], name: str) -> int:
    if name not in tensors or not tensors[name].ndim:
        raise ValueError(f"{name}: expected a tensor with a row for each class, found none")
    return tensors[name].shape[0]
