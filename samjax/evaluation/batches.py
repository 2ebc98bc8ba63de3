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

MAX_WAITING = 2**29  # Bytes of masks that are loaded and wait.


@dataclasses.dataclass(frozen=True)
class PromptedImage:
    """An image and its masks, with the prompts of those that can be evaluated.

    Attributes:
        sample: Paths of the image and its masks.
        loaded: Their pixels.
        prompts: Prompts by position of the mask.
        skipped: Reasons why the other masks have none, by path.
    """

    sample: Sample
    loaded: EvaluationImage
    prompts: dict[int, MaskPrompt]
    skipped: dict[str, str]


@dataclasses.dataclass(frozen=True)
class EvaluationBatch:
    """Up to `n` masks in up to `b` images, with all that the device needs to evaluate them.

    Attributes:
        masks: Masks of the batch, as (image, position); fewer than `n` in a short batch.
        sources: Their images, in order; fewer than `b` in a short batch.
        images: Normalised images, (b, s, s, 3) float32.
        image_index: Index of each mask's image, (n,) int32.
        boxes: (n, 4) float32, pixels of the input.
        points: First points, (n, 2) float32, pixels of the input.
        seeds: Seeds of the later points, (n,) uint32.
        truth: Masks in the input square, (n, s, s) uint8.
    """

    masks: list[tuple[PromptedImage, int]]
    sources: list[PromptedImage]
    images: np.ndarray
    image_index: np.ndarray
    boxes: np.ndarray
    points: np.ndarray
    seeds: np.ndarray
    truth: np.ndarray

    @property
    def image_count(self) -> int:
        """Number of images."""
        return len(self.sources)


def load_ahead(
    samples: Iterable[Sample], load: Callable[[Sample], PromptedImage], threads: int
) -> Iterator[PromptedImage]:
    """Loads images in threads, in order, a few ahead of the caller.

    Fewer are loaded ahead where they are large: see `MAX_WAITING`.
    """
    with ThreadPoolExecutor(threads) as pool:
        waiting: collections.deque = collections.deque()
        try:
            for sample in samples:
                waiting.append(pool.submit(load, sample))
                while len(waiting) > 4 * threads or _waiting_bytes(waiting) > MAX_WAITING:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _waiting_bytes(waiting: Iterable[Future[PromptedImage]]) -> int:
    """Returns the bytes of the masks that are loaded and wait."""
    done = (future for future in waiting if future.done() and not future.exception())
    return sum(future.result().loaded.original_masks.nbytes for future in done)


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
        root: Data folder, to which its paths are relative.
        preprocessing: Preprocessing of the checkpoint.
        size: Side of the network's input.
        prompts: Prompts to replay, or the seed to draw them from.

    Raises:
        DataError: A file cannot be used, or the prompts to replay have none for a mask, or were
            drawn for another image.
    """
    loaded = load_for_evaluation(sample, root, preprocessing, size)
    if not isinstance(prompts, int):
        prompts.check(sample.masks, loaded.contents, loaded.original_masks.shape[1:])
    by_position: dict[int, MaskPrompt] = {}
    skipped: dict[str, str] = {}
    for i, path in enumerate(sample.masks):
        if not isinstance(prompts, int):
            if path in prompts.skipped:
                skipped[path] = prompts.skipped[path]
            elif path in prompts.prompts:
                by_position[i] = prompts.prompts[path]
            else:
                raise DataError(f"{path}: the prompts to replay have none for this mask")
        elif loaded.masks[i].any():
            args = (loaded.masks[i], loaded.placement, prompts, path, sample.image)
            by_position[i] = prompt_file.draw(*args, preprocessing.box_margin)
        elif loaded.original_masks[i].any():
            skipped[path] = f"nothing left of it at {size} x {size}"
        else:
            skipped[path] = "empty"
    return PromptedImage(sample, loaded, by_position, skipped)


def pack(
    images: Iterable[PromptedImage], image_count: int, mask_count: int
) -> Iterator[EvaluationBatch]:
    """Fills batches in order; an image with many masks continues in the next batch.

    Args:
        images: The images to evaluate.
        image_count: Maximum number of images in a batch.
        mask_count: Maximum number of masks in a batch.
    """
    entries: list[tuple[PromptedImage, int]] = []
    images_in_batch = 0
    for image in images:
        for position in image.prompts:
            is_new = not entries or entries[-1][0] is not image
            if len(entries) == mask_count or (is_new and images_in_batch == image_count):
                yield _batch(entries, image_count, mask_count)
                entries, images_in_batch, is_new = [], 0, True
            entries.append((image, position))
            images_in_batch += is_new
    if entries:
        yield _batch(entries, image_count, mask_count)


def _batch(
    entries: list[tuple[PromptedImage, int]], image_count: int, mask_count: int
) -> EvaluationBatch:
    images = list({id(image): image for image, _ in entries}.values())
    index = {id(image): i for i, image in enumerate(images)}
    prompts = [image.prompts[i].in_input(image.loaded.placement) for image, i in entries]
    return EvaluationBatch(
        masks=entries,
        sources=images,
        images=_stack([image.loaded.image for image in images], image_count),
        image_index=_stack([np.int32(index[id(image)]) for image, _ in entries], mask_count),
        boxes=_stack([box for box, _ in prompts], mask_count),
        points=_stack([point for _, point in prompts], mask_count),
        seeds=_stack([np.uint32(image.prompts[i].click_seed) for image, i in entries], mask_count),
        truth=_stack([image.loaded.masks[i] for image, i in entries], mask_count),
    )


def _stack(rows: Sequence[np.ndarray | np.generic], count: int) -> np.ndarray:
    """Stacks rows and pads them with zeros to `count` rows."""
    stacked = np.stack(rows)
    result = np.zeros((count, *stacked.shape[1:]), stacked.dtype)
    result[: len(stacked)] = stacked
    return result
