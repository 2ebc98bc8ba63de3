"""Training and evaluation of the unfinished models of a comparison."""

import contextlib
import dataclasses
import gc
import json
import logging
import statistics
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import jax

from samjax import conversion, lock
from samjax.comparison import choice
from samjax.comparison.plan import (
    Comparison,
    EvalSetting,
    Job,
    TrainingStage,
    general_checkpoint,
    general_report,
)
from samjax.data import index
from samjax.data.files import write_whole
from samjax.evaluation.evaluator import EvalConfig
from samjax.evaluation.run import evaluate_and_report
from samjax.models import directory
from samjax.models.directory import Model
from samjax.training import distributed, loop
from samjax.training.config import Experiment

SECONDS = "seconds.json"

_log = logging.getLogger(__name__)


def prepare_general(comparison: Comparison, workdir: Path) -> str:
    """Trains the general model if needed and evaluates it on its own data; returns its path."""
    checkpoint = general_checkpoint(comparison, workdir)
    if general_is_ready(comparison, workdir):
        return checkpoint
    with lock.exclusive(workdir / "general"):
        if not comparison.general:
            train_stages(comparison.stages, "", workdir / "general")
        out = general_report(workdir)
        if comparison.general_data and not (out / "report.json").exists():
            model = conversion.load_or_convert(checkpoint)
            _evaluate(
                comparison,
                model,
                checkpoint,
                comparison.general_data,
                EvalSetting(),
                out,
                "general model",
            )
    return checkpoint


def check(comparison: Comparison, wanted: Iterable[Job]) -> None:
    """Checks the settings of all trainings before the first one starts.

    Raises:
        ValueError: Settings contradict each other; the message names the method and stage.
    """
    stages = [("general", stage) for stage in (() if comparison.general else comparison.stages)]
    stages += [
        (job.name, stage) for job in wanted for stage in (*job.method.stages, *job.method.grid)
    ]
    for name, stage in stages:
        try:
            stage.experiment.check_validation()
        except ValueError as error:
            raise ValueError(f"{name}, {stage.name}: {error}") from error


def general_is_ready(comparison: Comparison, workdir: Path) -> bool:
    """Whether the general model is trained and evaluated."""
    stages = () if comparison.general else comparison.stages
    trained = all(is_trained(workdir / "general" / stage.name) for stage in stages)
    evaluated = not comparison.general_data or (general_report(workdir) / "report.json").exists()
    return trained and evaluated


def run(comparison: Comparison, job: Job, general: str, workdir: Path) -> None:
    """Trains and evaluates one model, and resumes a stopped training.

    Args:
        comparison: The comparison.
        job: The model's method and seed.
        general: Checkpoint of the general model.
        workdir: The comparison's folder.

    Raises:
        Interrupted: The training was stopped; it is saved.
        DataError: The data cannot be used.
        ValueError: A setting cannot work, or another process trains this model.
    """
    if not job.missing(workdir):
        return
    if job.method.grid and not job.stages(workdir):
        _choose(comparison, job, general, workdir)
    with lock.exclusive(job.folder(workdir)):
        _train_and_evaluate(comparison, job, general, workdir)


def _choose(comparison: Comparison, job: Job, general: str, workdir: Path) -> None:
    """Trains all variants of a job's method with the first seed, and writes down the best."""
    first = dataclasses.replace(job, seed=comparison.seeds[0])
    folder, start = first.folder(workdir), general if job.method.from_general else ""
    with lock.exclusive(folder):
        for stage in seeded_stages(comparison, first, job.method.grid):
            train_stages([stage], start, folder)
        names = [stage.name for stage in job.method.grid]
        scores = {name: choice.validation_score(folder / name) for name in names}
        choice.write(workdir / job.name, scores)


def _train_and_evaluate(comparison: Comparison, job: Job, general: str, workdir: Path) -> None:
    start = general if job.method.from_general else ""
    stages = seeded_stages(comparison, job, job.stages(workdir))
    train_stages(stages, start, job.folder(workdir))
    checkpoint = job.checkpoint(comparison, workdir)
    for name in job.missing(workdir):
        setting = job.method.settings[name]
        model = conversion.load_or_convert(checkpoint, setting.image_size)
        if setting.resize is not None:
            fitted = dataclasses.replace(model.preprocessing, resize=setting.resize)
            model = dataclasses.replace(model, preprocessing=fitted)
        title = f"{job.method.title}, seed {job.seed}"
        _evaluate(
            comparison,
            model,
            checkpoint,
            comparison.data,
            setting,
            job.report(workdir, name),
            title,
        )


def seeded_stages(
    comparison: Comparison, job: Job, stages: Iterable[TrainingStage]
) -> tuple[TrainingStage, ...]:
    """Returns stages of a job, with the comparison's data and the job's seed."""
    return tuple(
        TrainingStage(stage.name, _seeded(stage.experiment, comparison, job.seed))
        for stage in stages
    )


def is_trained(folder: Path) -> bool:
    """Whether the training in a folder is complete."""
    return directory.is_model_dir(folder / "last")


def seconds(folder: Path, kind: str = "training") -> float:
    """Returns the seconds of the training in a folder.

    Args:
        folder: Folder of the training.
        kind: `training` for those that it took, over all its starts; `core` for those that its
            batches took of one core, as if it had no other: without compiling, checking the data,
            and validation.
    """
    path = folder / SECONDS
    return json.loads(path.read_text()).get(kind, 0.0) if path.exists() else 0.0


def _seeded(experiment: Experiment, comparison: Comparison, seed: int) -> Experiment:
    return dataclasses.replace(
        experiment,
        data=dataclasses.replace(experiment.data, root=comparison.data, seed=seed),
        run=dataclasses.replace(experiment.run, seed=seed),
    )


def train_stages(stages: Iterable[TrainingStage], start: str, folder: Path) -> None:
    """Trains the unfinished stages, each from the result of the stage before it."""
    for stage in stages:
        out = folder / stage.name
        if not is_trained(out):
            _log.info("training: %s", out)
            _train(dataclasses.replace(stage.experiment, init_from=start), out)
        start = str(out / "last")


def _train(experiment: Experiment, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # The comparison writes its own reports.
    run = dataclasses.replace(experiment.run, report=False)
    # Processes started by a cluster work on different shards.
    mesh = dataclasses.replace(experiment.mesh, coordinator=distributed.ALONE)
    with _timed(folder), _clear_programs():
        loop.train(dataclasses.replace(experiment, run=run, mesh=mesh), folder)
    _add_core_seconds(folder, experiment.data.batch_size)


@contextlib.contextmanager
def _timed(folder: Path) -> Iterator[None]:
    """Adds the time of the block to the folder's training time of earlier starts."""
    start, before = time.perf_counter(), seconds(folder)
    try:
        yield
    finally:
        total = before + time.perf_counter() - start
        write_whole(folder / SECONDS, json.dumps({"training": total}).encode())


def _add_core_seconds(folder: Path, images: int) -> None:
    """Adds the core seconds of a training: of a median batch, times the number of batches.

    A training too short for a row of its logs has none.
    """
    path = folder / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    rates = [row["images_per_cpu_s"] for row in rows if "images_per_cpu_s" in row]
    if rates:
        core = max(row["step"] for row in rows) * images / statistics.median(rates)
        content = {"training": seconds(folder), "core": core}
        write_whole(folder / SECONDS, json.dumps(content).encode())


@contextlib.contextmanager
def _clear_programs() -> Iterator[None]:
    """Drops all compiled programs at the end, as the next model has others.

    Compiled programs stay mapped, and those of many models would exceed the limit of Linux.
    """
    try:
        yield
    finally:
        jax.clear_caches()
        gc.collect()


def _evaluate(
    comparison: Comparison,
    model: Model,
    path: str,
    root: str,
    setting: EvalSetting,
    out: Path,
    title: str,
) -> None:
    samples = [s for split in setting.splits for s in index.load_index(root, split)]
    samples = index.select_datasets(samples, setting.datasets)
    names = setting.protocols or comparison.protocols
    config = EvalConfig(protocols=names, select=("score", "oracle"), adapters=setting.adapters)
    origin = {"checkpoint": path, "data": root, "split": "+".join(setting.splits)}
    evaluation = evaluate_and_report(model, root, samples, out, config, title, origin)
    print(evaluation.table)
    for problem in evaluation.problems:
        _log.warning("left out: %s", problem)
