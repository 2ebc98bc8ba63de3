"""A very small network for tests, with every part of the real ones."""

from typing import Any

from samjax.models.config import SamConfig, TinyVitConfig

_VIT: dict[str, Any] = dict(
    image_size=32,
    patch_size=8,
    embed_dim=16,
    depth=2,
    num_heads=2,
    global_attn_indexes=(1,),
    window_size=3,
)
# Grids of 16, 8 and 4 tokens, which windows of 3 and 5 do not divide.
_TINY_VIT: dict[str, Any] = dict(
    image_size=64,
    patch_size=16,
    tiny_vit=TinyVitConfig(
        dims=(8, 12, 16, 24),
        depths=(1, 2, 1, 1),
        num_heads=(3, 2, 4),
        window_sizes=(3, 5, 4),
        mlp_ratio=2.0,
        conv_ratio=3.0,
    ),
)


def tiny(**overrides: Any) -> SamConfig:
    """Returns a network of 70 thousand parameters, with every part of the real ones, for tests.

    It compiles in seconds and runs in milliseconds on a CPU. By default it is a ViT with
    SAM-Med2D's adapters and two blocks, one of them windowed; with `encoder="tiny_vit"` a TinyViT
    of 64 x 64 pixels. In both, windows do not divide the grid of tokens, so it is padded.

    Args:
        **overrides: Fields of `SamConfig` that differ, such as `image_size=64`.
    """
    common: dict[str, Any] = dict(
        prompt_dim=32,
        mask_in_chans=8,
        decoder_heads=2,
        decoder_mlp_dim=32,
        iou_head_hidden_dim=32,
    )
    encoder = _TINY_VIT if overrides.get("encoder") == "tiny_vit" else _VIT
    return SamConfig(**{**common, **encoder, **overrides})
