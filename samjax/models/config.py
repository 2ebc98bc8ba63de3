"""Architecture of a network: a frozen, hashable description, checked when it is made."""

import dataclasses
from typing import Annotated, Any, Literal

from samjax import fields
from samjax.fields import NonNegativeInt, PositiveFloat, PositiveInt
from samjax.models.heads.config import HeadConfig
from samjax.models.peft.config import PeftConfig

Dtype = Literal["float32", "bfloat16"]


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
        ValueError: A field is invalid; the message names it, with the expected and the found value.
    """

    dims: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (64, 128, 160, 320)
    depths: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (2, 2, 6, 2)
    num_heads: tuple[PositiveInt, PositiveInt, PositiveInt] = (4, 5, 10)
    window_sizes: tuple[PositiveInt, PositiveInt, PositiveInt] = (7, 14, 7)
    mlp_ratio: PositiveFloat = 4.0
    conv_ratio: PositiveFloat = 4.0

    def __post_init__(self) -> None:
        fields.check(self)
        for heads, width in zip(self.num_heads, self.dims[1:], strict=True):
            _divides(heads, width, "dims", "num_heads")


@dataclasses.dataclass(frozen=True)
class SamConfig:
    """Architecture and compute settings of one SAM or SAM-Med2D network.

    The defaults are SAM-Med2D's own ViT-B at 256x256 with adapters. A TinyViT is described by
    `tiny_vit`; it ignores `embed_dim`, `depth`, `num_heads`, `mlp_ratio`,
    `global_attn_indexes` and `window_size`, which are the ViT's.

    Attributes:
        image_size: Side of the square network input, pixels; a multiple of `patch_size`.
        patch_size: Side of one token, pixels. TinyViT: 16 (its stem halves the image twice, as in
            MobileSAM) or 4 (it keeps the size, as in LiteMedSAM).
        encoder: Kind of image encoder: `vit` (SAM, SAM-Med2D), `tiny_vit`, or `unet` (no SAM: a
            plain U-Net, to compare semantic heads with; `patch_size` 4, head `pixel`).
        tiny_vit: Architecture of a TinyViT.
        unet_widths: Width of every resolution of a U-Net, from that of the image down.
        embed_dim: Width of the image encoder.
        depth: Number of its transformer blocks.
        num_heads: Attention heads in each block.
        mlp_ratio: Hidden width of a block's MLP over `embed_dim`.
        global_attn_indexes: Blocks that attend over the whole image; the others use windows.
        window_size: Side of an attention window, tokens.
        window_padding: Tokens that pad the ViT's grid where windows do not divide it: `zero` (SAM)
            or `norm_bias` (the Medical SAM Adapter pads before the norm, which makes them its
            bias; with `peft.depth`, its windows then take the place of slices).
        pos_embed_size: Side of the ViT's position embedding, tokens, which is resized bicubically
            to the grid of every image (Medical SAM Adapter: 64); 0: that of the grid.
        peft: Adapters or LoRA of the image encoder.
        prompt_dim: Width of image embedding, prompts and decoder.
        mask_in_chans: Hidden channels of the mask-prompt encoder.
        decoder_depth: Two-way transformer layers.
        decoder_heads: Attention heads in the decoder.
        decoder_mlp_dim: Hidden width of the decoder's MLPs.
        two_way: Self-attention of the decoder's tokens: `sam`, or `efficient_sam`, which adds its
            output in the first layer, too, where SAM replaces the tokens, and adds the position
            encoding to the tokens of later layers instead of to queries and keys alone (Medical
            SAM Adapter since January 2024).
        iou_head_hidden_dim: Hidden width of the IoU head.
        num_multimask: Masks predicted for an ambiguous prompt; of semantic heads, `prompts` alone
            uses it.
        head: Masks from prompts, or classes of pixels.
        dtype: Compute type, `float32` or `bfloat16`. Parameters, norms, softmax and losses are
            float32 either way.
        remat: Recompute encoder blocks in the backward pass, to save memory.

    Raises:
        ValueError: A field is invalid; the message names it, with the expected and the found value.
    """

    image_size: PositiveInt = 256
    patch_size: PositiveInt = 16
    encoder: Literal["vit", "tiny_vit", "unet"] = "vit"
    tiny_vit: TinyVitConfig = dataclasses.field(default_factory=TinyVitConfig)
    unet_widths: tuple[PositiveInt, ...] = (32, 64, 128, 192, 192)
    embed_dim: PositiveInt = 768
    depth: PositiveInt = 12
    num_heads: PositiveInt = 12
    mlp_ratio: PositiveFloat = 4.0
    global_attn_indexes: tuple[NonNegativeInt, ...] = (2, 5, 8, 11)
    window_size: PositiveInt = 14
    window_padding: Literal["zero", "norm_bias"] = "zero"
    pos_embed_size: NonNegativeInt = 0
    peft: PeftConfig = dataclasses.field(default_factory=PeftConfig)
    prompt_dim: PositiveInt = 256
    # A quarter of them is normalised: a single channel would always become zero.
    mask_in_chans: Annotated[int, fields.Range(8)] = 16
    decoder_depth: PositiveInt = 2
    decoder_heads: PositiveInt = 8
    decoder_mlp_dim: PositiveInt = 2048
    two_way: Literal["sam", "efficient_sam"] = "sam"
    iou_head_hidden_dim: PositiveInt = 256
    num_multimask: PositiveInt = 3
    head: HeadConfig = dataclasses.field(default_factory=HeadConfig)
    dtype: Dtype = "float32"
    remat: bool = False

    def __post_init__(self) -> None:
        fields.check(self)
        _divides(self.patch_size, self.image_size, "image_size", "patch_size")
        _divides(self.num_heads, self.embed_dim, "embed_dim", "num_heads")
        _divides(2 * self.decoder_heads, self.prompt_dim, "prompt_dim", "2 * decoder_heads")
        _divides(8, self.prompt_dim, "prompt_dim", "8")
        _divides(4, self.mask_in_chans, "mask_in_chans", "4")
        of_pixels = (self.encoder == "unet", self.head.kind == "pixel")
        _check(
            any(of_pixels) == all(of_pixels),
            "head.kind",
            "pixel with encoder unet alone",
            f"{self.head.kind} with {self.encoder}",
        )
        for index in self.global_attn_indexes:
            inside = 0 <= index < self.depth
            _check(inside, "global_attn_indexes", f"indexes from 0 to {self.depth - 1}", index)
        has_attention = self.head.kind in ("masks", "semantic", "autosam", "prompts")
        found = self.peft.decoder
        _check(
            has_attention or not found, "peft.decoder", f"False with head {self.head.kind}", found
        )
        if self.encoder == "tiny_vit":
            known = "sam_med2d, conv_bottleneck, msa, lora, fact or adaptformer"
            expected = f"{known} with encoder tiny_vit"
            _check(self.peft.kind != "ssf", "peft.kind", expected, self.peft.kind)
            found = self.window_padding
            _check(found == "zero", "window_padding", "zero with encoder tiny_vit", found)
            found = self.pos_embed_size
            _check(not found, "pos_embed_size", "0 with encoder tiny_vit", found)
            fits = self.patch_size in (4, 16)
            _check(fits, "patch_size", "16 or 4 with encoder tiny_vit", self.patch_size)
            found = self.peft.layers
            _check(not found, "peft.layers", "none with encoder tiny_vit", found)
            found = self.peft.depth
            _check(found < 2, "peft.depth", "0 or 1 with encoder tiny_vit", found)
        elif self.encoder == "unet":
            _check(self.patch_size == 4, "patch_size", "4 with encoder unet", self.patch_size)
            _check(not self.peft.enabled, "peft.kind", "none with encoder unet", self.peft.kind)
            width = self.unet_widths[0]
            _check(
                self.prompt_dim == width, "prompt_dim", f"unet_widths[0] = {width}", self.prompt_dim
            )
            coarsest = 2 ** (len(self.unet_widths) - 1)
            _divides(coarsest, self.image_size, "image_size", "2 ** (len(unet_widths) - 1)")
        elif self.peft.enabled:
            inside = all(index < self.depth for index in self.peft.layers)
            expected = f"indexes from 0 to {self.depth - 1}"
            _check(inside, "peft.layers", expected, self.peft.layers)

    @property
    def grid_size(self) -> int:
        """Side of the image embedding, tokens."""
        return self.image_size // self.patch_size

    @property
    def mask_tokens(self) -> int:
        """Number of mask tokens of SAM's decoder, in each of its `token_sets`."""
        if self.head.kind == "autosam":
            return 2  # As with a single further mask, which is not used.
        return (self.num_multimask if self.head.keeps_masks else self.head.classes) + 1

    @property
    def token_sets(self) -> int:
        """Number of sets of output tokens of SAM's decoder: one for each class in AutoSAM's."""
        return self.head.classes + 1 if self.head.kind == "autosam" else 1

    @property
    def mask_size(self) -> int:
        """Side of the low-resolution logits and of the mask prompt."""
        return 4 * self.grid_size

    def attention_size(self, block: int) -> int:
        """Returns the side of the square of tokens that `block` attends over."""
        return self.grid_size if block in self.global_attn_indexes else self.window_size


def vit_b(**overrides: Any) -> SamConfig:
    """Returns SAM's ViT-B (93.7 M parameters; 271.24 M with SAM-Med2D's adapters)."""
    return SamConfig(**overrides)


def vit_l(**overrides: Any) -> SamConfig:
    """Returns SAM's ViT-L (312 M parameters without adapters)."""
    defaults: dict[str, Any] = dict(
        embed_dim=1024, depth=24, num_heads=16, global_attn_indexes=(5, 11, 17, 23)
    )
    return SamConfig(**{**defaults, **overrides})


def vit_h(**overrides: Any) -> SamConfig:
    """Returns SAM's ViT-H (641 M parameters without adapters)."""
    defaults: dict[str, Any] = dict(
        embed_dim=1280, depth=32, num_heads=16, global_attn_indexes=(7, 15, 23, 31)
    )
    return SamConfig(**{**defaults, **overrides})


def _check(holds: bool, field: str, expected: str, found: object) -> None:
    if not holds:
        raise fields.FieldError(field, f"expected {expected}, found {found}")


def _divides(divisor: int, value: int, field: str, divisor_name: str) -> None:
    _check(value % divisor == 0, field, f"a multiple of {divisor_name} = {divisor}", value)
