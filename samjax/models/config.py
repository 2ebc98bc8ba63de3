"""What a network looks like: one frozen, hashable description, checked when it is made."""

import dataclasses
from typing import Any

from samjax import fields

ENCODERS = ("vit", "tiny_vit")


@dataclasses.dataclass(frozen=True)
class TinyVitConfig:
    """A TinyViT image encoder; the defaults are TinyViT-5M, as in MobileSAM and LiteMedSAM.

    The first of its four stages is made of convolutions, the other three of transformer blocks.

    Attributes:
        dims: Width of every stage.
        depths: Number of blocks in every stage.
        num_heads: Attention heads in the blocks of each transformer stage.
        window_sizes: Side of an attention window in each transformer stage, tokens.
        mlp_ratio: Hidden width of a transformer block's MLP over the stage's width.
        conv_ratio: Hidden width of a convolutional block over the stage's width.

    Raises:
        ValueError: A field cannot work; the message names it with the expected and the found.
    """

    dims: tuple[int, ...] = (64, 128, 160, 320)
    depths: tuple[int, ...] = (2, 2, 6, 2)
    num_heads: tuple[int, ...] = (4, 5, 10)
    window_sizes: tuple[int, ...] = (7, 14, 7)
    mlp_ratio: float = 4.0
    conv_ratio: float = 4.0

    def __post_init__(self) -> None:
        lengths = {"dims": 4, "depths": 4, "num_heads": 3, "window_sizes": 3}
        for name in lengths:
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        fields.check(self, "model.tiny_vit")
        for name, length in lengths.items():
            values = getattr(self, name)
            good = len(values) == length and all(value > 0 for value in values)
            kind = "transformer " if length == 3 else ""
            expected = f"{length} positive numbers, one for each {kind}stage"
            _check(good, f"tiny_vit.{name}", expected, values)
        for name in ("mlp_ratio", "conv_ratio"):
            value = getattr(self, name)
            _check(value > 0, f"tiny_vit.{name}", "a positive number", value)
        for heads, width in zip(self.num_heads, self.dims[1:], strict=True):
            _divides(heads, width, "tiny_vit.dims", "num_heads")


@dataclasses.dataclass(frozen=True)
class PeftConfig:
    """What is added to every transformer block of the image encoder, to tune it by few parameters.

    Attributes:
        kind: `sam_med2d` (the published adapter, in ViT-B twice the size of the encoder that it
            adapts), `conv_bottleneck` (a fiftieth of it: a bottleneck with a depthwise
            convolution, see `samjax.models.adapter`) or `none`.
        ratio: Width of the bottleneck over that of the block: of the channel attention of
            `sam_med2d`, of the whole `conv_bottleneck`.
        init: How fresh adapters start: `zero` (one adds nothing until it is trained) or `kaiming`
            (as published: disturbs a pre-trained encoder from the first step).

    Raises:
        ValueError: A field cannot work; the message names it with the expected and the found.
    """

    kind: str = "sam_med2d"
    ratio: float = 0.25
    init: str = "zero"

    def __post_init__(self) -> None:
        fields.check(self, "model.peft")
        _one_of("peft.kind", self.kind, ("none", "sam_med2d", "conv_bottleneck"))
        _one_of("peft.init", self.init, ("kaiming", "zero"))
        _check(self.ratio > 0, "peft.ratio", "a positive number", self.ratio)

    @property
    def enabled(self) -> bool:
        """Whether there are adapters."""
        return self.kind != "none"


@dataclasses.dataclass(frozen=True)
class SamConfig:
    """Architecture and compute settings of one SAM or SAM-Med2D network.

    The defaults are SAM-Med2D's own ViT-B at 256x256 with adapters. A TinyViT is described by
    `tiny_vit`; it takes no notice of `embed_dim`, `depth`, `num_heads`, `mlp_ratio`,
    `global_attn_indexes` and `window_size`, which are the ViT's.

    Attributes:
        image_size: Side of the square network input, pixels; a multiple of `patch_size`.
        patch_size: Side of one token, pixels. TinyViT: 16 (its stem halves the image twice, as in
            MobileSAM) or 4 (it keeps the size, as in LiteMedSAM).
        encoder: Kind of image encoder: `vit` (SAM, SAM-Med2D) or `tiny_vit`.
        tiny_vit: What a TinyViT looks like.
        embed_dim: Width of the image encoder.
        depth: Number of its transformer blocks.
        num_heads: Attention heads in each block.
        mlp_ratio: Hidden width of a block's MLP over `embed_dim`.
        global_attn_indexes: Blocks that attend over the whole image; the others use windows.
        window_size: Side of an attention window, tokens.
        peft: The adapters of the image encoder.
        prompt_dim: Width of image embedding, prompts and decoder.
        mask_in_chans: Hidden channels of the mask-prompt encoder.
        decoder_depth: Two-way transformer layers.
        decoder_heads: Attention heads in the decoder.
        decoder_mlp_dim: Hidden width of the decoder's MLPs.
        iou_head_hidden_dim: Hidden width of the IoU head.
        num_multimask: Masks predicted for an ambiguous prompt.
        dtype: Compute type, `float32` or `bfloat16`. Parameters, norms, softmax and losses are
            float32 either way.
        remat: Recompute encoder blocks in the backward pass, to save memory.

    Raises:
        ValueError: A field cannot work; the message names it with the expected and the found.
    """

    image_size: int = 256
    patch_size: int = 16
    encoder: str = "vit"
    tiny_vit: TinyVitConfig = dataclasses.field(default_factory=TinyVitConfig)
    embed_dim: int = 768
    depth: int = 12
    num_heads: int = 12
    mlp_ratio: float = 4.0
    global_attn_indexes: tuple[int, ...] = (2, 5, 8, 11)
    window_size: int = 14
    peft: PeftConfig = dataclasses.field(default_factory=PeftConfig)
    prompt_dim: int = 256
    mask_in_chans: int = 16
    decoder_depth: int = 2
    decoder_heads: int = 8
    decoder_mlp_dim: int = 2048
    iou_head_hidden_dim: int = 256
    num_multimask: int = 3
    dtype: str = "float32"
    remat: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.global_attn_indexes, list):
            object.__setattr__(self, "global_attn_indexes", tuple(self.global_attn_indexes))
        fields.check(self, "model")
        positive = (
            "image_size patch_size embed_dim depth num_heads mlp_ratio window_size prompt_dim "
            "mask_in_chans decoder_depth decoder_heads decoder_mlp_dim iou_head_hidden_dim "
            "num_multimask"
        )
        for name in positive.split():
            _check(getattr(self, name) > 0, name, "a positive number", getattr(self, name))
        _divides(self.patch_size, self.image_size, "image_size", "patch_size")
        _divides(self.num_heads, self.embed_dim, "embed_dim", "num_heads")
        _divides(2 * self.decoder_heads, self.prompt_dim, "prompt_dim", "2 * decoder_heads")
        _divides(8, self.prompt_dim, "prompt_dim", "8")
        _divides(4, self.mask_in_chans, "mask_in_chans", "4")
        # A quarter of them is normalised: a single channel would always come out as zero.
        enough = self.mask_in_chans >= 8
        _check(enough, "mask_in_chans", "at least 8", self.mask_in_chans)
        for index in self.global_attn_indexes:
            inside = 0 <= index < self.depth
            _check(inside, "global_attn_indexes", f"indexes from 0 to {self.depth - 1}", index)
        _one_of("encoder", self.encoder, ENCODERS)
        _one_of("dtype", self.dtype, ("float32", "bfloat16"))
        if self.encoder == "tiny_vit":
            fits = self.patch_size in (4, 16)
            _check(fits, "patch_size", "16 or 4 with encoder tiny_vit", self.patch_size)

    @property
    def grid_size(self) -> int:
        """Side of the image embedding, tokens."""
        return self.image_size // self.patch_size

    @property
    def mask_size(self) -> int:
        """Side of the low-resolution logits and of the mask prompt."""
        return 4 * self.grid_size

    def attention_size(self, block: int) -> int:
        """Side of the square of tokens that `block` attends over."""
        return self.grid_size if block in self.global_attn_indexes else self.window_size


def vit_b(**overrides: Any) -> SamConfig:
    """SAM's ViT-B (93.7 M parameters; 271.24 M with SAM-Med2D's adapters)."""
    return SamConfig(**overrides)


def vit_l(**overrides: Any) -> SamConfig:
    """SAM's ViT-L (312 M parameters without adapters)."""
    chosen: dict[str, Any] = dict(
        embed_dim=1024, depth=24, num_heads=16, global_attn_indexes=(5, 11, 17, 23)
    )
    return SamConfig(**{**chosen, **overrides})


def vit_h(**overrides: Any) -> SamConfig:
    """SAM's ViT-H (641 M parameters without adapters)."""
    chosen: dict[str, Any] = dict(
        embed_dim=1280, depth=32, num_heads=16, global_attn_indexes=(7, 15, 23, 31)
    )
    return SamConfig(**{**chosen, **overrides})


def _check(holds: bool, field: str, expected: str, found: object) -> None:
    if not holds:
        raise ValueError(f"model.{field}: expected {expected}, found {found}")


def _one_of(field: str, value: str, allowed: tuple[str, ...]) -> None:
    _check(value in allowed, field, f"one of {', '.join(allowed)}", repr(value))


def _divides(divisor: int, value: int, field: str, divisor_name: str) -> None:
    _check(value % divisor == 0, field, f"a multiple of {divisor_name} = {divisor}", value)
