"""Measurements of trained methods beside their scores: size, speed and memory.

All methods are measured in one process, in turns, since a machine's speed changes from minute to
minute. The result is `measured.json` in the comparison's folder.
"""

import json
import logging
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from samjax import conversion, models
from samjax.comparison import cost
from samjax.comparison.plan import Comparison, Job, general_checkpoint, jobs
from samjax.data import index
from samjax.data.files import write_whole
from samjax.data.index import Sample
from samjax.evaluation import batches, evaluator
from samjax.evaluation.evaluator import EvalConfig
from samjax.models import groups
from samjax.models.directory import Model
from samjax.training.config import Experiment
from samjax.types import Params

NAME = "measured.json"
TURNS = 7  # The median of them counts.
IMAGES = 8

_log = logging.getLogger(__name__)


def write(comparison: Comparison, workdir: Path) -> None:
    """Measures the methods of `comparison.side_by_side` unless all of them are measured.

    Those without a trained model are left out.
    """
    shown = {method for _, method, _ in comparison.side_by_side}
    firsts = {
        job.name: job
        for job in jobs(comparison)
        if job.name in shown and job.seed == comparison.seeds[0] and _is_trained(job, workdir)
    }
    if not firsts.keys() - read(workdir).keys():
        return
    _log.info("measuring size, speed and memory of %d methods", len(firsts))
    loaded = {
        name: conversion.load_or_convert(job.checkpoint(comparison, workdir))
        for name, job in firsts.items()
    }
    general = conversion.load_or_convert(general_checkpoint(comparison, workdir))
    rates = speeds(comparison, firsts, loaded)
    content = {
        name: {
            "parameters": models.count_parameters(model.config),
            "kept_bytes": kept_bytes(model.params, general.params),
            "images_per_s": rates[name],
            **_training(firsts[name], workdir, model),
        }
        for name, model in loaded.items()
    }
    write_whole(workdir / NAME, (json.dumps(content, indent=2) + "\n").encode())


def read(workdir: Path) -> dict[str, dict[str, Any]]:
    """Reads the measurements by method; none before they are made."""
    path = workdir / NAME
    return json.loads(path.read_text()) if path.exists() else {}


def kept_bytes(params: Params, general: Params) -> int:
    """Returns the bytes of the parameters that are not, bit for bit, those of the general model."""
    known = {name: np.asarray(leaf) for name, leaf in models.named_leaves(general)}
    return sum(
        np.asarray(leaf).nbytes
        for name, leaf in models.named_leaves(params)
        if name not in known or not np.array_equal(leaf, known[name])
    )


def trained_parameters(model: Model, experiment: Experiment) -> int:
    """Counts the parameters that a training updates, in whichever of its updates."""
    task = _task(model, experiment)
    picked = groups.pick(groups.split(model.config, model.params), task.first_groups, task.frozen)
    return sum(math.prod(leaf.shape) for group in picked.values() for leaf in group.values())


def training_bytes(model: Model, experiment: Experiment) -> int:
    """Returns the memory of a training step: parameters, optimizer and batch, and work space.

    They are those of XLA's own analysis, without the program, the data that are loaded ahead, and
    Python.
    """
    data = experiment.data
    config = experiment.step(_task(model, experiment), experiment.run.steps or 1, 1)
    lowered = cost.lower(config, data.batch_size, data.masks_per_image)
    found: Any = lowered.compile().memory_analysis()
    new_outputs = found.output_size_in_bytes - found.alias_size_in_bytes
    return found.argument_size_in_bytes + found.temp_size_in_bytes + new_outputs


def speeds(
    comparison: Comparison, firsts: Mapping[str, Job], loaded: Mapping[str, Model]
) -> dict[str, float]:
    """Returns images per second in prediction, each with two masks: encoding and decoding.

    A method has the first of its own prompts. All predict the same images, in turns.
    """
    samples = _images(comparison, firsts)
    prepared = {}
    for name, model in loaded.items():
        setting = next(iter(firsts[name].method.settings.values()))
        wanted = (setting.protocols or comparison.protocols)[:1]
        config = EvalConfig(protocols=wanted, images_per_batch=IMAGES, batch_size=2 * IMAGES)
        images = evaluator.load_images(model, comparison.data, samples, config, None)
        batch = next(batches.pack(images, config.images_per_batch, config.batch_size))
        prepared[name] = evaluator.on_device(model), batch, config
    seconds: dict[str, list[float]] = {name: [] for name in prepared}
    for turn in range(1 + TURNS):
        for name, (model, batch, config) in prepared.items():
            taken = evaluator.predict(model, batch, config).seconds
            if turn:  # The first compiles.
                seconds[name].append(sum(taken.values()) / batch.image_count)
    return {name: 1 / statistics.median(taken) for name, taken in seconds.items()}


def _images(comparison: Comparison, firsts: Mapping[str, Job]) -> Sequence[Sample]:
    setting = next(iter(next(iter(firsts.values())).method.settings.values()))
    samples = index.select_datasets(index.load_index(comparison.data, "test"), setting.datasets)
    with_two = [sample for sample in samples if len(sample.masks) > 1] or samples
    return [Sample(sample.image, sample.masks[:2]) for sample in with_two[:IMAGES]]


def _training(job: Job, workdir: Path, model: Model) -> dict[str, int]:
    """Returns the numbers of a method's training; none for the general model itself."""
    if not job.method.is_trained:
        return {}
    experiment = job.stages(workdir)[-1].experiment
    return {
        "trained": trained_parameters(model, experiment),
        "training_bytes": training_bytes(model, experiment),
    }


def _task(model: Model, experiment: Experiment) -> Any:
    used = model.preprocessing
    return experiment.task(model.config, used.mask_prompt, used.multimask)


def _is_trained(job: Job, workdir: Path) -> bool:
    stages = job.stages(workdir)
    return not job.method.is_trained or bool(
        stages and (job.folder(workdir) / stages[-1].name / "last").is_dir()
    )
