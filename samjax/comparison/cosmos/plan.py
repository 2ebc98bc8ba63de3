"""The plan of a study: its data, models, and the protocols of every part."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from samjax import fields
from samjax.evaluation.results import EvalConfig
from samjax.prompting import strategies
from samjax.prompting.jitter import JitterRange

EVERYTHING = "S1"
STRATEGIES = (EVERYTHING, *strategies.STRATEGIES)
USUAL_GRID = 32  # Points per side in S1.
STILL, GRIDS = "strategies", "everything"  # Parts of a study, see `CosmosStudy.parts`.
MAX_CLICKS = 20
_WORKERS = 2  # Of surface metrics.
MOVES = {  # By strategy: the ways in which its prompt is moved.
    "S2": ("first",),
    "S3": ("first", "points"),
    "S4": ("first", "points"),
    "S5": ("sides", "shift"),
}


@dataclasses.dataclass(frozen=True)
class CosmosStudy:
    """Settings of a study.

    Attributes:
        data: The data folder.
        checkpoints: Checkpoints by name; the first is compared with each other one.
        split: Split of the data folder.
        strategies: Strategies, of `STRATEGIES`.
        grids: Points per side of further grids that segment everything.
        jitter: Bounds of random moves of prompts, such as 10-20px, in rising order.
        repeats: Draws of every random move.
        clicks: Clicks of the curves; 0: none.
        limit: Number of images, spread evenly; None: all.
        tune: Whether the decoder of the first checkpoint is tuned on the split `train`.

    Raises:
        ValueError: A setting cannot work; the message names it.
    """

    data: str
    checkpoints: Mapping[str, str]
    split: str = "test"
    strategies: tuple[str, ...] = STRATEGIES
    grids: tuple[fields.PositiveInt, ...] = (8, 16)
    jitter: tuple[str, ...] = ("0-10px", "10-20px", "20-30px")
    repeats: fields.PositiveInt = 3
    clicks: fields.NonNegativeInt = MAX_CLICKS
    limit: fields.PositiveInt | None = None
    tune: bool = False

    def __post_init__(self) -> None:
        fields.check(self, "strategies", "grids", "jitter", "repeats", "clicks", "limit")
        for name in self.strategies:
            if name not in STRATEGIES:
                found = f"expected some of {', '.join(STRATEGIES)}, found {name}"
                raise fields.FieldError("strategies", found)
        for name in ("strategies", "grids", "jitter"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise fields.FieldError(name, f"expected different ones, found {values}")
        if not self.strategies:
            raise fields.FieldError("strategies", "expected at least one, found none")
        if not self.checkpoints:
            raise fields.FieldError("checkpoint", "expected at least one, found none")
        if self.clicks > MAX_CLICKS:
            found = f"expected 0 to {MAX_CLICKS}, found {self.clicks}"
            raise fields.FieldError("clicks", found)
        for text in self.jitter:
            try:
                JitterRange.parse(text)
            except ValueError as error:
                raise fields.FieldError("jitter", str(error).removeprefix("jitter: ")) from error

    @property
    def parts(self) -> dict[str, EvalConfig]:
        """Returns the settings of the evaluations of a model, by name.

        `strategies`: all but S1, and `everything`: S1 and further grids, with distances of
        surfaces; `jitter`; `clicks`.
        """
        both = EvalConfig(
            select=("score", "oracle"), draws=self.repeats, limit=self.limit, workers=_WORKERS
        )
        grids = [everything(side) for side in self.grids if side != USUAL_GRID]  # S1 has it.
        names = {
            STILL: tuple(name for name in self.strategies if name != EVERYTHING),
            GRIDS: (EVERYTHING, *grids) if EVERYTHING in self.strategies else (),
            "jitter": tuple(name for one in self.moves for name in one.protocols.values()),
            "clicks": ("noc",) if self.clicks else (),
        }
        surface: dict[str, Any] = {STILL: ("px",), GRIDS: ("px",)}
        return {
            name: dataclasses.replace(both, protocols=of_part, surface=surface.get(name, ()))
            for name, of_part in names.items()
            if of_part
        }

    @property
    def moves(self) -> "tuple[MovedPrompts, ...]":
        """Returns the random moves of every strategy's prompt."""
        return tuple(self._moves())

    def _moves(self) -> "Iterator[MovedPrompts]":
        for strategy, kinds in MOVES.items():
            for kind in kinds if strategy in self.strategies and self.jitter else ():
                names = {level: f"{strategy}_{kind}{level}" for level in self.jitter}
                yield MovedPrompts(strategy, kind, names)


@dataclasses.dataclass(frozen=True)
class MovedPrompts:
    """Prompts of a strategy that are moved in one way, by distances within several bounds.

    Attributes:
        strategy: The strategy.
        kind: `sides` or `shift` of the box; the `first` point or all `points`.
        protocols: Protocols by the bounds of the distance.
    """

    strategy: str
    kind: str
    protocols: dict[str, str]

    @property
    def title(self) -> str:
        """Returns the move in words."""
        words = {"sides": "each side of the box", "shift": "whole box", "points": "all points"}
        only = "the point" if self.strategy == "S2" else "first point only"
        return words.get(self.kind, only)


def everything(side: int) -> str:
    """Returns the protocol that segments everything by a grid of `side` x `side` points."""
    return f"everything{side}"
