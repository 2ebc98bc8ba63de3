"""Protocols whose prompts depend on the true mask alone, not on predictions.

`bbox`: the tight box of the mask; `bbox_growN`: the box with sides longer by N %; `bbox_jitter`:
the box with sides moved at random; `bbox_xM`: the mean of M masks, of the box and of jittered ones
(SAM-U, see `samjax.evaluation.ensembles`). `S2` to `S6`: the prompts of COSMOS
(`samjax.prompting.strategies`). A suffix moves the box or the points of a prompt by a distance of
LOW to HIGH pixels of the image (`px`) or percent of the object's box (`pct`): `_sides10-20px`,
`_shift10-20px`, `_first10-20px`, `_points10-20px` (`samjax.prompting.jitter`).
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np

from samjax import fields, types
from samjax.data.boxes import grow_box, jitter_box
from samjax.evaluation.prompt_file import MaskPrompt
from samjax.evaluation.protocols import decoding
from samjax.evaluation.protocols.base import (
    PredictionContext,
    ProtocolPredictions,
    Score,
    static_arguments,
)
from samjax.prompting import jitter, strategies
from samjax.prompting.jitter import JitterRange
from samjax.prompting.strategies import StrategyPrompt

BOX = "bbox"
_BOX_NAME = re.compile(rf"({BOX})(?:_grow([1-9]\d{{0,2}})|_x([2-9]|[1-9]\d{{1,2}})|(_jitter))?")


_MOVE_NAME = re.compile(r"(sides|shift|first|points)(\d+-\d+(?:px|pct))")


@dataclasses.dataclass(frozen=True)
class Move:
    """A random move of a prompt.

    Attributes:
        kind: `sides` of the box, each by itself; `shift` of the box; the `first` point, or all
            `points`.
        distance: Bounds of its distance.
    """

    kind: str
    distance: JitterRange

    @property
    def moves_box(self) -> bool:
        """Whether it moves the box, not points."""
        return self.kind in ("sides", "shift")

    @property
    def title(self) -> str:
        """Returns the move as tables print it, such as `sides ± 10-20 px`."""
        low, high = self.distance.low, self.distance.high
        unit = "px" if self.distance.unit == "px" else "%"
        return f"{self.kind} ± {low}-{high} {unit}"

    def __call__(
        self, prompt: StrategyPrompt, truth: np.ndarray, rng: np.random.Generator
    ) -> StrategyPrompt:
        """Returns a prompt of the mask `truth`, moved."""
        extent = truth.shape[0], truth.shape[1]
        if prompt.box is not None and self.moves_box:
            move = jitter.move_sides if self.kind == "sides" else jitter.move_box
            box = move(prompt.box, self.distance, extent, rng)
            return dataclasses.replace(prompt, box=box)
        of_object = strategies.whole_box(truth)
        first_only = self.kind == "first"
        moved = jitter.move_points(prompt.points, of_object, self.distance, extent, rng, first_only)
        return dataclasses.replace(prompt, points=moved)


@dataclasses.dataclass(frozen=True)
class FixedProtocol:
    """Prompts made from the true mask.

    Attributes:
        name: Name of the protocol.
        strategy: `bbox`, or one of `samjax.prompting.strategies.STRATEGIES`.
        grow: Growth of the box's sides, percent.
        members: Boxes of an ensemble; 0: none.
        share: Whether the sides of the box are moved by up to `EvalConfig.jitter`.
        moved: Random move of the prompt; None: none.
    """

    name: str
    strategy: str
    grow: int = 0
    members: int = 0
    share: bool = False
    moved: "Move | None" = None

    @property
    def title(self) -> str:
        """Returns the name as tables print it, such as `Bbox +10 %`."""
        if self.grow:
            return f"Bbox +{self.grow} %"
        if self.members:
            return f"Bbox, mean of {self.members}"
        title = "Bbox" if self.strategy == BOX else self.strategy
        moved = ", jittered" if self.share else f", {self.moved.title}" if self.moved else ""
        return title + moved

    @property
    def base(self) -> str:
        """Returns the name of the same prompt without a random move."""
        return self.strategy if self.moved or self.share else self.name

    @property
    def takes_points(self) -> bool:
        """Whether the model must know point prompts."""
        return strategies.point_count(self.strategy) > 0

    @property
    def takes_boxes(self) -> bool:
        """Whether the model must know box prompts."""
        return strategies.has_box(self.strategy)

    @property
    def slots(self) -> int:
        """Room for the points of a prompt; a box alone has one, without a point."""
        return max(strategies.point_count(self.strategy), 1)

    def count(self, draws: int) -> int:
        """Returns the number of prompts of a mask, with `draws` of each random one."""
        return self.members or (draws if self.moved else 1)

    def prompts(
        self, prompt: MaskPrompt, truth: np.ndarray, share: float, draws: int
    ) -> list[StrategyPrompt]:
        """Returns the prompts of one mask, pixels of the image.

        Args:
            prompt: Box and seed of the mask.
            truth: The true mask, (h, w).
            share: `bbox_jitter` and `bbox_xM`: largest move of a side over the image's.
            draws: Draws of each random prompt.
        """
        if self.strategy == BOX and not self.moved:
            return [_of_box(box) for box in self._boxes(prompt, truth.shape, share)]
        if self.strategy == BOX:
            fixed = _of_box(np.array(prompt.box, np.float32))
        else:
            fixed = strategies.prompt(self.strategy, truth != 0)
        if not self.moved:
            return [fixed]
        rngs = [np.random.default_rng((prompt.click_seed, draw)) for draw in range(draws)]
        return [self.moved(fixed, truth != 0, rng) for rng in rngs]

    def _boxes(self, prompt: MaskPrompt, extent: tuple[int, ...], share: float) -> np.ndarray:
        box = np.array(prompt.box, np.float32)
        size = extent[0], extent[1]
        if self.grow:
            return grow_box(box, self.grow / 100, size)[None]
        rng = np.random.default_rng(prompt.click_seed)
        if self.share:
            return jitter_box(box, 1, size, share, rng)
        others = jitter_box(box, max(self.members - 1, 0), size, share, rng)
        return np.concatenate([box[None], others])

    def score(self, steps: Sequence[Mapping[str, float]]) -> Score:
        """Returns the metrics, of several draws their means."""
        if len(steps) == 1:
            return Score(dict(steps[0]))
        by_draw = {name: [step[name] for step in steps] for name in steps[0]}
        return Score({name: float(np.mean(values)) for name, values in by_draw.items()}, by_draw)

    @classmethod
    def predict(
        cls, protocols: "Sequence[FixedProtocol]", context: PredictionContext
    ) -> dict[str, ProtocolPredictions]:
        """Predicts a batch: the box by itself, then all prompts with equal room for points."""
        groups: dict[tuple[str, int], list[FixedProtocol]] = {}
        for each in protocols:
            timed_as = BOX if each.name == BOX else "boxes" if not each.takes_points else "prompts"
            groups.setdefault((timed_as, each.slots), []).append(each)
        found = {}
        for (timed_as, slots), members in groups.items():
            found |= _predict_group(members, slots, timed_as, context)
        return found


def parse(name: str) -> FixedProtocol | None:
    """Returns the protocol of a name; None for a name of another kind."""
    if match := _BOX_NAME.fullmatch(name):
        _, grow, members, share = match.groups()
        return FixedProtocol(name, BOX, int(grow or 0), int(members or 0), bool(share))
    strategy, _, suffix = name.partition("_")
    if strategy not in (BOX, *strategies.STRATEGIES):
        return None
    if not suffix:
        return FixedProtocol(name, strategy)
    if (match := _MOVE_NAME.fullmatch(suffix)) is None:
        return None
    try:
        moved = Move(match[1], JitterRange.parse(match[2]))
    except ValueError as error:
        raise fields.FieldError("protocols", f"{name}: {error}") from error
    protocol = FixedProtocol(name, strategy, moved=moved)
    suits = protocol.takes_boxes if moved.moves_box else protocol.takes_points
    return protocol if suits else None


def _of_box(box: np.ndarray) -> StrategyPrompt:
    return StrategyPrompt(np.zeros((0, 2), np.float32), np.zeros(0, np.int32), box)


def _predict_group(
    protocols: Sequence[FixedProtocol], slots: int, timed_as: str, context: PredictionContext
) -> dict[str, ProtocolPredictions]:
    """Predicts a batch by protocols with equal room for points, all in one call."""
    batch, model, config = context.batch, context.model, context.config
    n = len(batch.boxes)
    widths = [each.count(config.draws) for each in protocols]
    points = np.zeros((n, sum(widths), slots, 2), np.float32)
    labels = np.full((n, sum(widths), slots), types.PADDING, np.int32)
    boxes = np.zeros((n, sum(widths), 4), np.float32)
    has_box = np.zeros((n, sum(widths)), bool)
    if timed_as == BOX:  # Its corners are whole pixels of the input.
        boxes, has_box = batch.boxes[:, None], np.ones((n, 1), bool)
    else:
        for row, (image, i) in enumerate(batch.masks):
            at, truth = image.loaded.placement, image.loaded.original_masks[i]
            of_mask = [
                each.prompts(image.prompts[i], truth, config.jitter, config.draws)
                for each in protocols
            ]
            for k, prompt in enumerate(prompt for several in of_mask for prompt in several):
                count = len(prompt.points)
                points[row, k, :count] = at.to_input(prompt.points)
                labels[row, k, :count] = prompt.labels
                if prompt.box is not None:
                    boxes[row, k] = at.to_input(prompt.box.reshape(2, 2)).reshape(4)
                    has_box[row, k] = True
    logits, iou = context.timed(
        timed_as,
        decoding.predict_prompts,
        model.config,
        model.params,
        context.images,
        batch.image_index,
        points,
        labels,
        boxes,
        has_box,
        *static_arguments(context),
    )
    found, first = {}, 0
    for each, width in zip(protocols, widths, strict=True):
        part = slice(first, first + width)
        first += width
        shown = points[:, part.start], labels[:, part.start]
        box = boxes[:, part.start] if each.takes_boxes else None
        predicted = ProtocolPredictions(logits[:, part], iou[:, part], *shown, box)
        found[each.name] = _ensemble(predicted) if each.members else predicted
    return found


def _ensemble(predicted: ProtocolPredictions) -> ProtocolPredictions:
    """Returns the mean of the members' logits, for pictures, with the members.

    The score is that of the mean at original resolution (`samjax.evaluation.ensembles`).
    """
    mean = predicted.logits[:, :, :1].mean(1, keepdims=True)
    shape = (*mean.shape[:2], *predicted.logits.shape[2:])
    return dataclasses.replace(
        predicted,
        logits=jnp.broadcast_to(mean, shape),
        iou=predicted.iou.mean(1, keepdims=True),
        members=jnp.asarray(predicted.logits[:, :, 0]),
    )
