"""The protocol of semantic models: no prompt, the masks of all classes at once."""

import dataclasses
from collections.abc import Mapping, Sequence

from samjax.evaluation.protocols.base import Score

CLASSES = "classes"


@dataclasses.dataclass(frozen=True)
class ClassesProtocol:
    """No prompt; see `samjax.evaluation.semantic`, which predicts."""

    name: str = CLASSES
    title: str = "No prompt"
    takes_points: bool = False
    takes_boxes: bool = False

    def score(self, steps: Sequence[Mapping[str, float]]) -> Score:
        """Returns the metrics of the class of a mask in its image."""
        return Score(dict(steps[-1]))


def parse(name: str) -> ClassesProtocol | None:
    """Returns the protocol of a name; None for a name of another kind."""
    return ClassesProtocol() if name == CLASSES else None
