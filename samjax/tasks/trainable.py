"""Trainable parts of the network."""

import dataclasses
from typing import Literal

from samjax import fields
from samjax.models import PeftConfig


@dataclasses.dataclass(frozen=True)
class TrainableConfig:
    """Trainable parts of the network.

    Attributes:
        encoder: `adapters` (SAM-Med2D: the encoder's own weights never change; LoRA, too), `frozen`
            (FT-SAM) or `full` (the encoder's own weights are trained, too).
        prompt_encoder: The updates that train it: `all` (ours: points and mask prompts only occur
            together in later updates), `first` (paper, published code) or `frozen` (FT-SAM). Of a
            semantic head, "no mask" alone is trained.
        decoder: `full`, or `without_transformer`: output tokens, upscaling and hypernetworks, and
            LoRA in the transformer if it has any (SAMed_s).
        iou_head: Whether the head that predicts the IoU is trained; MedSAM: no. Then it keeps its
            values, even with weight decay. A semantic head never trains it.
        multimask: Whether three masks are predicted and the best of them trained; paper, code
            and ours: yes.

    Raises:
        ValueError: A field has an unknown value.
    """

    encoder: Literal["adapters", "frozen", "full"] = "adapters"
    prompt_encoder: Literal["all", "first", "frozen"] = "all"
    decoder: Literal["full", "without_transformer"] = "full"
    iou_head: bool = True
    multimask: bool = True

    def __post_init__(self) -> None:
        fields.check(self)

    @property
    def encoder_groups(self) -> tuple[str, ...]:
        """Parameter groups of the image encoder that are trained."""
        return {"adapters": ("adapter",), "frozen": (), "full": ("adapter", "encoder")}[
            self.encoder
        ]

    def frozen(self, peft: PeftConfig, iou_head: bool) -> str:
        """Returns a regular expression of parameters that stay, whatever their group.

        Args:
            peft: Fine-tuning of the encoder.
            iou_head: Whether the head that predicts the IoU is trained.
        """
        patterns = [*peft.idle]
        if not iou_head:
            patterns.append(r"mask_decoder/iou_prediction_head/.*")
        if self.decoder == "without_transformer":
            patterns.append(r"mask_decoder/transformer/(?!.*adapter/).*")
        return "|".join(patterns)
