"""Families of checkpoints: the preprocessing of each, and the family that a file belongs to.

The tensors determine the architecture, but not how images were prepared in training. Settings that
travel with the file come first (`CheckpointContents.settings`, or Hugging Face's files beside it).
Without them only evidence counts: adapters, the kind of encoder, the size of the position
embedding. A file's wrapper, such as `{'model', 'optimizer'}`, is no evidence: everyone saves so.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from samjax.data.inputs import Preprocessing
from samjax.models.config import SamConfig

SAM_PREPROCESSING = Preprocessing(
    "longest_side", "antialias", "rgb", "logits"
)  # MobileSAM as well.
SAM_MED2D_PREPROCESSING = Preprocessing("pad_or_stretch", "nearest", "bgr", "sigmoid")
LITE_MEDSAM_PREPROCESSING = Preprocessing(
    "longest_side",
    "area",
    "rgb",
    "logits",
    normalise="min_max",
    coordinates="uniform",
    multimask=False,
    box_margin=3.0,
)
MEDSAM_PREPROCESSING = dataclasses.replace(
    SAM_PREPROCESSING, resize="stretch", normalise="min_max", multimask=False
)
AUTOSAM_PREPROCESSING = dataclasses.replace(
    SAM_PREPROCESSING, resize="stretch", interpolation="linear", normalise="min_max"
)
MSA_PREPROCESSING = dataclasses.replace(SAM_PREPROCESSING, resize="stretch", multimask=False)
MSA_FIRST_PREPROCESSING = dataclasses.replace(  # Values of 0 to 1.
    MSA_PREPROCESSING, mean=(0.0, 0.0, 0.0), std=(255.0, 255.0, 255.0)
)
# Values of 0 to 1; of the published cubic interpolation, the nearest that there is.
SAMED_PREPROCESSING = dataclasses.replace(
    MSA_FIRST_PREPROCESSING, interpolation="linear", multimask=True
)
Family = Literal[
    "sam",
    "sam_med2d",
    "ft_sam",
    "medsam",
    "msa",
    "msa_first",
    "mobile_sam",
    "lite_medsam",
    "autosam",
    "samed",
    "samjax",
]
FAMILIES: dict[
    Family, Preprocessing
] = {  # What the published weights saw in training, and our own recipe's default.
    "sam": SAM_PREPROCESSING,
    "sam_med2d": SAM_MED2D_PREPROCESSING,
    "ft_sam": SAM_MED2D_PREPROCESSING,
    "medsam": MEDSAM_PREPROCESSING,
    "msa": MSA_PREPROCESSING,
    "msa_first": MSA_FIRST_PREPROCESSING,
    "mobile_sam": SAM_PREPROCESSING,
    "lite_medsam": LITE_MEDSAM_PREPROCESSING,
    "autosam": AUTOSAM_PREPROCESSING,
    "samed": SAMED_PREPROCESSING,
    "samjax": Preprocessing(),
}
_SAM_SIZE, _SAM_MED2D_SIZE = 1024, 256  # Pixels, of the released weights.


@dataclasses.dataclass(frozen=True)
class PreprocessingDecision:
    """The preprocessing chosen for a checkpoint, and the reason.

    Attributes:
        preprocessing: Preprocessing that the network expects.
        reason: Source of the preprocessing, or evidence for it, in words.
        alternatives: Other families that the file may belong to; empty where there is evidence.
    """

    preprocessing: Preprocessing
    reason: str
    alternatives: tuple[str, ...] = ()

    @property
    def is_guess(self) -> bool:
        """Whether the file may belong to another family."""
        return bool(self.alternatives)

    def describe(self) -> str:
        """Returns one line for the user, with advice on correcting a guess."""
        if not self.is_guess:
            return f"images are prepared by {self.reason}"
        return (
            f"images are prepared by {self.reason}; this is a guess, nothing in the file "
            f"distinguishes it from {' or '.join(self.alternatives)}: if it is wrong, name the "
            f"family (--family {self.alternatives[0]}, in Python family={self.alternatives[0]!r}, "
            f"in training init_family={self.alternatives[0]}) or single settings (--resize, "
            "--channel-order, ...)"
        )


def named(family: str) -> PreprocessingDecision:
    """Returns the preprocessing of a family that the user names.

    Raises:
        ValueError: There is no such family.
    """
    if family not in FAMILIES:
        raise ValueError(f"family: expected one of {', '.join(FAMILIES)}, found {family!r}")
    return PreprocessingDecision(FAMILIES[family], f"family {family}, as asked")


def infer(config: SamConfig) -> PreprocessingDecision:
    """Returns the preprocessing of the family that an architecture indicates."""
    if config.head.kind in ("autosam", "cnn", "linear"):
        return _evidence("autosam", f"a head of kind {config.head.kind}")
    if config.peft.kind == "msa" or config.two_way == "efficient_sam":
        return _of_msa(config)
    if config.encoder == "tiny_vit":
        return _of_tiny_vit(config)
    if config.head.kind == "semantic" and config.peft.kind == "lora":
        return _evidence("samed", "LoRA and a mask token for each class")
    size = f"{config.image_size} pixels"
    if config.peft.kind == "conv_bottleneck":
        return _guess("samjax", "conv_bottleneck adapters", "sam_med2d", "sam")
    if config.peft.enabled and config.image_size == _SAM_MED2D_SIZE:
        return _evidence("sam_med2d", f"its adapters and {size}")
    if config.peft.enabled:
        return _guess("sam_med2d", f"adapters, but {size}", "samjax", "sam")
    if config.image_size == _SAM_MED2D_SIZE:
        return _guess("ft_sam", f"a ViT of {size} without adapters", "sam", "medsam")
    if config.image_size == _SAM_SIZE:
        return _guess("sam", f"a ViT of {size} without adapters", "medsam")
    return _guess("sam", f"a ViT of {size} without adapters", "ft_sam", "medsam")


def override(decision: PreprocessingDecision, settings: Mapping[str, Any]) -> PreprocessingDecision:
    """Returns the decision with single settings replaced by the user's."""
    if not settings:
        return decision
    reason = f"{decision.reason}, with {', '.join(settings)} as asked"
    changed = dataclasses.replace(decision.preprocessing, **settings)
    return dataclasses.replace(decision, preprocessing=changed, reason=reason)


def _of_msa(config: SamConfig) -> PreprocessingDecision:
    if config.two_way == "efficient_sam":
        return _guess("msa", "MSA's adapters or decoder of 2024", "msa_first")
    return _guess("msa_first", "MSA's adapters of 2023", "msa")


def _of_tiny_vit(config: SamConfig) -> PreprocessingDecision:
    family = "mobile_sam" if config.patch_size == 16 else "lite_medsam"
    if not config.peft.enabled:
        return _evidence(family, "its TinyViT's first convolution")
    found = _guess(family, "a TinyViT, but with adapters", "samjax")
    sigmoid = dataclasses.replace(found.preprocessing, mask_prompt="sigmoid")
    return dataclasses.replace(found, preprocessing=sigmoid)


def _evidence(family: Family, reason: str) -> PreprocessingDecision:
    return PreprocessingDecision(FAMILIES[family], f"family {family} (evidence: {reason})")


def _guess(family: Family, evidence: str, *alternatives: str) -> PreprocessingDecision:
    return PreprocessingDecision(
        FAMILIES[family], f"family {family} (found: {evidence})", alternatives
    )
