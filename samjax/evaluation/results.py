"""Settings and results of an evaluation."""

import dataclasses

from samjax import fields
from samjax.data.metadata import Metadata
from samjax.evaluation import protocols
from samjax.evaluation.prompt_file import MaskPrompt, PromptSet

FILLED_BOX = "filled_box"  # The baseline: the box prompt itself taken as the mask.


@dataclasses.dataclass(frozen=True)
class EvalConfig:
    """Settings of an evaluation.

    Attributes:
        protocols: What it is shown, see `samjax.evaluation.protocols`.
        batch_size: Masks predicted at a time.
        images_per_batch: Images encoded at a time.
        seed: Seed of the prompts, unless some are replayed.
        adapters: Whether the adapters take part, if the network has any.
        oracle: Also score the best of the candidate masks, as if the user chose.
        limit: Evaluate only so many images, spread evenly over the data set.
        threads: Threads that load images ahead.

    Raises:
        ValueError: A field has a value that cannot work.
    """

    protocols: tuple[str, ...] = protocols.DEFAULT
    batch_size: fields.PositiveInt = 16
    images_per_batch: fields.PositiveInt = 8
    seed: fields.Seed = 0
    adapters: bool = True
    oracle: bool = False
    limit: fields.PositiveInt | None = None
    threads: fields.PositiveInt = 4

    def __post_init__(self) -> None:
        fields.check(self)
        object.__setattr__(self, "protocols", protocols.parse(self.protocols))

    @property
    def rounds(self) -> int:
        """Number of points in the trajectory that serves all the protocols."""
        return max(protocols.points_of(name) for name in self.protocols)


@dataclasses.dataclass(frozen=True)
class Score:
    """Scores of one mask by one protocol.

    Attributes:
        dice: Dice of the chosen candidate.
        iou: Its IoU.
        dice_oracle: Dice of the best candidate, if asked for.
    """

    dice: float
    iou: float
    dice_oracle: float | None = None


@dataclasses.dataclass(frozen=True)
class MaskResult:
    """The scores of one mask.

    Attributes:
        image: Path of the image.
        mask: Path of the mask.
        metadata: What is known of it.
        height: Height of the image, pixels.
        width: Width of the image, pixels.
        area: Pixels of the mask.
        scores: By protocol, and `filled_box`.
    """

    image: str
    mask: str
    metadata: Metadata
    height: int
    width: int
    area: int
    scores: dict[str, Score]


@dataclasses.dataclass(frozen=True)
class ImageResults:
    """What came out of one image.

    Attributes:
        results: One per mask that could be evaluated.
        prompts: What they were shown, by path.
        skipped: Why other masks were not evaluated, by path.
        contents: What image and masks hold (`samjax.data.fingerprint`), by path.
    """

    results: tuple[MaskResult, ...]
    prompts: dict[str, MaskPrompt]
    skipped: dict[str, str]
    contents: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The outcome of an evaluation.

    Attributes:
        config: How it was made.
        image_size: Side of the network's input.
        results: One per mask.
        prompts: The prompts, to save and replay; with the masks skipped, and why.
        fps: Images per second of `bbox` and `points`: time on the device for encoding a full
            batch and decoding all its prompts (for `points`, the whole trajectory), without
            loading, compiling and scoring.
        left_out: Protocols of points that were asked for, of a model that knows boxes alone.
    """

    config: EvalConfig
    image_size: int
    results: list[MaskResult]
    prompts: PromptSet
    fps: dict[str, float]
    left_out: tuple[str, ...] = ()
