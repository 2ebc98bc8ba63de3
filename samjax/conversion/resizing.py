"""Resizing of a checkpoint to another image size: only parameters per position change.

As in SAM-Med2D's published code: the position embedding is resized as an image, bilinearly
without corner alignment, and the relative positions of global blocks along their length.
Windows keep their size, so windowed blocks stay as they are.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

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
            changed[name] = interpolate(interpolate(tensors[name], 1, side), 2, side)
        else:
            changed[name] = interpolate(tensors[name], 0, 2 * side - 1)
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


def interpolate(array: np.ndarray, axis: int, length: int) -> np.ndarray:
    """Resamples one axis linearly to `length`, half-pixel centres, edges repeated; float32."""
    old = array.shape[axis]
    # In float32 throughout, since PyTorch rounds the centres so.
    half, scale = np.float32(0.5), np.float32(old / length)
    centres = (np.arange(length, dtype=np.float32) + half) * scale - half
    centres = np.clip(centres, 0, old - 1)
    low = centres.astype(int)
    high = np.minimum(low + 1, old - 1)
    fraction = centres - low.astype(np.float32)
    fraction = fraction.reshape([-1 if each == axis else 1 for each in range(array.ndim)])
    array = array.astype(np.float32)
    return array.take(low, axis) * (1 - fraction) + array.take(high, axis) * fraction
