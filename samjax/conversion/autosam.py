"""AutoSAM's files: the head that their tensors are of, and a head made from SAM's decoder.

The published code saves nothing. A state dict of its network is whole; files of the head alone need
the encoder of another file.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from samjax.conversion.checkpoint_file import CheckpointContents
from samjax.models.config import SamConfig
from samjax.models.heads import HeadConfig

POSITIONS = "pe_layer.positional_encoding_gaussian_matrix"
_DECODER = "mask_decoder."
_IOU_TOKEN, _MASK_TOKENS = "mask_decoder.iou_token.weight", "mask_decoder.mask_tokens.weight"
_IOU_HEAD = "mask_decoder.iou_prediction_head."
_BLOCKS = "mask_decoder.blocks"
_CNN, _LINEAR = "mask_decoder.input_block.0.weight", "mask_decoder.final.2.weight"
_NOISE = 0.1  # Standard deviation of what tells the classes apart, over that of SAM's tokens.


def is_head_alone(contents: CheckpointContents) -> bool:
    """Whether a file has one of AutoSAM's heads, but no image encoder."""
    if _has_encoder(contents):
        return False
    return infer_head(_with_prefix(contents).tensors).is_semantic


def complete(
    contents: CheckpointContents, base: CheckpointContents | None, has_seed: bool
) -> CheckpointContents:
    """Returns the contents of a file, with the encoder of another one for a head alone.

    Args:
        contents: Contents of the file.
        base: Contents of the file that the head was trained on, None without.
        has_seed: Whether there is a seed to draw the positional matrix from if it is missing.

    Raises:
        ValueError: The encoder is missing, or the positional matrix.
    """
    contents = _with_prefix(contents)
    head = infer_head(contents.tensors)
    if not head.is_semantic:
        return contents
    if not _has_encoder(contents):
        if base is None or not _has_encoder(base):
            raise ValueError(
                f"expected an image encoder beside a head of kind {head.kind}, found none; name "
                "the SAM that the head was trained on (--base SAM.pth, in Python base='SAM.pth')"
            )
        own = ("image_encoder.", POSITIONS) if head.kind == "autosam" else "image_encoder."
        names = [name for name in base.tensors if name.startswith(own)]
        others = {name: base.tensors[name] for name in names if name not in contents.tensors}
        contents = contents.with_tensors(others)
    if head.kind == "autosam" and POSITIONS not in contents.tensors and not has_seed:
        raise ValueError(
            f"{POSITIONS}: expected the random matrix that the head was trained with, found none; "
            "the head is of little use with another one, which a seed draws (--seed 0, in Python "
            "seed=0)"
        )
    return contents


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
        POSITIONS: (tensors[f"prompt_encoder.{POSITIONS}"], "SAM's prompt encoder"),
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
    return published and name.startswith((_IOU_HEAD, _IOU_TOKEN, _MASK_TOKENS, POSITIONS))


def _has_encoder(contents: CheckpointContents) -> bool:
    return any(name.startswith("image_encoder.") for name in contents.tensors)


def _with_prefix(contents: CheckpointContents) -> CheckpointContents:
    """Returns contents with the full names of a decoder that was saved alone."""
    names = contents.tensors
    if _IOU_TOKEN.removeprefix(_DECODER) not in names:
        return contents
    full = {name: name if name == POSITIONS else f"{_DECODER}{name}" for name in names}
    return dataclasses.replace(
        contents,
        tensors={full[name]: tensor for name, tensor in names.items()},
        keys={full[name]: key for name, key in contents.keys.items()},
    )


def _rows(tensors: Mapping[str, np.ndarray], name: str) -> int:
    if name not in tensors or not tensors[name].ndim:
        raise ValueError(f"{name}: expected a tensor with a row for each class, found none")
    return tensors[name].shape[0]
