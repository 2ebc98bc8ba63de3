"""Evaluation protocols: prompts of each, and the network's predictions, wholly on the device.

`bbox`: the tight box of the mask; `bbox_growN`: the box with sides longer by N %; `bbox_jitter`:
the box with sides moved at random; `bbox_xM`: the mean of M masks, of the box and of jittered ones
(SAM-U, see `samjax.evaluation.ensembles`). `classes`: no prompt, for semantic models. `Npt`: one
point in the mask, then, N - 1 times, a point drawn from the error of the mask predicted so far,
whose logits go back in as mask prompt; the points accumulate (SAM-Med2D paper, section 4.1, and its
published evaluation). Of the masks predicted from a prompt (one, where no more were trained) the
one with the highest predicted IoU counts. One trajectory serves every N.
"""

import dataclasses
import functools
import re
from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8, UInt32

from samjax import fields, masks, models, types
from samjax.data.boxes import grow_box, jitter_box
from samjax.models.config import SamConfig
from samjax.prompting import interaction
from samjax.prompting.interaction import PromptingConfig
from samjax.types import Params

BOX = "bbox"
CLASSES = "classes"
JITTERED = "bbox_jitter"
_GROWN, _ENSEMBLE = "bbox_grow", "bbox_x"
_NAME = re.compile(
    rf"{BOX}|{_GROWN}[1-9]\d{{0,2}}|{JITTERED}|{_ENSEMBLE}([2-9]|[1-9]\d{{1,2}})|[1-9]\d{{0,2}}pt|{CLASSES}"
)
DEFAULT = (BOX, "1pt", "3pt", "5pt")


def parse(names: Iterable[str]) -> tuple[str, ...]:
    """Checks names of protocols.

    Raises:
        ValueError: There is none, one is unknown, or one appears twice.
    """
    names = tuple(names)
    for name in names:
        if not _NAME.fullmatch(name):
            problem = (
                f"expected {BOX}, bbox_grow10 (or any percentage), {JITTERED}, bbox_x5 (or any "
                f"number of boxes), 1pt, 3pt, any Npt or {CLASSES}, found {name!r}"
            )
            raise fields.FieldError("protocols", problem)
    if not names or len(set(names)) < len(names):
        problem = f"expected different ones, at least one, found {names}"
        raise fields.FieldError("protocols", problem)
    return names


def points_of(name: str) -> int:
    """Returns the number of points of a protocol: 0 for boxes, and without a prompt."""
    return int(name.removesuffix("pt")) if name.endswith("pt") else 0


def boxes_of(name: str) -> int:
    """Returns the number of boxes of a protocol: 0 for points, and without a prompt."""
    if name.startswith(BOX):
        return int(name.removeprefix(_ENSEMBLE)) if name.startswith(_ENSEMBLE) else 1
    return 0


def is_ensemble(name: str) -> bool:
    """Whether the masks of several boxes are averaged."""
    return name.startswith(_ENSEMBLE)


def boxes(
    name: str, box: np.ndarray, extent: tuple[int, int], jitter: float, seed: int
) -> np.ndarray:
    """Returns the boxes (n, 4) of a protocol, float32.

    Args:
        name: The protocol.
        box: Tight box (x0, y0, x1, y1), pixels of the image.
        extent: Height and width of the image.
        jitter: Largest move of a side over the width or height of the image.
        seed: Seed of the jitter.
    """
    if name.startswith(_GROWN):
        return grow_box(box, int(name.removeprefix(_GROWN)) / 100, extent)[None]
    rng = np.random.default_rng(seed)
    if name == JITTERED:
        return jitter_box(box, 1, extent, jitter, rng)
    return np.concatenate([box[None], jitter_box(box, boxes_of(name) - 1, extent, jitter, rng)])


def title(name: str) -> str:
    """Returns a protocol's name as the paper prints it: `Bbox`, `1 pt`, `3 pts`; `No prompt`."""
    if points := points_of(name):
        return f"{points} pt{'s' if points > 1 else ''}"
    if name.startswith(_GROWN):
        return f"Bbox +{name.removeprefix(_GROWN)} %"
    if is_ensemble(name):
        return f"Bbox, mean of {boxes_of(name)}"
    return {BOX: "Bbox", JITTERED: "Bbox, jittered", CLASSES: "No prompt"}[name]


@functools.partial(jax.jit, static_argnames=("config", "multimask", "all_candidates"))
def predict_boxes(
    config: SamConfig,
    params: Params,
    images: models.PreparedImages,
    image_index: Int[Array, " n"],
    boxes: Float[Array, "n k 4"],
    multimask: bool,
    all_candidates: bool,
) -> Float[Array, "n k c m m"]:
    """Predicts masks of `n` objects, each from `k` boxes one by one.

    Args:
        config: Architecture.
        params: Parameters.
        images: A batch's images, embedded.
        image_index: Index of each object's image.
        boxes: Corners, pixels of the input.
        multimask: Three candidates for each mask, or one.
        all_candidates: Whether to return all candidates as well.

    Returns:
        Low-resolution logits: the chosen mask, with `all_candidates` followed by all candidates.
    """
    n, k, _ = boxes.shape
    prompts = types.no_prompts(n, k, 1, config.mask_size)
    prompts = dataclasses.replace(prompts, boxes=boxes, has_box=jnp.ones((n, k), bool))
    return _predict(config, params, images.take(image_index), prompts, multimask, all_candidates)


@functools.partial(
    jax.jit, static_argnames=("config", "mask_prompt", "rounds", "multimask", "all_candidates")
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
) -> tuple[Float[Array, "n r c m m"], Float[Array, "n r 2"], Int[Array, "n r"]]:
    """Predicts `n` masks from one point each, then from `rounds - 1` points of correction.

    Args:
        config: Architecture.
        params: Parameters.
        images: A batch's images, embedded.
        image_index: Index of each mask's image.
        first_points: First points (x, y), pixels of the input.
        seeds: Seed of each mask's later points.
        truth: True masks in the input square.
        mask_prompt: Kind of the mask prompts, see `samjax.data.inputs.Preprocessing`.
        rounds: Number of points.
        multimask: Three candidates for each mask, or one.
        all_candidates: Whether to return all candidates as well.

    Returns:
        Low-resolution logits after every round, as from `predict_boxes`; points; labels.
    """
    n = len(first_points)
    images = images.take(image_index)
    keys = jax.vmap(jax.random.key)(seeds)[:, None]
    prompting = PromptingConfig(iterations=rounds, point_counts=(1,), mask_only=False)
    initial = types.no_prompts(n, 1, rounds, config.mask_size)
    initial = dataclasses.replace(
        initial,
        points=initial.points.at[:, 0, 0].set(first_points),
        labels=initial.labels.at[:, 0, 0].set(types.FOREGROUND),
    )

    def one_round(prompts: types.Prompts, index: jax.Array) -> tuple[types.Prompts, jax.Array]:
        predictions = _predict(config, params, images, prompts, multimask, all_candidates)
        chosen = predictions[:, :, 0]
        predicted = masks.upsample(chosen, config.image_size) > masks.THRESHOLD
        mask = masks.mask_prompt(chosen, mask_prompt)
        following = interaction.next_prompts(
            keys, prompts, predicted, truth[:, None] != 0, mask, index + 1, point_count, prompting
        )
        return following, predictions[:, 0]

    point_count = jnp.ones((), jnp.int32)
    last, predictions = jax.lax.scan(one_round, initial, jnp.arange(rounds))
    return jnp.moveaxis(predictions, 0, 1), last.points[:, 0], last.labels[:, 0]


@functools.partial(jax.jit, static_argnames=("size",))
def count_pixels(
    logits: Float[Array, "c m m"],
    placement: Int[Array, " 6"],
    truth: UInt8[Array, "h w"],
    size: int,
) -> Int[Array, "c 2"]:
    """Compares the predictions of one mask with the truth at original resolution.

    One prediction at a time: those of a large original would not fit into memory all at once.

    Args:
        logits: Low-resolution logits of `c` predicted masks.
        placement: `samjax.data.inputs.Placement.as_array` of the mask's image.
        truth: The true mask at original size, on a canvas (`samjax.masks.canvas_size`), zero
            beyond the image.
        size: Side of the network's input.

    Returns:
        Numbers of pixels in the intersection and in the predicted mask.
    """
    canvas = (truth.shape[0], truth.shape[1])

    def count_one(low_res: jax.Array) -> jax.Array:
        at_input = low_res[None, None], placement[None]
        restored = masks.restore_logits(*at_input, size, canvas)[0, 0]
        predicted = restored > masks.THRESHOLD
        return jnp.stack([(predicted & (truth != 0)).sum(), predicted.sum()])

    return jax.lax.map(count_one, logits)


def _predict(
    config: SamConfig,
    params: Params,
    images: models.PreparedImages,
    prompts: types.Prompts,
    multimask: bool,
    all_candidates: bool,
) -> Float[Array, "n k c m m"]:
    logits, iou = models.predict_prepared(config, params, images, prompts, multimask)
    chosen, _ = masks.select_best(logits, iou)
    return jnp.concatenate([chosen, logits], axis=2) if all_candidates else chosen
