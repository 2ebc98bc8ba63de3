"""Checks whether parameters fit an architecture, by their shapes alone."""

import re
from collections.abc import Mapping

from samjax.models import parameters
from samjax.models.config import SamConfig

# Settings that determine the shape of a parameter, by a pattern of its path.
_DECIDED_BY = (
    (r"/adapter/", "peft.kind, peft.ratio, peft.rank, embed_dim"),
    (r"pos_embed$", "image_size, patch_size, pos_embed_size, embed_dim"),
    (r"rel_pos_[hw]$", "num_heads, window_size, global_attn_indexes, image_size"),
    (r"patch_embed/", "patch_size, embed_dim, tiny_vit"),
    (r"image_encoder/blocks_\d+/mlp/", "mlp_ratio, embed_dim"),
    (r"image_encoder/(blocks|layers)_", "embed_dim, depth, tiny_vit"),
    (r"prompt_head/", "head.kind, head.classes, prompt_dim"),
    (r"mask_downscaling", "mask_in_chans, prompt_dim"),
    (r"iou_prediction_head", "iou_head_hidden_dim, num_multimask"),
    (r"transformer/.*/mlp/", "decoder_mlp_dim, prompt_dim"),
    (r"mask_decoder/(input_block|blocks|final)_", "head.classes, head.depth, head.width"),
    (r"mask_tokens|iou_token|output_hypernetworks", "num_multimask, head.classes, prompt_dim"),
    (r"", "prompt_dim, decoder_depth"),
)
_BLOCK = re.compile(r"image_encoder/blocks_(\d+)/")


def check(config: SamConfig, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Checks the shapes of parameters against an architecture.

    Args:
        config: The architecture.
        shapes: Shape of every parameter by its path, `a/b/c`.

    Raises:
        ValueError: They differ; the message names the field, or those that may be wrong.
    """
    expected = parameters.shapes(config)
    if expected == shapes:
        return
    if not config.peft.enabled and any("/adapter/" in path for path in shapes):
        raise ValueError("model.peft.kind: expected one, as the arrays have adapters, found 'none'")
    if config.peft.enabled and not any("/adapter/" in path for path in shapes):
        raise ValueError(
            "model.peft.kind: expected 'none', as the arrays have no adapters, found "
            f"{config.peft.kind!r}"
        )
    if config.encoder == "vit" and "image_encoder/pos_embed" in shapes:
        blocks = {match[1] for path in shapes if (match := _BLOCK.match(path))}
        _check_field("depth", config.depth, len(blocks))
        _, grid, _, width = shapes["image_encoder/pos_embed"]
        _check_field("embed_dim", config.embed_dim, width)
        patch = shapes.get("image_encoder/patch_embed/proj/kernel", (config.patch_size,))[0]
        _check_field("patch_size", config.patch_size, patch)
        if config.pos_embed_size:
            _check_field("pos_embed_size", config.pos_embed_size, grid)
        else:
            _check_field("image_size", config.image_size, grid * patch)
    for path in [*expected, *(path for path in shapes if path not in expected)]:
        if expected.get(path) != shapes.get(path):
            names = next(names for pattern, names in _DECIDED_BY if re.search(pattern, path))
            raise ValueError(
                f"model: expected {path} of shape {expected.get(path, 'none')}, found "
                f"{shapes.get(path, 'none')} (decided by {names})"
            )


def _check_field(name: str, configured: int, needed: int) -> None:
    if configured != needed:
        raise ValueError(
            f"model.{name}: expected {needed}, as the arrays have it, found {configured}"
        )
