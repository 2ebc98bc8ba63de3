"""Training loop: data, logs, validation and checkpoints.

Their order matters: the checkpoint of step n holds state, position in the data and best validation
score as they are after n batches, so that a run is resumed bit for bit.
"""

import contextlib
import dataclasses
import logging
import time
from pathlib import Path

import jax
import ml_collections
import numpy as np
from tqdm import tqdm

from samjax import lock, models, signals
from samjax.data import index, split_table
from samjax.data.pipeline import training_iterator
from samjax.evaluation.run import evaluate_and_report
from samjax.models import directory, groups
from samjax.models.directory import Model
from samjax.tasks import IterativeTask
from samjax.training import distributed, resume, setup, sharding, step, summary, validation
from samjax.training.checkpoint import BestScore, Checkpoints
from samjax.training.config import Experiment, from_config_dict
from samjax.training.embedding_cache import embedding_cache
from samjax.training.plateau import Plateau
from samjax.training.prompt_head import standardised, tuned
from samjax.training.writer import Writer

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """Result of a run.

    Attributes:
        steps: Batches done.
        best: Best validation score.
        model_dir: Directory of the model: the best by validation, or the last without validation.
        data_root: The data folder.
    """

    steps: int
    best: BestScore
    model_dir: Path
    data_root: Path


def train(
    experiment: Experiment | ml_collections.ConfigDict,
    workdir: str | Path,
    recipe: summary.RecipeFile | None = None,
) -> TrainingResult:
    """Trains a network; resumes the run in `workdir`, if there is one.

    Writes `config.json`, `data.csv`, `metrics.jsonl`, `tensorboard/`, `pictures/`, `checkpoints/`,
    and the model directories `best/` (with validation) and `last/`. A start that fails leaves no
    files.

    Args:
        experiment: All settings, or the ConfigDict of a recipe.
        workdir: Folder of the run; training into the same folder again resumes it.
        recipe: Recipe of the settings, for the summary of the differences.

    Raises:
        ValueError: A setting is invalid, or settings or data differ from those of the run in
            `workdir`; another process uses `workdir`; the checkpoint is damaged.
        DataError: The data cannot be used.
        OSError: `workdir` cannot be written to.
        Interrupted: The run was stopped by a signal; it is saved.
        Diverged: The loss is not finite; the message names the last good checkpoint.
    """
    if isinstance(experiment, ml_collections.ConfigDict):
        experiment = from_config_dict(experiment)
    workdir = Path(workdir)
    experiment.check_validation()
    experiment = dataclasses.replace(experiment, mesh=distributed.initialize(experiment.mesh))
    with resume.locked(workdir):
        with resume.removed_on_error(workdir):
            run = _start(experiment, workdir, recipe.overrides if recipe else ())
        with contextlib.ExitStack() as stack:
            run.close_with(stack)
            if jax.process_index() == 0:
                _log.info(run.describe(recipe))
            run.run()
    model_dir = workdir / ("best" if run.best.best_step else "last")
    return TrainingResult(run.done, run.best, model_dir, run.data.root)


def evaluate(experiment: Experiment, trained: TrainingResult) -> str:
    """Evaluates a trained model on the test split; writes `WORKDIR/report`, returns the table."""
    model = directory.load(trained.model_dir)
    out = trained.model_dir.parent / "report"
    root, name = trained.data_root, trained.model_dir.parent.name
    origin = {"checkpoint": str(trained.model_dir), "data": str(root), "split": "test"}
    samples = index.load_index(root, "test")
    config = validation.settings(experiment.evaluation, model)
    with lock.exclusive(out):
        written = evaluate_and_report(model, root, samples, out, config, name, origin)
    for problem in written.problems:
        _log.warning("left out: %s", problem)
    return written.table


def _start(experiment: Experiment, workdir: Path, overrides: tuple[str, ...]) -> "_Run":
    """Checks and prepares a run; writes its settings once all checks have passed."""
    checkpoints = Checkpoints(workdir, experiment.checkpoint)
    checkpoints.check()
    resume.check_settings(experiment, workdir, checkpoints)
    data = resume.in_order_of_run(setup.prepare_data(experiment, workdir), workdir)
    resume.check_data(data.table, workdir, checkpoints)
    setup.check_length(experiment, data)
    setup.warn_of_leakage(experiment, data)
    classes = setup.find_classes(experiment, data)
    begin = setup.prepare_model(experiment, overrides, classes)
    run = _Run(experiment, workdir, data, begin, checkpoints)
    if jax.process_index() == 0:
        resume.write(experiment, data.table, workdir)
    return run


class _Run:
    """State, data, compiled step and logs of a run."""

    def __init__(
        self,
        experiment: Experiment,
        workdir: Path,
        data: setup.TrainingData,
        begin: Model,
        checkpoints: Checkpoints,
    ) -> None:
        """Builds state, iterator and compiled step; restores the newest checkpoint, if any."""
        config = experiment.data
        self.experiment, self.workdir, self.data = experiment, workdir, data
        self.data_summary = split_table.summarize(data.table)
        self.total, self.per_epoch = experiment.length(len(data.train))
        used = begin.preprocessing
        task = experiment.task(begin.config, used.mask_prompt, used.multimask)
        self.step_config = experiment.step(task, self.total, self.per_epoch)
        used = dataclasses.replace(used, **task.preprocessing_fields)
        self.begin = dataclasses.replace(begin, preprocessing=used, params={})
        self.mesh = sharding.make_mesh(experiment.mesh, config.batch_size)
        config = dataclasses.replace(config, root=str(data.root))
        self.cache = embedding_cache(begin, config, data.train, workdir)
        self.batches = training_iterator(
            data.train,
            config,
            begin.preprocessing,
            begin.config.image_size,
            jax.process_index(),
            jax.process_count(),
            begin.classes,
            self.cache.load if self.cache else None,
        )
        self.checkpoints = checkpoints
        self.best = BestScore()
        self.plateau = Plateau() if experiment.optim.schedule == "plateau" else None
        state = step.init_state(self.step_config, begin.params, jax.random.key(experiment.run.seed))
        declared = models.declarations(task.model)
        shardings = sharding.state_shardings(state, declared, self.mesh, experiment.mesh)
        if experiment.mesh.rules == "fsdp" and jax.process_index() == 0:
            _log.info(sharding.overview(state.params, shardings.params))
        self.state = sharding.place_state(state, shardings)
        self.checkpoints.check_space(self.state)
        if self.checkpoints.latest is not None:
            self.state, self.best = self.checkpoints.restore(self.state, self.batches)
            if self.plateau:
                self.plateau = Plateau(**self.checkpoints.saved("plateau") or {})
        self.done = int(self.state.step)
        self.writer = Writer(workdir, self.done) if jax.process_index() == 0 else None
        self._step = jax.jit(
            step.train_step,
            static_argnums=0,
            donate_argnums=1,
            out_shardings=(shardings, None),
        )
        self._pending: step.Metrics | None = None
        self._window: list[step.Metrics] = []
        self._restart_window()
        self._timer = summary.Timer(self.total, self.done)

    def describe(self, recipe: summary.RecipeFile | None) -> str:
        """Returns a summary of the run, in a few lines."""
        config, data, devices = self.experiment, self.data, jax.devices()
        task = self.step_config.task
        later = task.later_groups if isinstance(task, IterativeTask) else ()
        trainable = task.first_groups, later, task.frozen
        return "\n".join(
            [
                summary.settings(config, recipe),
                summary.data(data.root, data.train, data.validation),
                *summary.labels(self.begin.classes, data.overlaps),
                summary.devices(devices[0].device_kind, len(devices), config.mesh),
                summary.parameters(groups.split(task.model, self.state.params), *trainable),
                summary.length(self.total, self.per_epoch, config.data.batch_size, self.done),
            ]
        )

    def run(self) -> None:
        """Trains until the end, early stopping, a stop request or divergence."""
        if self.done:
            _log.info("resuming %s after step %d of %d", self.workdir, self.done, self.total)
        if self.cache:
            self.cache.fill(self.done, self.total)
            images = [sample.image for sample in self.data.train]
            self.state = standardised(self.state, images, self.cache.load)
        bar = tqdm(desc="training", total=self.total, initial=self.done, unit="batch", disable=None)
        with signals.graceful_stop() as stop, bar:
            while self.done < self.total and not self._has_converged():
                arrays = self.step_config.task.batch(next(self.batches))
                batch = sharding.place_batch(arrays, self.mesh)
                factor = np.float32(self.plateau.factor) if self.plateau else None
                self.state, metrics = self._step(self.step_config, self.state, batch, factor)
                self._log_metrics(bar)  # The batch before: the device is never waited for.
                self._pending = metrics
                self.done += 1
                bar.update()
                self._run_callbacks(bar, sharding.agree(stop()))
                self.checkpoints.write_digests()
        self._log_metrics(bar)
        self._save()
        self._export("last")

    def close_with(self, stack: contextlib.ExitStack) -> None:
        """Registers the closing of logs, checkpoints and data with an exit stack."""
        if self.writer:
            stack.callback(self.writer.close)
        stack.callback(self.checkpoints.close)
        stack.callback(self.batches.close)

    def _run_callbacks(self, bar: tqdm, stop: bool) -> None:
        """Validates, draws, saves; in this order, so that a checkpoint holds the best score."""
        config = self.experiment
        if config.validation.every and self.done % config.validation.every == 0:
            self._log_metrics(bar)
            self._validate()
        if config.log.picture_every and self.done % config.log.picture_every == 0:
            self._draw()
        if stop or self.done % config.checkpoint.every == 0:
            self._log_metrics(bar)
            self._save()
        if stop:
            raise signals.Interrupted(self.done, self.total)

    def _log_metrics(self, bar: tqdm) -> None:
        """Fetches the pending metrics, and logs them; raises `Diverged` if they are not finite."""
        if self._pending is None:
            return
        metrics, self._pending = jax.device_get(self._pending), None
        if not metrics.finite.all():
            raise signals.Diverged(self._divergence(self.done, metrics))
        self._window.append(metrics)
        if (time_left := self._timer.estimate(self.done, time.perf_counter())) and self.writer:
            with tqdm.external_write_mode():  # Not into the bar.
                _log.info(time_left)
        if self.done % self.experiment.log.every == 0:
            row = self._summary(self.done)
            if self.writer:
                self.writer.scalars(self.done, row)
            columns = ("loss", "dice", "images_per_s")
            bar.set_postfix({name: f"{row[name]:.3g}" for name in columns})

    def _summary(self, number: int) -> dict[str, float]:
        """Returns means over the batches since the last row of the logs."""
        images = len(self._window) * self.experiment.data.batch_size
        mean = jax.tree.map(lambda *rows: np.mean(rows, axis=0), *self._window)
        factor = self.plateau.factor if self.plateau else 1.0
        row = {
            "loss": mean.loss.mean(),
            **self.step_config.task.log_row(mean.terms),
            "learning_rate": factor * self.step_config.learning_rate(number - 1),
            "images_per_s": images / (time.perf_counter() - self._window_start),
            "images_per_cpu_s": images / (time.process_time() - self._window_cpu_start),
        }
        self._window = []
        self._restart_window()
        return {name: float(value) for name, value in row.items()}

    def _divergence(self, number: int, metrics: step.Metrics) -> str:
        folder, latest = self.checkpoints.folder, self.checkpoints.latest
        good = "none was saved yet" if latest is None else f"{folder / str(latest)}"
        return (
            f"step {number}: the loss or a parameter is no longer a finite number (losses "
            f"{np.round(metrics.loss, 4).tolist()}); last good checkpoint: {good}. A lower "
            "optim.learning_rate, warm-up or optim.clip_norm usually helps, in a new workdir"
        )

    def _validate(self) -> None:
        if not self.data.validation:
            return
        config, held_out = self.experiment.validation.evaluation, self.data.validation
        self.state = tuned(self.state, self._model(), self.data.root, held_out, config.limit)
        row = validation.scores(self._model(), self.data.root, held_out, config)
        dice = row["validation/dice"]
        if dice > self.best.best_dice:
            self.best = BestScore(dice, self.done, 0)
            self._export("best")
        else:
            self.best = dataclasses.replace(self.best, stale=self.best.stale + 1)
        if self.plateau:
            self.plateau = self.plateau.after(dice, self.experiment.optim)
        if self.writer:
            self.writer.scalars(self.done, row)
        tqdm.write(f"step {self.done}: " + ", ".join(f"{k} {v:.4f}" for k, v in row.items()))
        self._restart_window()

    def _draw(self) -> None:
        model = self._model()
        if self.writer:
            samples = self.data.validation or self.data.train
            config = self.experiment.validation.evaluation
            picture = validation.picture(model, self.data.root, samples, config)
            self.writer.picture(self.done, "predictions", picture)
        self._restart_window()

    def _restart_window(self) -> None:
        """Starts to measure the speed of the batches that follow: seconds, and those of cores."""
        self._window_start, self._window_cpu_start = time.perf_counter(), time.process_time()

    def _has_converged(self) -> bool:
        return 0 < self.experiment.validation.patience <= self.best.stale

    def _model(self) -> Model:
        return dataclasses.replace(self.begin, params=sharding.gather(self.state.params))

    def _export(self, name: str) -> None:
        model = self._model()
        if jax.process_index() == 0:
            directory.save(self.workdir / name, model)

    def _save(self) -> None:
        metadata = {"config": dataclasses.asdict(self.experiment), "data": self.data_summary}
        if self.plateau:
            metadata["plateau"] = dataclasses.asdict(self.plateau)
        self.checkpoints.save(self.state, self.batches, self.best, metadata)
