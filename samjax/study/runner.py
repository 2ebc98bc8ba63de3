"""Does what a study asks for and is not done yet."""

import contextlib
import dataclasses
import gc
import json
import logging
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import jax

from samjax import conversion, lock, pretrained
from samjax.data import index
from samjax.data.files import write_whole
from samjax.evaluation import testing
from samjax.evaluation.evaluator import EvalConfig
from samjax.pretrained import Pretrained
from samjax.study.plan import Job, Stage, Study, Trial
from samjax.training import loop
from samjax.training.experiment import Experiment

SECONDS = "seconds.json"

_log = logging.getLogger(__name__)


def make_general(study: Study, workdir: Path) -> str:
    """The checkpoint of the general model, made first if need be, and tested on its own data."""
    if general_is_made(study, workdir):
        return study.general or str(workdir / "general" / study.stages[-1].name / "last")
    with lock.exclusive(workdir / "general"):
        checkpoint = study.general or _train_in_turn(study.stages, "", workdir / "general")
        out = general_report(workdir)
        if study.general_data and not (out / "report.json").exists():
            model = conversion.load_any(checkpoint)
            _test(study, model, checkpoint, study.general_data, Trial(), out, "general model")
    return checkpoint


def check(study: Study, wanted: Iterable[Job]) -> None:
    """Checks, before anything is trained, the settings of what is to be.

    Raises:
        ValueError: Settings contradict each other; the message names model and stage.
    """
    stages = [("general", stage) for stage in (() if study.general else study.stages)]
    stages += [(job.name, stage) for job in wanted for stage in job.method.stages]
    for name, stage in stages:
        try:
            stage.experiment.check_validation()
        except ValueError as error:
            raise ValueError(f"{name}, {stage.name}: {error}") from error


def general_is_made(study: Study, workdir: Path) -> bool:
    """Whether the general model is there and tested."""
    stages = () if study.general else study.stages
    trained = all(is_trained(workdir / "general" / stage.name) for stage in stages)
    tested = not study.general_data or (general_report(workdir) / "report.json").exists()
    return trained and tested


def general_report(workdir: Path) -> Path:
    """Where the general model's test on images of its own kind is."""
    return workdir / "general" / "test"


def run(study: Study, job: Job, general: str, workdir: Path) -> None:
    """Trains and tests one model, or goes on where it was stopped.

    Args:
        study: The study.
        job: Which model.
        general: Checkpoint of the general model.
        workdir: The study's folder.

    Raises:
        Interrupted: The training was asked to stop; it is saved.
        DataError: The data cannot be used.
        ValueError: A setting cannot work, or another process makes this model.
    """
    if job.missing(workdir):
        with lock.exclusive(job.folder(workdir)):
            _make(study, job, general, workdir)


def _make(study: Study, job: Job, general: str, workdir: Path) -> None:
    start = general if job.method.from_general else ""
    checkpoint = _train_in_turn(stages_of(study, job), start, job.folder(workdir))
    for name in job.missing(workdir):
        trial = job.method.trials[name]
        model = conversion.load_any(checkpoint, trial.image_size)
        if trial.resize is not None:
            fitted = dataclasses.replace(model.input, resize=trial.resize)
            model = dataclasses.replace(model, input=fitted)
        title = f"{job.method.title}, seed {job.seed}"
        _test(study, model, checkpoint, study.data, trial, job.report(workdir, name), title)


def stages_of(study: Study, job: Job) -> tuple[Stage, ...]:
    """A job's training, with the study's data and the job's seed."""
    return tuple(
        Stage(stage.name, _seeded(stage.experiment, study, job.seed)) for stage in job.method.stages
    )


def is_trained(folder: Path) -> bool:
    """Whether the training in a folder has come to its end."""
    return pretrained.is_model_dir(folder / "last")


def seconds(folder: Path) -> float:
    """Time that the training in a folder took, over all its starts."""
    path = folder / SECONDS
    return json.loads(path.read_text())["training"] if path.exists() else 0.0


def _seeded(experiment: Experiment, study: Study, seed: int) -> Experiment:
    return dataclasses.replace(
        experiment,
        data=dataclasses.replace(experiment.data, root=study.data, seed=seed),
        run=dataclasses.replace(experiment.run, seed=seed),
    )


def _train_in_turn(stages: Iterable[Stage], start: str, folder: Path) -> str:
    """Trains what is not trained yet, each stage from where the one before it ended.

    Returns:
        The last checkpoint; `start` where there are no stages.
    """
    for stage in stages:
        out = folder / stage.name
        if not is_trained(out):
            _log.info("training: %s", out)
            _train(dataclasses.replace(stage.experiment, init_from=start), out)
        start = str(out / "last")
    return start


def _train(experiment: Experiment, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    run = dataclasses.replace(experiment.run, report=False)  # The study makes its own.
    with _timed(folder), _programs_dropped():
        loop.train(dataclasses.replace(experiment, run=run), folder)


@contextlib.contextmanager
def _timed(folder: Path) -> Iterator[None]:
    """Adds the time within to what the folder's training took before it was stopped."""
    start, before = time.perf_counter(), seconds(folder)
    try:
        yield
    finally:
        total = before + time.perf_counter() - start
        write_whole(folder / SECONDS, json.dumps({"training": total}).encode())


@contextlib.contextmanager
def _programs_dropped() -> Iterator[None]:
    """Drops all compiled programs of the process at the end: the next model has others.

    Every one stays mapped, and a study of many models would come to more than Linux allows.
    """
    try:
        yield
    finally:
        jax.clear_caches()
        gc.collect()


def _test(
    study: Study, model: Pretrained, path: str, root: str, trial: Trial, out: Path, title: str
) -> None:
    samples = [s for split in trial.splits for s in index.load_index(root, split)]
    samples = index.of_datasets(samples, trial.datasets)
    config = EvalConfig(protocols=study.protocols, oracle=True, adapters=trial.adapters)
    origin = {"checkpoint": path, "data": root, "split": "+".join(trial.splits)}
    tested = testing.test_and_report(model, root, samples, out, config, title, origin)
    print(tested.table)
    for problem in tested.problems:
        _log.warning("left out: %s", problem)
