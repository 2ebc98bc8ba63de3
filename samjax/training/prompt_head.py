"""Constants of a head `prompts` that data decide: mean embedding, and thresholds."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, UInt8

from samjax import losses, models
from samjax.data.classes import class_names, label_map, numbers
from samjax.data.files import DataError
from samjax.data.index import Sample
from samjax.data.pipeline import load_for_evaluation
from samjax.evaluation import metrics
from samjax.models.config import SamConfig
from samjax.models.directory import Model
from samjax.models.heads.prompts import class_logits
from samjax.training.step import TrainState
from samjax.types import Params

FOREGROUND = (0.3, 0.5)
PRESENCE = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
POINTS = (False, True)
STANDARD = 512  # Images that decide the mean embedding.
_BATCH = 8  # Images at once.


def standardised(
    state: TrainState, images: Sequence[str], load: Callable[[str], np.ndarray]
) -> TrainState:
    """Returns the state of a new run with the mean and deviation of training embeddings.

    Unchanged for other heads, and in a run that goes on. Embeddings of a frozen encoder are nearly
    the same for all images: without this, the head learns many times slower.

    Args:
        state: State of training.
        images: Paths of training images; at most `STANDARD` of them are used.
        load: Reads the embedding of an image.
    """
    if "prompt_head" not in state.params or int(state.step):
        return state
    count, total, squares = 0, 0.0, 0.0
    for image in images[:: -(-len(images) // STANDARD)]:
        try:
            embedding = load(image).astype(np.float64)
        except DataError:  # As in training, where `data.on_bad` allows it.
            continue
        count, total, squares = count + 1, total + embedding, squares + np.square(embedding)
    if not count:
        return state
    mean = np.asarray(total) / count
    deviation = np.sqrt((np.asarray(squares) / count - np.square(mean)).clip(0).mean((0, 1)))
    return _with_constants(state, mean=mean, deviation=np.maximum(deviation, 1e-6))


def tuned(
    state: TrainState, model: Model, root: Path, samples: Sequence[Sample], limit: int | None
) -> TrainState:
    """Returns the state with the thresholds of the highest Dice; unchanged for other heads.

    The score is the mean over images and their classes, at the resolution of the logits; a class
    that is shown where it is not scores 0.

    Args:
        state: State of training.
        model: The model in it.
        root: The data folder.
        samples: Validation images.
        limit: Number of images that are used; None for all.
    """
    if model.config.head.kind != "prompts":
        return state
    total = np.zeros((len(POINTS), len(FOREGROUND), len(PRESENCE), 2))
    known = model.preprocessing.multimask, model.preprocessing.supports_points
    for images, labels, used in _batches(model, root, samples[:limit]):
        total += np.asarray(_dice(model.config, *known, model.params, images, labels, used))
    dice = total[..., 0] / np.maximum(total[..., 1], 1)
    h, i, j = np.unravel_index(dice.argmax(), dice.shape)
    chosen = {"points": POINTS[h], "foreground": FOREGROUND[i], "presence": PRESENCE[j]}
    return _with_constants(state, **{name: np.array([one]) for name, one in chosen.items()})


def _with_constants(state: TrainState, **values: np.ndarray) -> TrainState:
    head = dict(state.params["prompt_head"])
    for name, value in values.items():
        head[name] = jax.device_put(value.astype(np.float32), head[name].sharding)
    return dataclasses.replace(state, params={**state.params, "prompt_head": head})


def _batches(
    model: Model, root: Path, samples: Sequence[Sample]
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yields images, their labels, and which of them are used: not padding, nor unreadable."""
    names, number = class_names(root, samples), numbers(model.classes)
    size = model.config.image_size
    for start in range(0, len(samples), _BATCH):
        images = np.zeros((_BATCH, size, size, 3), np.float32)
        labels, used = np.zeros((_BATCH, size, size), np.uint8), np.zeros(_BATCH, bool)
        for i, sample in enumerate(samples[start : start + _BATCH]):
            try:
                loaded = load_for_evaluation(sample, root, model.preprocessing, size)
            except DataError:
                continue
            own = [j for j, path in enumerate(sample.masks) if names[path] in number]
            of_masks = [number[names[sample.masks[j]]] for j in own]
            images[i], used[i] = loaded.image, True
            labels[i] = label_map(loaded.masks[own], of_masks)[0]
        yield images, labels, used


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _dice(
    config: SamConfig,
    multimask: bool,
    points: bool,
    params: Params,
    images: Float[Array, "b s s 3"],
    labels: UInt8[Array, "b s s"],
    used: Bool[Array, " b"],
) -> Float[Array, "h f p 2"]:
    """Returns the sum of Dice, and the number of its terms, by points and both thresholds."""
    embedding = models.encode_image(config, params, images)
    maps = models.predict_class_maps(config, params, embedding)
    classes = jnp.arange(1, config.head.classes + 1)[:, None, None]
    truth = losses.shrink_labels(labels, config.mask_size)[:, None] == classes

    def of(low_res: jax.Array, scores: jax.Array, presence: float) -> jax.Array:
        logits = class_logits(low_res, scores, jnp.float32(presence))
        shown = logits.argmax(1)[:, None] == classes
        areas = shown.sum((2, 3)), truth.sum((2, 3))
        counts = used[:, None] & (sum(areas) > 0)
        dice = jnp.where(counts, metrics.dice((shown & truth).sum((2, 3)), *areas), 0)
        return jnp.stack([dice.sum(), counts.sum().astype(dice.dtype)])

    def by_presence(chosen: tuple[jax.Array, jax.Array]) -> jax.Array:
        shown, foreground = chosen
        own = foreground, multimask, shown & points
        answer = models.answer_maps(config, params, embedding, maps, *own)
        return jnp.stack([of(*answer, presence) for presence in PRESENCE])

    grid = jnp.meshgrid(jnp.array(POINTS), jnp.array(FOREGROUND, jnp.float32), indexing="ij")
    found = jax.lax.map(by_presence, tuple(each.ravel() for each in grid))
    return found.reshape(len(POINTS), len(FOREGROUND), len(PRESENCE), 2)
