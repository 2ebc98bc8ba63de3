"""Evaluates a model on a data set: every mask by every protocol, at original resolution.

`samjax evaluate`, `samjax compare` and validation during training all call `evaluate`.
"""

import collections
import dataclasses
import functools
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

import jax
import numpy as np
from tqdm import tqdm

from samjax.data import fingerprint, index, quality
from samjax.data.files import DataError
from samjax.data.index import Sample
from samjax.evaluation import batches, prompted, semantic, support, surfaces
from samjax.evaluation.batches import EvaluationBatch, PromptedImage
from samjax.evaluation.progress import EvaluationProgress, ImageInProgress
from samjax.evaluation.prompt_file import PromptSet
from samjax.evaluation.prompted import Predictions
from samjax.evaluation.results import EvalConfig, Evaluation, ImageResults
from samjax.evaluation.semantic import ClassPredictions
from samjax.evaluation.surfaces import SurfaceScorer, measure_volumes
from samjax.inference import jit_cache
from samjax.models.directory import Model

_log = logging.getLogger(__name__)


def evaluate(
    model: Model,
    root: str | os.PathLike[str],
    samples: Sequence[Sample] | None = None,
    config: EvalConfig | None = None,
    prompts: PromptSet | None = None,
    progress: bool = True,
    resume_from: EvaluationProgress | None = None,
) -> Evaluation:
    """Evaluates a model on a data folder: every mask by every protocol.

    Compiled functions are kept: calling this again with other parameters of the same shapes, as
    validation does, compiles nothing.

    Args:
        model: The model; its parameters may be on devices, sharded or not.
        root: The data folder.
        samples: The images to evaluate on; None: the split `test` of the folder.
        config: Settings; None: those of the paper.
        prompts: Prompts to replay; drawn from `config.seed` otherwise.
        progress: Whether to show a progress bar on a terminal.
        resume_from: Results of an earlier start of the same evaluation; new ones are added.

    Raises:
        DataError: A file cannot be used (`samjax.data.quality` finds them beforehand), the prompts
            to replay lack a mask, or no mask is left to evaluate.
        ValueError: No protocol suits the model, or masks have classes that it lacks.
    """
    config, left_out = support.supported_protocols(model, config or EvalConfig())
    model = on_device(model)
    samples = index.load_index(root, "test") if samples is None else samples
    samples = limited(samples, config.limit)
    metadata = index.load_metadata(root, samples)
    samples, other = support.known_samples(model, samples, metadata, config)
    surfaces.check_spacing(metadata, samples, config)
    completed = resume_from or EvaluationProgress()
    in_progress: collections.deque[ImageInProgress] = collections.deque()  # In order of batches.
    remaining = [number for number in range(len(samples)) if number not in completed.images]
    if samples and not remaining and not completed.timings:
        remaining = [len(samples) - 1]  # All is done but the measurement of speed.

    def images(bar: tqdm) -> Iterator[PromptedImage]:
        wanted = [samples[number] for number in remaining]
        loaded = load_images(model, root, wanted, config, prompts)
        for number, image in zip(remaining, loaded, strict=True):
            in_progress.append(ImageInProgress(number, image))
            bar.update()
            yield image

    def finished(wait: bool = False) -> dict[int, ImageResults]:
        done, by_image = {}, {id(one.image): one for one in in_progress}
        for image, result, masks in scorer.finished(wait):
            by_image[image].results.append(result)
            by_image[image].slices.extend([masks] if masks else [])
        while in_progress and in_progress[0].is_done:
            image = in_progress.popleft()
            done[image.number] = image.image_results()
        return done

    quiet = None if progress else True  # None: only on a terminal.
    total, done = len(samples), len(samples) - len(remaining)
    with (
        SurfaceScorer(config) as scorer,
        tqdm(total=total, initial=done, desc="evaluating", unit="image", disable=quiet) as bar,
    ):
        last: EvaluationBatch | None = None
        for batch in batches.pack(images(bar), config.images_per_batch, config.batch_size):
            jit_cache.clear_if_large()
            predictions = predict(model, batch, config)
            by_image = {id(one.image): one for one in in_progress}
            if isinstance(predictions, ClassPredictions):
                maps = semantic.class_maps(model, batch, predictions)
                counted = semantic.count_classes(model, batch, maps, metadata)
                measured = semantic.measure(model, batch, maps, counted, config, metadata)
                for image, of_image in zip(batch.sources, counted, strict=True):
                    by_image[id(image)].classes.update(of_image)
            else:
                measured = prompted.measure(model, batch, predictions, config, metadata)
            for (image, _), one in zip(batch.masks, measured, strict=True):
                scorer.add(id(image), one)
            # The first batch may have compiled, and is not counted.
            completed.add(finished(), [(batch.image_count, predictions.seconds)] if last else [])
            last = batch
        completed.add(finished(wait=True), [])
    if last is not None and not completed.timings:
        completed.timings.append((last.image_count, predict(model, last, config).seconds))
    per_image = [completed.images[number] for number in range(len(samples))]
    results = [result for one in per_image for result in one.results]
    if not results:
        raise DataError(f"{root}: none of the masks in {len(samples)} images can be evaluated")
    prompt_set = PromptSet(
        prompts.seed if prompts else config.seed,
        {path: prompt for one in per_image for path, prompt in one.prompts.items()},
        {path: reason for one in per_image for path, reason in one.skipped.items()},
        {path: content for one in per_image for path, content in one.contents.items()},
    )
    size = model.config.image_size
    fps = _fps(completed.timings)
    pairs = zip(samples, per_image, strict=True)
    classes = {sample.image: one.classes for sample, one in pairs if one.classes}
    volumes = measure_volumes(per_image, config) if "3d" in config.surface else []
    return Evaluation(config, size, results, prompt_set, fps, left_out, classes, other, volumes)


def on_device(model: Model) -> Model:
    """Moves parameters to the device once, not with every batch; those already there stay."""
    return dataclasses.replace(model, params=jax.device_put(model.params))


def check_samples(
    model: Model,
    root: str | os.PathLike[str],
    samples: Sequence[Sample],
    config: EvalConfig,
    on_bad: str,
    prompts: PromptSet | None = None,
) -> tuple[list[Sample], dict[str, str], dict[str, str]]:
    """Checks every file of an evaluation by reading it once; leaves out unusable ones.

    Masks that are empty, or vanish at the input's size, stay: `evaluate` skips and counts them.

    Args:
        model: The model to evaluate.
        root: The data folder.
        samples: The images to evaluate on.
        config: Settings of the evaluation.
        on_bad: `skip`, or `error` to refuse.
        prompts: Prompts to replay, if any.

    Returns:
        The usable images and masks; problems of the other files, by path; fingerprints of the
        usable ones (`samjax.data.fingerprint`), by path.

    Raises:
        DataError: There are bad files and `on_bad` is `error`, nothing is left, or the prompts were
            drawn for other files.
    """
    samples = limited(samples, config.limit)
    if config.surface:  # Before hours of reading.
        surfaces.check_spacing(index.load_metadata(root, samples), samples, config)
    size, resize = model.config.image_size, model.preprocessing.resize
    fingerprints: dict[str, str] = {}

    def add_fingerprints(
        sample: Sample, image: np.ndarray, order: str, masks: Mapping[str, np.ndarray]
    ) -> None:
        of_sample = {path: fingerprint.of_array(mask) for path, mask in masks.items()}
        of_sample[sample.image] = fingerprint.of_array(image, order)
        fingerprints.update(of_sample)
        if prompts is not None:
            prompts.check(masks, of_sample, image.shape)

    checked = quality.check_and_visit(root, samples, size, resize, config.threads, add_fingerprints)
    problems = [problem for sample_problems, _ in checked for problem in sample_problems]
    bad = [p for p in problems if not p.is_warning and p.kind not in ("empty", "vanished")]
    return (
        quality.select_usable(samples, bad, on_bad),
        {p.path: p.detail for p in bad},
        fingerprints,
    )


def load_images(
    model: Model,
    root: str | os.PathLike[str],
    samples: Iterable[Sample],
    config: EvalConfig,
    prompts: PromptSet | None,
) -> Iterator[PromptedImage]:
    """Loads images for a model in threads, with the prompts to replay or new ones."""
    load_one = functools.partial(
        batches.load_image,
        root=root,
        preprocessing=model.preprocessing,
        size=model.config.image_size,
        prompts=config.seed if prompts is None else prompts,
    )
    return batches.load_ahead(samples, load_one, config.threads)


def predict(
    model: Model, batch: EvaluationBatch, config: EvalConfig
) -> Predictions | ClassPredictions:
    """Predicts the masks of a batch by all protocols."""
    kind = semantic if model.config.head.is_semantic else prompted
    return kind.predict(model, batch, config)


def limited(samples: Sequence[Sample], limit: int | None) -> Sequence[Sample]:
    """Returns at most `limit` samples, spread evenly over all parts of the data set."""
    if limit is None or limit >= len(samples):
        return samples
    return [samples[i * len(samples) // limit] for i in range(limit)]


def _fps(timings: Sequence[tuple[int, dict[str, float]]]) -> dict[str, float]:
    """Returns images per second of `bbox` and `points`, each with the encoding."""
    images = sum(count for count, _ in timings)
    total = {name: sum(seconds[name] for _, seconds in timings) for name in timings[0][1]}
    encode = total.pop("encode")
    return {name: images / (encode + seconds) for name, seconds in total.items()}
