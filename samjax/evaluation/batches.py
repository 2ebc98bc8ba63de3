"""Masks with their prompts, loaded ahead and packed into batches of one static shape."""

import collections
import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from samjax.data.files import DataError
from samjax.data.index import Sample
from samjax.data.inputs import Preprocessing
from samjax.data.pipeline import EvaluationImage, load_for_evaluation
from samjax.evaluation import prompt_file
from samjax.evaluation.prompt_file import MaskPrompt, PromptSet

MAX_WAITING = 2**29  # Bytes.


@dataclasses.dataclass(frozen=True)
class PromptedImage:
    """An image and its masks, with the prompts of those that can be evaluated.

    Attributes:
        sample: Paths.
        loaded: Image and masks.
        prompts: Prompts by position of the mask.
        skipped: Why the other masks have none, by path.
    """

    sample: Sample
    loaded: EvaluationImage
    prompts: dict[int, MaskPrompt]
    skipped: dict[str, str]


@dataclasses.dataclass(frozen=True)
class EvaluationBatch:
    """Up to `n` masks in up to `b` images, with all that the device needs to evaluate them.

    Attributes:
        masks: The masks that are there, as (image, position); fewer than `n` in a short batch.
        image_count: How many images are there.
        images: Normalised images, (b, s, s, 3) float32.
        image_index: Which image each mask belongs to, (n,) int32.
        boxes: (n, 4) float32, pixels of the input.
        points: First points, (n, 2) float32, pixels of the input.
        seeds: Seeds of the later points, (n,) uint32.
        truth: Masks in the input square, (n, s, s) uint8.
    """

    masks: list[tuple[PromptedImage, int]]
    image_count: int
    images: np.ndarray
    image_index: np.ndarray
    boxes: np.ndarray
    points: np.ndarray
    seeds: np.ndarray
    truth: np.ndarray


def load_ahead(
    samples: Iterable[Sample], load: Callable[[Sample], PromptedImage], threads: int
) -> Iterator[PromptedImage]:
    """Loads images in threads, a few ahead of what is asked for, in the order given.

    Of large images fewer: those that wait hold no more than `MAX_WAITING`, or are one a thread.
    """
    with ThreadPoolExecutor(threads) as pool:
        waiting: collections.deque = collections.deque()
        try:
            for sample in samples:
                waiting.append(pool.submit(load, sample))
                while len(waiting) > 4 * threads or _held(waiting) > MAX_WAITING:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _held(waiting: Iterable[Future[PromptedImage]]) -> int:
    """Bytes of the masks that are loaded and not asked for yet."""
    done = (one for one in waiting if one.done() and not one.exception())
    return sum(one.result().loaded.original_masks.nbytes for one in done)


def load_image(
    sample: Sample,
    root: str | os.PathLike[str],
    preprocessing: Preprocessing,
    size: int,
    prompts: PromptSet | int,
) -> PromptedImage:
    """Loads an image with its masks, and draws or looks up their prompts.

    Args:
        sample: The image.
        root: The folder that its paths are relative to.
        preprocessing: What the checkpoint expects of its images.
        size: Side of the network's input.
        prompts: Prompts to replay, or the seed to draw them from.

    Raises:
        DataError: A file cannot be used, or the prompts to replay have none for a mask, or were
            drawn for another image.
    """
    loaded = load_for_evaluation(sample, root, preprocessing, size)
    if not isinstance(prompts, int):
        prompts.check(sample.masks, loaded.contents, loaded.original_masks.shape[1:])
    found: dict[int, MaskPrompt] = {}
    skipped: dict[str, str] = {}
    for i, path in enumerate(sample.masks):
        if not isinstance(prompts, int):
            if path in prompts.skipped:
                skipped[path] = prompts.skipped[path]
            elif path in prompts.prompts:
                found[i] = prompts.prompts[path]
            else:
                raise DataError(f"{path}: the prompts to replay have none for this mask")
        elif loaded.masks[i].any():
            args = (loaded.masks[i], loaded.placement, prompts, path, sample.image)
            found[i] = prompt_file.draw(*args, preprocessing.box_margin)
        elif loaded.original_masks[i].any():
            skipped[path] = f"nothing left of it at {size} x {size}"
        else:
            skipped[path] = "empty"
    return PromptedImage(sample, loaded, found, skipped)


def pack(
    images: Iterable[PromptedImage], image_count: int, mask_count: int
) -> Iterator[EvaluationBatch]:
    """Fills batches in order; an image with many masks goes on in the next batch.

    Args:
        images: The images to evaluate.
        image_count: Images of a batch, at most.
        mask_count: Masks of a batch, at most.
    """
    held: list[tuple[PromptedImage, int]] = []
    distinct = 0
    for image in images:
        for position in image.prompts:
            new = not held or held[-1][0] is not image
            if len(held) == mask_count or (new and distinct == image_count):
                yield _batch(held, image_count, mask_count)
                held, distinct, new = [], 0, True
            held.append((image, position))
            distinct += new
    if held:
        yield _batch(held, image_count, mask_count)


def _batch(
    held: list[tuple[PromptedImage, int]], image_count: int, mask_count: int
) -> EvaluationBatch:
    images = list({id(image): image for image, _ in held}.values())
    index = {id(image): i for i, image in enumerate(images)}
    prompts = [image.prompts[i].in_input(image.loaded.placement) for image, i in held]
    return EvaluationBatch(
        masks=held,
        image_count=len(images),
        images=_filled([image.loaded.image for image in images], image_count),
        image_index=_filled([np.int32(index[id(image)]) for image, _ in held], mask_count),
        boxes=_filled([box for box, _ in prompts], mask_count),
        points=_filled([point for _, point in prompts], mask_count),
        seeds=_filled([np.uint32(im.prompts[i].click_seed) for im, i in held], mask_count),
        truth=_filled([image.loaded.masks[i] for image, i in held], mask_count),
    )


def _filled(rows: Sequence[np.ndarray | np.generic], count: int) -> np.ndarray:
    """Stacks rows and fills up to `count` of them, with zeros."""
    stacked = np.stack(rows)
    result = np.zeros((count, *stacked.shape[1:]), stacked.dtype)
    result[: len(stacked)] = stacked
    return result
