"""Resizing of a checkpoint to another image size: only parameters per position change.

As in SAM-Med2D's published code: the position embedding is resized as an image, bilinearly
without corner alignment, and the relative positions of global blocks along their length.
Windows keep their size, so windowed blocks stay as they are.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from samjax.models import interpolation
from samjax.models.config import SamConfig


def resize(
    tensors: Mapping[str, np.ndarray], config: SamConfig, image_size: int
) -> tuple[dict[str, np.ndarray], SamConfig]:
    """Resizes the tensors that depend on the image size.

    Args:
        tensors: State dict by SAM's PyTorch names, as `config` describes it; may be incomplete.
        config: Architecture of the tensors.
        image_size: Side of the network's input to resize to, pixels.

    Returns:
        The tensors that change, resized, and the architecture at `image_size`.

    Raises:
        ValueError: The network cannot work at this size.
    """
    target = dataclasses.replace(config, image_size=image_size)
    if target.grid_size == config.grid_size:
        return {}, target
    side = target.grid_size
    names = ["image_encoder.pos_embed"] * (not config.pos_embed_size) + [
        f"image_encoder.blocks.{block}.attn.rel_pos_{axis}"
        for block in config.global_attn_indexes
        for axis in "hw"
    ]
    changed = {}
    for name in tensors.keys() & set(names):
        if name.endswith("pos_embed"):
            rows = interpolation.linear(tensors[name], 1, side)
            changed[name] = interpolation.linear(rows, 2, side)
        else:
            changed[name] = interpolation.linear(tensors[name], 0, 2 * side - 1)
    return changed, target


def keep_positions(config: SamConfig, side: int) -> SamConfig:
    """Returns the architecture with a position embedding of a side that is kept; 0: no change.

    Raises:
        ValueError: The position embedding has another side.
    """
    found = config.pos_embed_size or config.grid_size
    if side not in (0, found):
        raise ValueError(
            f"model.pos_embed_size: expected {found}, as the checkpoint has, or 0, which resizes "
            f"it once, found {side}"
        )
    return dataclasses.replace(config, pos_embed_size=side) if side else config
