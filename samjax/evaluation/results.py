"""Settings and results of an evaluation."""

import dataclasses
from typing import Literal

from samjax import fields
from samjax.data.metadata import Metadata
from samjax.evaluation import protocols
from samjax.evaluation.prompt_file import MaskPrompt, PromptSet
from samjax.evaluation.protocols import Score
from samjax.inference.automatic_config import AutomaticConfig

FILLED_BOX = "filled_box"  # The baseline: the box prompt itself taken as the mask.


@dataclasses.dataclass(frozen=True)
class EvalConfig:
    """Settings of an evaluation.

    Attributes:
        protocols: Kinds of prompts, see `samjax.evaluation.protocols`.
        batch_size: Masks predicted at a time.
        images_per_batch: Images encoded at a time.
        seed: Seed of the prompts, unless some are replayed.
        adapters: Whether to use the adapters, if the network has any.
        select: Candidate that counts: that of the highest predicted IoU, `score`; with `oracle`
            also the best by the truth, as if the user chose.
        surface: Surface metrics: in pixels of the image, `px`; in mm, by the spacing of the
            images, `mm`; of whole volumes in mm, `3d`. Empty: none.
        tolerances: Tolerances of the normalised surface Dice, in the same units.
        draws: Draws of each random prompt, whose mean counts.
        automatic: `S1` and `everythingN`: settings of the masks; their number of points is in the
            name, and crops and small regions are not supported.
        workers: Processes that compute surface metrics; 0: this one. A script that asks for others
            needs the guard `if __name__ == "__main__"`.
        other_classes: Semantic models, masks of classes that the model lacks: `error`, or `skip`
            leaves them out.
        jitter: Largest move of a box's side over the image's width or height, in the protocols
            `bbox_jitter` and `bbox_xM`; SAM-U: 1/32.
        ensemble_mean: `bbox_xM`: whether the `probability` or the `logit` is averaged.
        limit: Number of images, spread evenly over the data set; None: all.
        threads: Threads that load images ahead.

    Raises:
        ValueError: A field has a value that cannot work.
    """

    protocols: tuple[str, ...] = protocols.DEFAULT
    batch_size: fields.PositiveInt = 16
    images_per_batch: fields.PositiveInt = 8
    seed: fields.Seed = 0
    adapters: bool = True
    select: tuple[Literal["score", "oracle"], ...] = ("score",)
    surface: tuple[Literal["px", "mm", "3d"], ...] = ()
    tolerances: tuple[fields.PositiveFloat, ...] = (2.0,)
    draws: fields.PositiveInt = 1
    automatic: AutomaticConfig = dataclasses.field(default_factory=AutomaticConfig)
    workers: fields.NonNegativeInt = 0
    other_classes: Literal["error", "skip"] = "error"
    jitter: fields.Probability = 1 / 32
    ensemble_mean: Literal["probability", "logit"] = "probability"
    limit: fields.PositiveInt | None = None
    threads: fields.PositiveInt = 4

    def __post_init__(self) -> None:
        fields.check(self)
        object.__setattr__(self, "protocols", protocols.parse(self.protocols))

        for name in ("select", "surface", "tolerances"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise fields.FieldError(name, f"expected different ones, found {values}")
        for name in ("crop_n_layers", "min_mask_region_area"):
            if value := getattr(self.automatic, name):
                problem = f"expected 0 in an evaluation, found {value}"
                raise fields.FieldError(f"automatic.{name}", problem)
        if "score" not in self.select:
            raise fields.FieldError("select", f"expected score among them, found {self.select}")

    @property
    def oracle(self) -> bool:
        """Whether the best candidate by the truth is scored, too."""
        return "oracle" in self.select


@dataclasses.dataclass(frozen=True)
class Uncertainty:
    """Uncertainty of one mask by an ensemble, see `samjax.evaluation.ensembles.EnsembleCounts`.

    Attributes:
        entropy: Mean predictive entropy within the box, bits.
        calibration: Pixels, sum of probabilities and true pixels, by bins of the probability.
        by_entropy: Wrong and right pixels, by bins of rising predictive entropy.
    """

    entropy: float
    calibration: list[list[float]]
    by_entropy: list[list[int]]


@dataclasses.dataclass(frozen=True)
class MaskInfo:
    """A mask that was evaluated.

    Attributes:
        image: Path of the image.
        mask: Path of the mask.
        metadata: Modality, dataset, case, class and more.
        height: Height of the image, pixels.
        width: Width of the image, pixels.
        area: Pixels of the mask.
    """

    image: str
    mask: str
    metadata: Metadata
    height: int
    width: int
    area: int

    @property
    def subject(self) -> str:
        """Returns the subject, distinct over datasets."""
        return f"{self.metadata.dataset}/{self.metadata.case}"


@dataclasses.dataclass(frozen=True)
class MaskResult(MaskInfo):
    """The scores of one mask.

    Attributes:
        scores: By protocol, and `filled_box`.
        uncertainty: By protocol, of those that are ensembles.
    """

    scores: dict[str, Score]
    uncertainty: dict[str, Uncertainty] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class ClassCounts:
    """Pixels of one class in one image, by a semantic model.

    Attributes:
        intersection: Pixels that have the class and are predicted as it.
        predicted: Pixels that are predicted as it.
        truth: Pixels in masks of the class.
        image: All pixels of the image.
    """

    intersection: int
    predicted: int
    truth: int
    image: int


@dataclasses.dataclass(frozen=True)
class SliceMasks:
    """The masks of one object in a slice of a volume, as COCO's run lengths (text).

    Attributes:
        mask: Path of the true mask.
        truth: The true mask.
        predicted: The chosen mask of each protocol's last step.
    """

    mask: str
    truth: str
    predicted: dict[str, str]


@dataclasses.dataclass(frozen=True)
class VolumeResult:
    """Scores of one object in a volume.

    Attributes:
        metadata: Metadata of its first slice.
        slices: Number of slices, from the first to the last with the object.
        values: Metrics by protocol.
    """

    metadata: Metadata
    slices: int
    values: dict[str, dict[str, float]]


@dataclasses.dataclass(frozen=True)
class ImageResults:
    """Results of one image.

    Attributes:
        results: One per mask that could be evaluated.
        prompts: Their prompts, by path.
        skipped: Reasons why other masks were not evaluated, by path.
        contents: Fingerprints of image and masks (`samjax.data.fingerprint`), by path.
        classes: By a semantic model: pixels of the classes that the image or its class map has.
        slices: For metrics of volumes: the masks of each result.
    """

    results: tuple[MaskResult, ...]
    prompts: dict[str, MaskPrompt]
    skipped: dict[str, str]
    contents: dict[str, str]
    classes: dict[str, ClassCounts] = dataclasses.field(default_factory=dict)
    slices: tuple[SliceMasks, ...] = ()


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Results of an evaluation.

    Attributes:
        config: Settings of the evaluation.
        image_size: Side of the network's input.
        results: One per mask.
        prompts: The prompts, to save and replay; also the skipped masks with reasons.
        fps: Images per second of `bbox` and `points`: time on the device for encoding a full
            batch and decoding all its prompts (for `points`, the whole trajectory), without
            loading, compiling and scoring.
        left_out: Protocols with points, where the model takes box prompts only.
        classes: By a semantic model: pixels of each class, by image and class.
        other_classes: Masks left out, whose class a semantic model lacks, by class.
        volumes: For metrics of volumes: one per object of a volume.
    """

    config: EvalConfig
    image_size: int
    results: list[MaskResult]
    prompts: PromptSet
    fps: dict[str, float]
    left_out: tuple[str, ...] = ()
    classes: dict[str, dict[str, ClassCounts]] = dataclasses.field(default_factory=dict)
    other_classes: dict[str, int] = dataclasses.field(default_factory=dict)
    volumes: list[VolumeResult] = dataclasses.field(default_factory=list)
