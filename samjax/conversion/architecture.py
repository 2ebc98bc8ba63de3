"""Which network a state dict belongs to, read from the names and shapes of its tensors."""

import re
from collections.abc import Mapping

import numpy as np

from samjax.models import config as model_config
from samjax.models.config import SamConfig

Tensors = Mapping[str, np.ndarray]

_TINY_VIT = "image_encoder.patch_embed.seq.0.c.weight"
_BLOCK = "image_encoder.blocks"
_LAYER = "mask_decoder.transformer.layers"


def infer(tensors: Tensors, decoder_heads: int = 8) -> SamConfig:
    """Reads the architecture from SAM's tensors.

    Args:
        tensors: State dict by SAM's PyTorch names.
        decoder_heads: Attention heads in the decoder, which leave no trace in the tensors.

    Raises:
        ValueError: A tensor that tells the architecture is missing or has an impossible shape.
    """
    if _TINY_VIT in tensors:
        raise ValueError(
            "a TinyViT image encoder (MobileSAM, LiteMedSAM), which is not supported; "
            "expected SAM's ViT"
        )
    _, grid, _, width = _shape(tensors, "image_encoder.pos_embed", 4)
    patch = _shape(tensors, "image_encoder.patch_embed.proj.weight", 4)[2]
    depth = _count(tensors, _BLOCK)
    sides = [_attention_side(tensors, block) for block in range(depth)]
    global_blocks, window = _attention(sides, grid, width)
    adapters = any(".Adapter." in name for name in tensors)
    ratio = SamConfig.adapter_ratio
    if adapters:
        bottleneck = _shape(tensors, f"{_BLOCK}.0.Adapter.channel.0.weight", 2)[0]
        ratio = _ratio(bottleneck, width)
    return SamConfig(
        image_size=grid * patch,
        patch_size=patch,
        embed_dim=width,
        depth=depth,
        num_heads=width // _shape(tensors, f"{_BLOCK}.0.attn.rel_pos_h", 2)[1],
        mlp_ratio=_ratio(_shape(tensors, f"{_BLOCK}.0.mlp.lin1.weight", 2)[0], width),
        global_attn_indexes=global_blocks,
        window_size=window,
        adapters=adapters,
        adapter_ratio=ratio,
        prompt_dim=_shape(tensors, "image_encoder.neck.0.weight", 4)[0],
        mask_in_chans=_shape(tensors, "prompt_encoder.mask_downscaling.3.weight", 4)[0],
        decoder_depth=_count(tensors, _LAYER),
        decoder_heads=decoder_heads,
        decoder_mlp_dim=_shape(tensors, f"{_LAYER}.0.mlp.lin1.weight", 2)[0],
        iou_head_hidden_dim=_shape(tensors, "mask_decoder.iou_prediction_head.layers.0.weight", 2)[
            0
        ],
        num_multimask=_shape(tensors, "mask_decoder.mask_tokens.weight", 2)[0] - 1,
    )


def _attention(sides: list[int], grid: int, width: int) -> tuple[tuple[int, ...], int]:
    """Which blocks attend globally, and the window of the others.

    A block whose relative positions span the whole grid is global. Where all do, windows as large
    as the grid cannot be told from global attention (nor do they compute anything else at this
    size): then a published architecture of this width and depth decides, or else all are global.
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
    """Side of the square a block attends over: relative positions run from 1 - side to side - 1."""
    name = f"{_BLOCK}.{block}.attn.rel_pos_h"
    length = _shape(tensors, name, 2)[0]
    if length % 2 == 0:
        raise ValueError(f"{name}: expected an odd length, found {length}")
    return (length + 1) // 2


def _count(tensors: Tensors, prefix: str) -> int:
    numbers = {
        int(found[1])
        for name in tensors
        if (found := re.match(rf"{re.escape(prefix)}\.(\d+)\.", name))
    }
    if not numbers:
        raise ValueError(f"not a SAM checkpoint: no tensor {prefix}.0.*")
    return max(numbers) + 1


def _shape(tensors: Tensors, name: str, ndim: int) -> tuple[int, ...]:
    if name not in tensors:
        raise ValueError(f"not a SAM checkpoint: no tensor {name}")
    shape = tensors[name].shape
    if len(shape) != ndim:
        raise ValueError(f"{name}: expected {ndim} axes, found shape {shape}")
    return shape


def _ratio(hidden: int, width: int) -> float:
    """The ratio that gives `hidden` from `width` again, when cut to an integer."""
    ratio = hidden / width
    return ratio if int(width * ratio) == hidden else float(np.nextafter(ratio, np.inf))
