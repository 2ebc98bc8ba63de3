"""Evaluation protocols: prompts of each, and the network's predictions, wholly on the device.

A protocol is known by its name: `fixed`, `clicks` and `everything` have those of each kind;
`classes` is that of semantic models, without a prompt. Of the masks predicted from a prompt (one,
where no more were trained) the one with the highest predicted IoU counts.
"""

import functools
from collections.abc import Iterable

from samjax import fields
from samjax.evaluation.protocols import classes, clicks, everything, fixed
from samjax.evaluation.protocols.base import (
    EvaluationProtocol,
    PredictionContext,
    PromptProtocol,
    ProtocolPredictions,
    Score,
)
from samjax.evaluation.protocols.classes import CLASSES
from samjax.evaluation.protocols.clicks import ClickProtocol, predict_points
from samjax.evaluation.protocols.counting import count_pixels
from samjax.evaluation.protocols.decoding import predict_prompts
from samjax.evaluation.protocols.fixed import BOX, FixedProtocol

__all__ = [
    "BOX",
    "CLASSES",
    "DEFAULT",
    "ClickProtocol",
    "EvaluationProtocol",
    "FixedProtocol",
    "PredictionContext",
    "PromptProtocol",
    "ProtocolPredictions",
    "Score",
    "count_pixels",
    "find",
    "parse",
    "predict",
    "predict_points",
    "predict_prompts",
    "title",
]

DEFAULT = (BOX, "1pt", "3pt", "5pt")
_KINDS = (fixed, clicks, everything, classes)
_KNOWN = (
    "bbox, bbox_grow10 (or any percentage), bbox_jitter, bbox_x5 (or any number of boxes), 1pt, "
    "3pt, any Npt, 3pt_centre (or _boundary, _jittered), noc, S1 to S6, S5_shift10-20px (or "
    "_sides, _first, _points; px or pct), everything16 (or any number of points per side) or "
    f"{CLASSES}"
)


def parse(names: Iterable[str]) -> tuple[str, ...]:
    """Checks names of protocols.

    Raises:
        ValueError: There is none, one is unknown, or one appears twice.
    """
    names = tuple(names)
    for name in names:
        find(name)
    if not names or len(set(names)) < len(names):
        problem = f"expected different ones, at least one, found {names}"
        raise fields.FieldError("protocols", problem)
    return names


@functools.cache
def find(name: str) -> EvaluationProtocol:
    """Returns the protocol of a name.

    Raises:
        ValueError: There is none.
    """
    for kind in _KINDS:
        if (found := kind.parse(name)) is not None:
            return found
    raise fields.FieldError("protocols", f"expected {_KNOWN}, found {name!r}")


def predict(names: Iterable[str], context: PredictionContext) -> dict[str, ProtocolPredictions]:
    """Predicts a batch by all protocols; those of one kind share what they can."""
    by_kind: dict[type, list[PromptProtocol]] = {}
    names = [*names]
    for protocol in map(find, names):
        if not isinstance(protocol, PromptProtocol):
            raise ValueError(f"protocols: expected prompts, found {protocol.name}")
        by_kind.setdefault(type(protocol), []).append(protocol)
    found: dict[str, ProtocolPredictions] = {}
    for kind, protocols in by_kind.items():
        found |= kind.predict(protocols, context)
    return {name: found[name] for name in names}


def base_of(name: str) -> str:
    """Returns the name of the same protocol without a random move; else the name itself."""
    protocol = find(name)
    return protocol.base if isinstance(protocol, FixedProtocol) else name


def title(name: str) -> str:
    """Returns a protocol's name as the paper prints it: `Bbox`, `1 pt`, `3 pts`; `No prompt`."""
    return find(name).title
