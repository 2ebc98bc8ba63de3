"""The contract of an evaluation protocol, and the network's predictions by one."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, Float, Int

from samjax import models
from samjax.models.directory import Model

if TYPE_CHECKING:  # Settings check the names of protocols.
    from samjax.evaluation.batches import EvaluationBatch
    from samjax.evaluation.results import EvalConfig

Timed = Callable[..., Any]  # Calls a function with arguments, and measures it under a name.


@dataclasses.dataclass(frozen=True)
class Score:
    """Scores of one mask by one protocol.

    Attributes:
        values: Value of every metric: `dice`, `iou`, `predicted_iou`, with the oracle
            `dice_oracle`, `iou_oracle`, `oracle_gap` and `chosen_best`, surface metrics such as
            `hd95_px`, and those of a protocol, such as `noc85`.
        steps: Values of metrics after every click, or of every draw of a prompt.
    """

    values: dict[str, float]
    steps: dict[str, list[float]] = dataclasses.field(default_factory=dict)

    @property
    def dice(self) -> float:
        """Dice of the chosen candidate."""
        return self.values["dice"]

    @property
    def iou(self) -> float:
        """IoU of the chosen candidate."""
        return self.values["iou"]


@dataclasses.dataclass(frozen=True)
class ProtocolPredictions:
    """The network's predictions for a batch of `n` masks by one protocol, on the device.

    Attributes:
        logits: Low-resolution logits of `t` steps: draws of the prompt, clicks, or boxes. Of every
            step the chosen mask; with the oracle, all candidates follow it.
        iou: IoU that the network predicts for them.
        points: Points of the prompts, pixels of the input.
        labels: Their labels.
        boxes: Boxes of the prompts, (n, 4) pixels of the input; None without.
        members: An ensemble: low-resolution logits of each member, whose mean `logits` has.
        extra: Further metrics of each mask; empty without.
    """

    logits: Float[Array | np.ndarray, "n t c m m"]
    iou: Float[Array | np.ndarray, "n t c"]
    points: Float[Array | np.ndarray, "n p 2"]
    labels: Int[Array | np.ndarray, "n p"]
    boxes: Float[Array | np.ndarray, "n 4"] | None = None
    members: Float[Array, "n k m m"] | None = None
    extra: tuple[dict[str, float], ...] = ()


@dataclasses.dataclass(frozen=True)
class PredictionContext:
    """All that a protocol needs to predict the masks of a batch.

    Attributes:
        model: The model, on the device.
        images: The batch's images, embedded.
        batch: The batch.
        config: Settings of the evaluation.
        timed: Calls a function with arguments, and measures it under a name.
    """

    model: Model
    images: models.PreparedImages
    batch: "EvaluationBatch"
    config: "EvalConfig"
    timed: Timed


@runtime_checkable
class EvaluationProtocol(Protocol):
    """A way of asking a model for a mask, and of scoring its predictions."""

    @property
    def name(self) -> str:
        """Returns the name in settings and tables of numbers."""
        ...

    @property
    def takes_points(self) -> bool:
        """Whether the model must know point prompts."""
        ...

    @property
    def takes_boxes(self) -> bool:
        """Whether the model must know box prompts."""
        ...

    @property
    def title(self) -> str:
        """Returns the name in tables for readers."""
        ...

    def score(self, steps: Sequence[Mapping[str, float]]) -> Score:
        """Returns the score of one mask from the metrics of its steps."""
        ...


@runtime_checkable
class PromptProtocol(EvaluationProtocol, Protocol):
    """A way of prompting the network."""

    @classmethod
    def predict(
        cls, protocols: "Sequence[Any]", context: PredictionContext
    ) -> dict[str, ProtocolPredictions]:
        """Predicts a batch by several protocols of this kind, which share what they can."""
        ...


def static_arguments(context: PredictionContext) -> tuple[bool, bool]:
    """Returns the static arguments of a prediction: `multimask` and `all_candidates`."""
    return context.model.preprocessing.multimask, context.config.oracle
