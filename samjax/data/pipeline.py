"""Makes batches for training with Grain, and loads single images for evaluation."""

import dataclasses
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import grain
import numpy as np

from samjax.data import fingerprint
from samjax.data.augment import augment
from samjax.data.boxes import tight_box
from samjax.data.classes import SemanticClass, class_names, label_map, numbers
from samjax.data.config import DataConfig
from samjax.data.files import DataError, read_image, read_mask
from samjax.data.index import Sample
from samjax.data.inputs import Placement, Preprocessing, place, prepare_image, prepare_mask

MAX_REPLACED = 10  # Bad images in a row after which a run that skips them stops.

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class EvaluationImage:
    """An image with all its masks, in the network's input and at their original size.

    Attributes:
        image: Normalised image, (s, s, 3) float32.
        placement: Position of the image in the square.
        masks: Its `n` masks in the square, (n, s, s) uint8 0/1.
        original_masks: The same at the image's own size, (n, h, w) uint8 0/1.
        contents: Fingerprints of the files (`samjax.data.fingerprint`), by the sample's paths.
    """

    image: np.ndarray
    placement: Placement
    masks: np.ndarray
    original_masks: np.ndarray
    contents: dict[str, str]


def training_iterator(
    samples: Sequence[Sample],
    config: DataConfig,
    preprocessing: Preprocessing,
    size: int,
    process_index: int = 0,
    process_count: int = 1,
    classes: Sequence[SemanticClass] = (),
    embedding: Callable[[str], np.ndarray] | None = None,
) -> grain.DatasetIterator:
    """Returns an endless stream of batches, reshuffled every epoch.

    Batch `i` holds the same images, masks and seeds whatever the number of processes and threads:
    each process gets its share of it. The iterator's state is one integer, so a checkpoint of it
    resumes exactly, at any number of threads.

    Args:
        samples: The images to train on, of the folder `config.root`.
        config: Settings of the data.
        preprocessing: Preprocessing of the checkpoint.
        size: Side of the network's input.
        process_index: Index of this process.
        process_count: Number of processes.
        classes: Classes of a semantic head; empty for masks.
        embedding: Semantic head: reads the embedding of an image, by its path in the folder.

    Returns:
        An iterator of dicts, with `b` images of this process and `k` masks per image:
        `image` (b, s, s, 3) float32 normalised, `masks` (b, k, s, s) uint8 0/1, `boxes` (b, k, 4)
        float32 tight boxes of the masks' largest components in input pixels, `seed` (b,) uint32 to
        simulate the image's prompts from. With `classes`, `labels` (b, s, s) uint8 in place of
        masks and boxes: the class of every pixel, 0 for the background. With `embedding`, the
        field `embedding` in place of `image`.

    Raises:
        ValueError: The batch cannot be divided over the processes.
        DataError: There are fewer images than a batch holds; while iterating, a file that has
            become unusable (with `on_bad` "skip": ten images in a row).
    """
    if config.batch_size % process_count:
        raise ValueError(
            f"data.batch_size: expected a multiple of the {process_count} processes, "
            f"found {config.batch_size}"
        )
    if len(samples) < config.batch_size:
        raise DataError(
            f"{config.root}: expected at least data.batch_size = {config.batch_size} images, "
            f"found {len(samples)}"
        )
    load = _Load(samples, config, preprocessing, size)
    if classes:
        number = numbers(classes)
        named = class_names(config.root, samples)
        known = {mask: number[name] for mask, name in named.items() if name in number}
        load = _LoadLabels(samples, config, preprocessing, size, known)
        if embedding is not None:
            load = _LoadEmbeddings(samples, config, preprocessing, size, known, embedding)
    dataset = _shuffled(samples, config).random_map(load)
    dataset = dataset[process_index::process_count]
    dataset = dataset.batch(config.batch_size // process_count, drop_remainder=True)
    options = grain.ReadOptions(num_threads=config.threads, prefetch_buffer_size=config.prefetch)
    return iter(dataset.to_iter_dataset(options))


def load_for_evaluation(
    sample: Sample, root: str | os.PathLike[str], preprocessing: Preprocessing, size: int
) -> EvaluationImage:
    """Loads an image with all its masks.

    Args:
        sample: The image.
        root: The folder that its paths are relative to.
        preprocessing: Preprocessing of the checkpoint.
        size: Side of the network's input.

    Raises:
        DataError: One of the files cannot be used; a mask that is empty in the square is allowed.
    """
    pixels, order, originals = _read(sample, _masks_of(sample, root), root)
    image, placement = prepare_image(pixels, size, preprocessing, order)
    masks = np.stack([prepare_mask(mask, size, placement) for mask in originals])
    held = {path: fingerprint.of_array(m) for path, m in zip(sample.masks, originals, strict=True)}
    held[sample.image] = fingerprint.of_array(pixels, order)
    return EvaluationImage(image, placement, masks, np.stack(originals), held)


def _shuffled(samples: Sequence[Sample], config: DataConfig) -> grain.MapDataset:
    """Returns an endless shuffled dataset of samples, balanced over datasets or masks if set."""
    groups = [list(samples)]
    if config.balance == "mask":
        each = config.masks_per_image
        groups = [[s for s in samples for _ in range(max(-(-len(s.masks) // each), 1))]]
    if config.balance == "dataset":
        names = sorted({sample.dataset for sample in samples})
        groups = [[s for s in samples if s.dataset == name] for name in names]
    parts = [grain.MapDataset.source(g).seed(config.seed).shuffle().repeat() for g in groups]
    # Seeded again: the random values of an image depend on its position in the whole stream.
    return grain.MapDataset.mix(parts).seed(config.seed) if len(parts) > 1 else parts[0]


@dataclasses.dataclass(frozen=True)
class _Load(grain.transforms.RandomMap):
    """Grain transformation of a sample to a training example."""

    samples: Sequence[Sample] = dataclasses.field(repr=False)
    config: DataConfig
    preprocessing: Preprocessing
    size: int

    def random_map(  # pyrefly: ignore[bad-override]
        self, element: Sample, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        for _ in range(MAX_REPLACED):
            try:
                return self._example(element, rng)
            except DataError as error:
                if self.config.on_bad == "error":
                    raise
                _log.warning("skipped: %s", error)
                element = self.samples[int(rng.integers(len(self.samples)))]
        raise DataError(f"{self.config.root}: {MAX_REPLACED} unusable images in a row, see the log")

    def _example(self, sample: Sample, rng: np.random.Generator) -> dict[str, np.ndarray]:
        config, size = self.config, self.size
        available = len(_masks_of(sample, config.root))
        drawn = draw_masks(available, config.masks_per_image, config.mask_sampling, rng)
        used, position = np.unique(drawn, return_inverse=True)  # Each file is read once.
        paths = [sample.masks[i] for i in used]
        pixels, order, originals = _read(sample, paths, config.root)
        image, placement = prepare_image(pixels, size, self.preprocessing, order)
        masks = np.stack([prepare_mask(mask, size, placement) for mask in originals])
        for path, mask in zip(paths, masks, strict=True):
            if not mask.any():
                raise DataError(
                    f"{Path(config.root) / path}: expected foreground at {size} x {size} pixels, "
                    "found an empty mask"
                )
        image, masks = augment(image, masks, placement, config.augment, rng)
        boxes = np.stack([tight_box(mask) for mask in masks])
        return {
            "image": image,
            "masks": masks[position],
            "boxes": boxes[position],
            "seed": np.asarray(rng.integers(2**32), np.uint32),
        }


@dataclasses.dataclass(frozen=True)
class _LoadLabels(_Load):
    """Grain transformation of a sample to an image with the class of every pixel."""

    labels: Mapping[str, int] = dataclasses.field(repr=False)  # By path of a mask.

    def _example(self, sample: Sample, rng: np.random.Generator) -> dict[str, np.ndarray]:
        paths = [path for path in sample.masks if path in self.labels]
        pixels, order, originals = _read(sample, paths, self.config.root)
        image, placement = prepare_image(pixels, self.size, self.preprocessing, order)
        labels = self._label_map(paths, originals, placement)
        # As one map: of single masks, one that leaves the square would be replaced by another.
        image, varied = augment(image, labels[None], placement, self.config.augment, rng)
        seed = np.asarray(rng.integers(2**32), np.uint32)
        return {"image": image, "labels": varied[0], "seed": seed}

    def _label_map(
        self, paths: Sequence[str], masks: Sequence[np.ndarray], placement: Placement
    ) -> np.ndarray:
        prepared = np.zeros((len(paths), self.size, self.size), np.uint8)
        for i, mask in enumerate(masks):
            prepared[i] = prepare_mask(mask, self.size, placement)
        return label_map(prepared, [self.labels[path] for path in paths])[0]


@dataclasses.dataclass(frozen=True)
class _LoadEmbeddings(_LoadLabels):
    """Grain transformation of a sample to an image embedding with the class of every pixel."""

    embedding: Callable[[str], np.ndarray]

    def _example(self, sample: Sample, rng: np.random.Generator) -> dict[str, np.ndarray]:
        embedding = self.embedding(sample.image)
        paths = [path for path in sample.masks if path in self.labels]
        masks = [read_mask(Path(self.config.root) / path) for path in paths]
        height, width = masks[0].shape if masks else (self.size, self.size)
        placement = place(height, width, self.size, self.preprocessing.resize)
        labels = self._label_map(paths, masks, placement)
        seed = np.asarray(rng.integers(2**32), np.uint32)
        return {"embedding": embedding, "labels": labels, "seed": seed}


def draw_masks(available: int, count: int, sampling: str, rng: np.random.Generator) -> np.ndarray:
    """Draws the masks of an image to train on.

    Args:
        available: Number of masks that the image has, at least 1.
        count: Number of masks to draw.
        sampling: `distinct` or `replacement`, see `DataConfig.mask_sampling`.
        rng: Source of randomness.

    Returns:
        Positions of masks, (count,) int64.
    """
    if sampling == "replacement":
        return rng.integers(available, size=count)
    first = rng.permutation(available)[:count]
    return np.concatenate([first, rng.integers(available, size=count - len(first))])


def _masks_of(sample: Sample, root: str | os.PathLike[str]) -> tuple[str, ...]:
    if not sample.masks:
        raise DataError(f"{Path(root) / sample.image}: expected a mask, found none")
    return sample.masks


def _read(
    sample: Sample,
    masks: Sequence[str],
    root: str | os.PathLike[str],
) -> tuple[np.ndarray, str, list[np.ndarray]]:
    """Reads an image, its channel order, and masks in their own size."""
    root = Path(root)
    pixels, order = read_image(root / sample.image)
    return pixels, order, [_read_mask(root / mask, pixels.shape[:2]) for mask in masks]


def _read_mask(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    mask = read_mask(path)
    if mask.shape != shape:
        raise DataError(f"{path}: expected a mask of the image's shape {shape}, found {mask.shape}")
    return mask
