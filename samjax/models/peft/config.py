"""Settings of parameter-efficient fine-tuning."""

import dataclasses
from typing import Literal

from samjax import fields

Kind = Literal["none", "sam_med2d", "conv_bottleneck", "msa", "lora", "fact", "ssf", "adaptformer"]
Target = Literal["q", "k", "v"]
PROJECTIONS: tuple[Target, ...] = ("q", "k", "v")  # In the order of the `qkv` kernel.
# Fields that have an effect, besides `kind` and `layers`.
_FIELDS = {
    # Earlier versions wrote a ratio without adapters.
    "none": ("ratio", "init", "rank", "scale", "targets", "decoder"),
    "sam_med2d": ("ratio", "init"),
    "conv_bottleneck": ("ratio", "init"),
    "msa": ("ratio", "init", "depth"),
    "lora": ("rank", "scale", "targets", "decoder"),
    "fact": ("rank", "scale", "targets", "init"),
    "ssf": ("init",),
    "adaptformer": ("ratio", "scale"),
}


@dataclasses.dataclass(frozen=True)
class PeftConfig:
    """Parameter-efficient fine-tuning of the image encoder's transformer blocks.

    Attributes:
        kind: `sam_med2d` (the published adapter, in ViT-B twice the size of the encoder that it
            adapts), `conv_bottleneck` (a fiftieth of its size: a bottleneck with a depthwise
            convolution), `msa` (the Medical SAM Adapter's bottlenecks after the attention and
            beside the MLP), `lora` (low-rank updates of the attention's projections, as in SAMed),
            `fact` (the same with shared factors), `ssf` (scale and shift of every layer's output),
            `adaptformer` (a bottleneck beside the MLP) or `none`; see `samjax.models.peft`.
        ratio: Adapters: width of the bottleneck over that of the block: of the channel attention
            of `sam_med2d`, of the whole of the others.
        init: Adapters: initial values, `zero` (they add nothing until they are trained) or
            `kaiming` (as published: they disturb a pre-trained encoder from the first step).
        rank: LoRA: rank of an update; SAMed: 4.
        scale: LoRA: factor of the updates; SAMed: 1.
        targets: LoRA: projections that are updated, of `q`, `k` and `v`; SAMed: q and v.
        layers: Blocks that have it, from 0; empty: all.
        decoder: LoRA: whether the attention of the mask decoder has it, too; SAMed_s: yes, with
            `trainable.decoder=without_transformer`.
        depth: MSA: number of neighbouring slices of a volume, in order along the batch axis, that
            are encoded together, by its third adapter; a ViT's only. 0 or 1: every image alone.

    Raises:
        ValueError: A field is invalid, or has no effect with `kind`; the message names it.
    """

    kind: Kind = "sam_med2d"
    ratio: fields.PositiveFloat = 0.25
    init: Literal["zero", "kaiming"] = "zero"
    rank: fields.PositiveInt = 4
    scale: fields.PositiveFloat = 1.0
    targets: tuple[Target, ...] = ("q", "v")
    layers: tuple[fields.NonNegativeInt, ...] = ()
    decoder: bool = False
    depth: fields.NonNegativeInt = 0

    def __post_init__(self) -> None:
        fields.check(self)
        if not self.targets or len(set(self.targets)) < len(self.targets):
            raise fields.FieldError(
                "targets", f"expected different ones of q, k, v, found {self.targets!r}"
            )
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        for name in defaults.keys() - {"kind", "layers", *_FIELDS[self.kind]}:
            if getattr(self, name) != defaults[name]:
                raise fields.FieldError(
                    name,
                    f"expected its default {defaults[name]!r}, since it has no effect with "
                    f"kind={self.kind}, found {getattr(self, name)!r}",
                )

    @property
    def enabled(self) -> bool:
        """Whether there are any parameters."""
        return self.kind != "none"

    @property
    def idle(self) -> tuple[str, ...]:
        """Regular expressions of parameters that take no part, which nothing trains."""
        return () if self.depth > 1 else (r"image_encoder/.*/adapter/depth/.*",)

    def is_in(self, block: int) -> bool:
        """Whether a block of the encoder, numbered from 0, has it."""
        return self.enabled and (not self.layers or block in self.layers)
