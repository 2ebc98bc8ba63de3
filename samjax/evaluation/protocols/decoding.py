"""Prediction from fixed prompts, of chosen masks and their candidates, wholly on the device."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from samjax import masks, models, types
from samjax.models.config import SamConfig
from samjax.types import Params


@functools.partial(jax.jit, static_argnames=("config", "multimask", "all_candidates"))
def predict_prompts(
    config: SamConfig,
    params: Params,
    images: models.PreparedImages,
    image_index: Int[Array, " n"],
    points: Float[Array, "n k p 2"],
    labels: Int[Array, "n k p"],
    boxes: Float[Array, "n k 4"],
    has_box: Bool[Array, "n k"],
    multimask: bool,
    all_candidates: bool,
) -> tuple[Float[Array, "n k c m m"], Float[Array, "n k c"]]:
    """Predicts masks of `n` objects, each from `k` prompts one by one.

    Args:
        config: Architecture.
        params: Parameters.
        images: A batch's images, embedded.
        image_index: Index of each object's image.
        points: Points (x, y), pixels of the input.
        labels: Their labels, see `samjax.types.Prompts`.
        boxes: Corners, pixels of the input.
        has_box: Whether a prompt has a box.
        multimask: Three candidates for each mask, or one.
        all_candidates: Whether to return all candidates as well.

    Returns:
        Low-resolution logits and predicted IoU: of the chosen mask, with `all_candidates` followed
        by those of all candidates.
    """
    n, k, p, _ = points.shape
    prompts = types.no_prompts(n, k, p, config.mask_size)
    prompts = dataclasses.replace(
        prompts, points=points, labels=labels, boxes=boxes, has_box=has_box
    )
    return predict(config, params, images.take(image_index), prompts, multimask, all_candidates)


def predict(
    config: SamConfig,
    params: Params,
    images: models.PreparedImages,
    prompts: types.Prompts,
    multimask: bool,
    all_candidates: bool,
) -> tuple[Float[Array, "n k c m m"], Float[Array, "n k c"]]:
    """Predicts one mask from each prompt; arguments and result as in `predict_prompts`."""
    logits, iou = models.predict_prepared(config, params, images, prompts, multimask)
    chosen, highest = masks.select_best(logits, iou)
    if not all_candidates:
        return chosen, highest
    return jnp.concatenate([chosen, logits], axis=2), jnp.concatenate([highest, iou], axis=2)
