"""Inference of a network's architecture from the names and shapes in its state dict."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from samjax import fields
from samjax.conversion import autosam
from samjax.models import config as model_config
from samjax.models.config import SamConfig, TinyVitConfig
from samjax.models.peft import PeftConfig
from samjax.models.peft import config as peft_config

Tensors = Mapping[str, np.ndarray]

_TINY_STEM = "image_encoder.patch_embed.seq.0.c.weight"
# Patch size and image size of a TinyViT by the side of its stem's kernel: MobileSAM, LiteMedSAM.
# The tensors do not show the image size.
_TINY_SIZES = {3: (16, 1024), 1: (4, 256)}
_BLOCK = "image_encoder.blocks"
_TINY_STAGE = "image_encoder.layers"
# The adapter's layer of the smallest output.
_NARROWEST: dict[peft_config.Kind, str] = {
    "msa": "space.fc1",
    "conv_bottleneck": "down",
    "sam_med2d": "channel.0",
}
_LAYER = "mask_decoder.transformer.layers"


class MissingTensorError(ValueError):
    """A tensor that every SAM has is missing."""


def infer(tensors: Tensors, decoder_heads: int = 8) -> SamConfig:
    """Returns the architecture of SAM's tensors.

    Args:
        tensors: State dict by SAM's PyTorch names.
        decoder_heads: Number of attention heads in the decoder; the tensors do not show it.

    Raises:
        MissingTensorError: A tensor that determines the architecture is missing.
        ValueError: A tensor has an impossible shape.
    """
    encoder = _tiny_vit(tensors) if _TINY_STEM in tensors else _vit(tensors)
    width = _shape(tensors, "image_encoder.neck.0.weight", 4)[0]
    head = autosam.infer_head(tensors)
    if head.kind in ("cnn", "linear"):
        return SamConfig(**encoder, prompt_dim=width, head=head)
    masks: dict[str, Any] = dict(head=head)
    if head.kind == "masks":
        masks = dict(
            mask_in_chans=_shape(tensors, "prompt_encoder.mask_downscaling.3.weight", 4)[0],
            num_multimask=_shape(tensors, "mask_decoder.mask_tokens.weight", 2)[0] - 1,
        )
    iou_head = "mask_decoder.iou_prediction_head.layers.0.weight"
    return SamConfig(
        **encoder,
        prompt_dim=width,
        decoder_depth=_count(tensors, _LAYER),
        decoder_heads=decoder_heads,
        decoder_mlp_dim=_shape(tensors, f"{_LAYER}.0.mlp.lin1.weight", 2)[0],
        iou_head_hidden_dim=_shape(tensors, iou_head, 2)[0],
        **masks,
    )


def _vit(tensors: Tensors) -> dict[str, Any]:
    """Returns the fields of `SamConfig` for SAM's ViT."""
    _, positions, _, width = _shape(tensors, "image_encoder.pos_embed", 4)
    patch = _shape(tensors, "image_encoder.patch_embed.proj.weight", 4)[2]
    depth = _count(tensors, _BLOCK)
    sides = [_attention_side(tensors, block) for block in range(depth)]
    peft = _peft(tensors, [f"{_BLOCK}.0"], [width])
    grid = _grid(sides, positions, peft.kind)
    global_blocks, window = _attention(sides, grid, width)
    return dict(
        image_size=grid * patch,
        patch_size=patch,
        embed_dim=width,
        depth=depth,
        num_heads=width // _shape(tensors, f"{_BLOCK}.0.attn.rel_pos_h", 2)[1],
        mlp_ratio=_ratio([_shape(tensors, f"{_BLOCK}.0.mlp.lin1.weight", 2)[0]], [width]),
        global_attn_indexes=global_blocks,
        window_size=window,
        pos_embed_size=0 if grid == positions else positions,
        peft=peft,
    )


def _tiny_vit(tensors: Tensors) -> dict[str, Any]:
    """Returns the fields of `SamConfig` for a TinyViT."""
    side = _shape(tensors, _TINY_STEM, 4)[2]
    if side not in _TINY_SIZES:
        raise ValueError(
            f"{_TINY_STEM}: expected a kernel of side 3 (MobileSAM) or 1 (LiteMedSAM), found {side}"
        )
    patch, image_size = _TINY_SIZES[side]
    stages = [f"{_TINY_STAGE}.{i}.blocks" for i in range(_count(tensors, _TINY_STAGE))]
    convolution, *blocks = [f"{stage}.0" for stage in stages]
    first = _shape(tensors, f"{convolution}.conv3.c.weight", 4)[0]
    widths = [_shape(tensors, f"{block}.attn.norm.weight", 1)[0] for block in blocks]
    hidden = [_shape(tensors, f"{block}.mlp.fc1.weight", 2)[0] for block in blocks]
    names = [f"{block}.attn.attention_biases" for block in blocks]
    by_stage: dict[str, Any] = dict(  # TinyVitConfig checks their lengths.
        dims=(first, *widths),
        depths=tuple(_count(tensors, stage) for stage in stages),
        num_heads=tuple(_shape(tensors, name, 2)[0] for name in names),
        window_sizes=tuple(_window_side(tensors, name) for name in names),
    )
    conv_hidden = _shape(tensors, f"{convolution}.conv1.c.weight", 4)[0]
    with fields.naming("model.tiny_vit.{}".format):
        config = TinyVitConfig(
            **by_stage,
            mlp_ratio=_ratio(hidden, widths),
            conv_ratio=_ratio([conv_hidden], [first]),
        )
    return dict(
        encoder="tiny_vit",
        tiny_vit=config,
        image_size=image_size,
        patch_size=patch,
        peft=_peft(tensors, blocks, widths),
    )


def _peft(tensors: Tensors, blocks: Sequence[str], widths: Sequence[int]) -> PeftConfig:
    """Returns the configuration of the adapters, from those of blocks of the given widths."""
    if not any(".Adapter." in name for name in tensors):
        return PeftConfig("none")
    kind: peft_config.Kind = "sam_med2d"
    for other, layer in _NARROWEST.items():
        if any(f".Adapter.{layer}." in name for name in tensors):
            kind = other
    names = [f"{block}.Adapter.{_NARROWEST[kind]}.weight" for block in blocks]
    ratio = _ratio([_shape(tensors, name, 2)[0] for name in names], widths)
    return PeftConfig(kind, ratio)


def _grid(sides: list[int], positions: int, peft: str) -> int:
    """Returns the side of the embedding, tokens.

    It is that of the position embedding; unless the network resizes that, as MSA's do: then no
    block has it, and the last block attends over the whole image.
    """
    resized = positions not in sides and (peft == "msa" or len(set(sides)) == 2)
    return sides[-1] if resized else positions


def _attention(sides: list[int], grid: int, width: int) -> tuple[tuple[int, ...], int]:
    """Returns the indexes of the blocks with global attention, and the others' window size.

    A block whose relative positions span the whole grid is global. Where all do, windows as large
    as the grid cannot be distinguished from global attention (and compute the same at this size).
    Then a published architecture of this width and depth decides; without one, all are global.
    """
    windows = {side for side in sides if side != grid}
    if len(windows) > 1:
        raise ValueError(
            f"relative positions: expected those of one window size besides the grid of {grid}, "
            f"found windows of {sorted(windows)}"
        )
    if windows:
        return tuple(block for block, side in enumerate(sides) if side == grid), windows.pop()
    for published in (model_config.vit_b(), model_config.vit_l(), model_config.vit_h()):
        same = (published.embed_dim, published.depth) == (width, len(sides))
        if same and published.window_size == grid:
            return published.global_attn_indexes, published.window_size
    return tuple(range(len(sides))), grid


def _attention_side(tensors: Tensors, block: int) -> int:
    """Returns the side of the square a block attends over.

    Relative positions run from 1 - side to side - 1.
    """
    name = f"{_BLOCK}.{block}.attn.rel_pos_h"
    length = _shape(tensors, name, 2)[0]
    if length % 2 == 0:
        raise ValueError(f"{name}: expected an odd length, found {length}")
    return (length + 1) // 2


def _window_side(tensors: Tensors, name: str) -> int:
    """Returns the side of a TinyViT's window, which has one bias for each of its tokens."""
    biases = _shape(tensors, name, 2)[1]
    if math.isqrt(biases) ** 2 != biases:
        raise ValueError(f"{name}: expected the biases of a square window, found {biases}")
    return math.isqrt(biases)


def _count(tensors: Tensors, prefix: str) -> int:
    numbers = {
        int(match[1])
        for name in tensors
        if (match := re.match(rf"{re.escape(prefix)}\.(\d+)\.", name))
    }
    if not numbers:
        raise MissingTensorError(f"not a SAM checkpoint: no tensor {prefix}.0.*")
    return max(numbers) + 1


def _shape(tensors: Tensors, name: str, ndim: int) -> tuple[int, ...]:
    if name not in tensors:
        raise MissingTensorError(f"not a SAM checkpoint: no tensor {name}")
    shape = tensors[name].shape
    if len(shape) != ndim:
        raise ValueError(f"{name}: expected {ndim} axes, found shape {shape}")
    return shape


def _ratio(hidden: Sequence[int], widths: Sequence[int]) -> float:
    """Returns the ratio for which `int(width * ratio)` is the hidden width of every block."""
    ratios = [inner / width for inner, width in zip(hidden, widths, strict=True)]
    for i, (inner, width) in enumerate(zip(hidden, widths, strict=True)):
        if int(width * ratios[i]) != inner:
            ratios[i] = float(np.nextafter(ratios[i], np.inf))
    return max(ratios)  # The largest fits all: int() drops what it adds to the others.
