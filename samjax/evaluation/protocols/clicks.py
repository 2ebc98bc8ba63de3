"""Protocols of one click, then clicks of correction: `Npt`, `Npt_centre`, `noc`, ...

The first click is drawn in the mask. Then, N - 1 times, one in the error of the mask predicted so
far, whose logits go back in as mask prompt; the points accumulate (SAM-Med2D paper, section 4.1,
and its published evaluation). Clicks are placed by a policy, see `samjax.prompting.clicks`. One
trajectory of a policy serves every N. `noc` counts the clicks that a mask needs (RITM's protocol).
"""

import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt8, UInt32

from samjax import masks, models, types
from samjax.evaluation.metrics import clicks as click_metrics
from samjax.evaluation.protocols import decoding
from samjax.evaluation.protocols.base import (
    PredictionContext,
    ProtocolPredictions,
    Score,
    static_arguments,
)
from samjax.models.config import SamConfig
from samjax.prompting import clicks, interaction
from samjax.prompting.clicks import PLACED, Policy
from samjax.prompting.interaction import PromptingConfig
from samjax.types import Params

MAX_CLICKS = 20  # `noc`: a mask that needs more is a failure, and counts as that many.

_POINTS = re.compile(rf"([1-9]\d{{0,2}})pt(?:_({'|'.join(PLACED)}))?")


@dataclasses.dataclass(frozen=True)
class ClickProtocol:
    """Clicks by a policy, of which the last prediction counts; or a count of clicks.

    Attributes:
        name: Name of the protocol.
        rounds: Number of clicks.
        policy: Placement of each click.
        counts: Whether the result is the number of clicks for an IoU, with curves over clicks.
    """

    name: str
    rounds: int
    policy: Policy
    counts: bool = False
    takes_points = True
    takes_boxes = False

    @property
    def title(self) -> str:
        """Returns the name as the paper prints it, such as `3 pts`."""
        if self.counts:
            return f"NoC, {self.rounds} clicks"
        placed = "" if self.policy == "uniform" else f", {self.policy}"
        return f"{self.rounds} pt{'s' if self.rounds > 1 else ''}{placed}"

    def score(self, steps: Sequence[Mapping[str, float]]) -> Score:
        """Returns the metrics after the last click; of a count, those of the whole curve."""
        last = dict(steps[-1])
        if not self.counts:
            return Score(last)
        curves = {name: [step[name] for step in steps] for name in last}
        return Score({**last, **click_metrics.summarise(curves)}, curves)

    @classmethod
    def predict(
        cls, protocols: "Sequence[ClickProtocol]", context: PredictionContext
    ) -> dict[str, ProtocolPredictions]:
        """Predicts a batch: one trajectory for each policy, as long as the longest needs."""
        found = {}
        for policy in dict.fromkeys(each.policy for each in protocols):
            of_policy = [each for each in protocols if each.policy == policy]
            rounds = max(each.rounds for each in of_policy)
            predicted = _trajectory(policy, rounds, context)
            for each in of_policy:
                steps = slice(0 if each.counts else each.rounds - 1, each.rounds)
                found[each.name] = dataclasses.replace(
                    predicted,
                    logits=predicted.logits[:, steps],
                    iou=predicted.iou[:, steps],
                    points=predicted.points[:, : each.rounds],
                    labels=predicted.labels[:, : each.rounds],
                )
        return found


def parse(name: str) -> ClickProtocol | None:
    """Returns the protocol of a name; None for a name of another kind."""
    if name == "noc":
        return ClickProtocol(name, MAX_CLICKS, "centre", counts=True)
    if match := _POINTS.fullmatch(name):
        policies: dict[str | None, Policy] = {None: "uniform"}
        policies |= {policy: policy for policy in PLACED}
        return ClickProtocol(name, int(match[1]), policies[match[2]])
    return None


def _trajectory(policy: Policy, rounds: int, context: PredictionContext) -> ProtocolPredictions:
    batch, model = context.batch, context.model
    timed_as = "points" if policy == "uniform" else f"points_{policy}"
    logits, iou, points, labels = context.timed(
        timed_as,
        predict_points,
        model.config,
        model.params,
        context.images,
        batch.image_index,
        batch.points,
        batch.seeds,
        batch.truth,
        model.preprocessing.mask_prompt,
        rounds,
        *static_arguments(context),
        policy,
    )
    return ProtocolPredictions(logits, iou, points, labels)


@functools.partial(
    jax.jit,
    static_argnames=("config", "mask_prompt", "rounds", "multimask", "all_candidates", "policy"),
)
def predict_points(
    config: SamConfig,
    params: Params,
    images: models.PreparedImages,
    image_index: Int[Array, " n"],
    first_points: Float[Array, "n 2"],
    seeds: UInt32[Array, " n"],
    truth: UInt8[Array, "n s s"],
    mask_prompt: str,
    rounds: int,
    multimask: bool,
    all_candidates: bool,
    policy: Policy = "uniform",
) -> tuple[
    Float[Array, "n r c m m"], Float[Array, "n r c"], Float[Array, "n r 2"], Int[Array, "n r"]
]:
    """Predicts `n` masks from one point each, then from `rounds - 1` points of correction.

    Args:
        config: Architecture.
        params: Parameters.
        images: A batch's images, embedded.
        image_index: Index of each mask's image.
        first_points: First points (x, y) of the policy `uniform`, pixels of the input.
        seeds: Seed of each mask's later points.
        truth: True masks in the input square.
        mask_prompt: Kind of the mask prompts, see `samjax.data.inputs.Preprocessing`.
        rounds: Number of points.
        multimask: Three candidates for each mask, or one.
        all_candidates: Whether to return all candidates as well.
        policy: Placement of the points.

    Returns:
        Low-resolution logits and predicted IoU after every round, as from `predict_prompts`;
        points; labels.
    """
    n = len(first_points)
    images = images.take(image_index)
    keys = jax.vmap(jax.random.key)(seeds)
    prompting = PromptingConfig(iterations=rounds, point_counts=(1,), mask_only=False)
    initial = types.no_prompts(n, 1, rounds, config.mask_size)
    true = truth != 0

    def next_click(prompts: types.Prompts, predicted: jax.Array, slot: jax.Array) -> types.Prompts:
        of_round = jax.vmap(jax.random.fold_in, (0, None))(keys, slot)
        earlier = prompts.points[:, 0], prompts.labels[:, 0]
        point, label = clicks.click(of_round, predicted, true, *earlier, policy)
        # After the last round there is no place for another click, and no need.
        at = jnp.arange(rounds) == slot
        return dataclasses.replace(
            prompts,
            points=jnp.where(at[:, None], point[:, None, None], prompts.points),
            labels=jnp.where(at, label[:, None, None], prompts.labels),
        )

    def one_round(
        prompts: types.Prompts, index: jax.Array
    ) -> tuple[types.Prompts, tuple[jax.Array, jax.Array]]:
        predictions, iou = decoding.predict(
            config, params, images, prompts, multimask, all_candidates
        )
        chosen = predictions[:, :, 0]
        predicted = masks.upsample(chosen, config.image_size) > masks.THRESHOLD
        mask = masks.mask_prompt(chosen, mask_prompt)
        if policy == "uniform":
            following = interaction.next_prompts(
                keys[:, None],
                prompts,
                predicted,
                true[:, None],
                mask,
                index + 1,
                jnp.ones((), jnp.int32),
                prompting,
            )
        else:
            following = next_click(prompts, predicted[:, 0], index + 1)
            has_mask = jnp.ones_like(prompts.has_mask)
            following = dataclasses.replace(following, mask=mask, has_mask=has_mask)
        return following, (predictions[:, 0], iou[:, 0])

    if policy == "uniform":
        initial = dataclasses.replace(
            initial,
            points=initial.points.at[:, 0, 0].set(first_points),
            labels=initial.labels.at[:, 0, 0].set(types.FOREGROUND),
        )
    else:
        initial = next_click(initial, jnp.zeros_like(true), jnp.int32(0))
    last, (predictions, iou) = jax.lax.scan(one_round, initial, jnp.arange(rounds))
    return (
        jnp.moveaxis(predictions, 0, 1),
        jnp.moveaxis(iou, 0, 1),
        last.points[:, 0],
        last.labels[:, 0],
    )
