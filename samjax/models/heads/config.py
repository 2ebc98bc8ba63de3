"""Settings of the head that turns image embeddings into masks or classes."""

import dataclasses
from typing import Annotated, Literal

from samjax import fields

Kind = Literal["masks", "semantic", "autosam", "cnn", "linear", "pixel", "prompts"]
MOST_CLASSES = 254  # Label maps are uint8.


@dataclasses.dataclass(frozen=True)
class HeadConfig:
    """Output of the network: masks from prompts, or classes of all pixels without a prompt.

    Attributes:
        kind: `masks` (SAM's prompt encoder and decoder), `semantic` (the same with one mask token
            for every class and one for the background, all masks out; SAMed), `autosam` (SAM's
            transformer, run once for each class, without prompt encoder; AutoSAM), `cnn` or
            `linear` (AutoSAM's convolutional heads), `pixel` (a linear map of a U-Net's features),
            `prompts` (a small head proposes a box and a point for the objects of every class, and
            SAM's own prompt encoder and decoder answer them).
        classes: Number of classes, without the background; 0 with `masks`. In a recipe, 0 means as
            many as the data have.
        positions: AutoSAM: frequencies of its position encoding at the start, those of the `sam`
            that it is made from, or `random` ones (as published).
        depth: CNN: number of its stages, of which the last two double the side; AutoSAM: 4.
        width: CNN: channels after the last stage, with twice as many before each; AutoSAM: 64.
        objects: Prompts: largest number of objects of one class in an image (two lungs: 2).

    Raises:
        ValueError: A field is invalid, or has no effect with `kind`; the message names it.
    """

    kind: Kind = "masks"
    classes: Annotated[int, fields.Range(0, MOST_CLASSES)] = 0
    positions: Literal["sam", "random"] = "sam"
    depth: Annotated[int, fields.Range(2, 8)] = 4
    width: fields.PositiveInt = 64
    objects: fields.PositiveInt = 2

    def __post_init__(self) -> None:
        fields.check(self)
        if self.kind == "masks" and self.classes:
            raise fields.FieldError(
                "classes", f"expected 0 with kind=masks, found {self.classes}; semantic has classes"
            )

    @property
    def is_semantic(self) -> bool:
        """Whether it gives classes of pixels, without a prompt."""
        return self.kind != "masks"

    @property
    def takes_prompt_encoder(self) -> bool:
        """Whether the network has a prompt encoder."""
        return self.kind in ("masks", "semantic", "prompts")

    @property
    def keeps_masks(self) -> bool:
        """Whether SAM's prompt encoder and decoder are as they are without a head of classes."""
        return self.kind in ("masks", "prompts")
