"""Cost estimate of a comparison before it runs: batches, operations, hours."""

import dataclasses
import functools
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from samjax import conversion, models
from samjax.comparison import runner
from samjax.comparison.plan import Comparison, Job, TrainingStage
from samjax.data import index
from samjax.models.config import SamConfig
from samjax.tasks import InteractiveTask, IterativeTask, SemanticTask
from samjax.training import architecture, setup, step
from samjax.training.config import Experiment

# Share of a matrix product's speed that training reaches. This is a guess.
EFFICIENCY = 0.5


def estimate(comparison: Comparison, wanted: Sequence[Job], workdir: Path) -> Iterator[str]:
    """Estimates the cost: a line for each training and its evaluations, then the hours of all.

    Nothing is compiled or trained. The general model's architecture and the index are read.

    Args:
        comparison: The comparison.
        wanted: The jobs to run.
        workdir: The comparison's folder.
    """
    rate = EFFICIENCY * _speed()
    network = conversion.load_or_convert(comparison.general).config if comparison.general else None
    total = 0.0
    rows: list[tuple[str, Sequence[TrainingStage], Path, Job | None]] = []
    if not comparison.general:
        rows.append(("general", comparison.stages, workdir / "general", None))
    for job in wanted:
        name = f"{job.name}, seed {job.seed}"
        is_first = job.seed == comparison.seeds[0]
        stages = job.stages(workdir) or job.method.grid[: None if is_first else 1]
        rows.append((name, runner.seeded_stages(comparison, job, stages), job.folder(workdir), job))
    for name, stages, folder, job in rows:
        begin = start = network if job is None or job.method.from_general else None
        for stage in stages:
            begin = _network(stage.experiment, start if job and job.method.grid else begin)
            done = runner.is_trained(folder / stage.name)
            text, hours = _line(stage.experiment, begin, done, rate)
            yield f"{f'{name}, {stage.name}':<36} {text}"
            total += hours
        if job is None:
            network = begin
        else:
            count, missing = len(job.method.settings), len(job.missing(workdir))
            yield f"{name:<36} {count - missing} of {count} evaluations done"
    rate_text = (
        f"at {rate / 1e9:,.0f} GFLOP/s, {EFFICIENCY:.0%} of a matrix product's on this machine"
    )
    yield f"{len(wanted)} models; about {total:.1f} h of training to do, {rate_text}"


def _line(experiment: Experiment, network: SamConfig, done: bool, rate: float) -> tuple[str, float]:
    """Describes a training in a line, and estimates the hours that are left."""
    samples = index.load_index(experiment.data.root, "train")
    used = index.drop_datasets(samples, experiment.data.leave_out)
    batches, per_epoch = experiment.length(len(used))
    task = experiment.task(network, experiment.preprocessing.mask_prompt)
    later = task.later_updates if isinstance(task, IterativeTask) else 0
    text = f"{batches:,} batches, {batches * (1 + later):,} updates"
    if done:
        return f"{text}, trained", 0.0
    config = experiment.step(task, batches, per_epoch)
    data = experiment.data
    operations = batches * operations_of(config, data.batch_size, data.masks_per_image)
    hours = operations / rate / 3600
    return f"{text}, {operations / 1e15:.2f} PFLOP, about {hours:.1f} h", hours


def _network(experiment: Experiment, begin: SamConfig | None) -> SamConfig:
    """Returns the network of a training that starts from `begin`, or from fresh parameters."""
    wanted = experiment.model
    network = begin and architecture.merge(wanted, begin, "the model it starts from")
    head = wanted.head
    if head.is_semantic:
        root, data = Path(experiment.data.root), experiment.data
        samples = index.drop_datasets(index.load_index(root, "train"), data.leave_out)
        images = setup.TrainingData(root, samples, [], b"")
        head = dataclasses.replace(head, classes=len(setup.find_classes(experiment, images)))
    return dataclasses.replace(network or wanted, head=head)


def _speed(size: int = 2048) -> float:
    """Measures the operations a second of a large matrix product on this machine."""
    x = jnp.ones((size, size), jnp.float32)
    multiply = jax.jit(jnp.matmul)
    jax.block_until_ready(multiply(x, x))
    start_time = time.perf_counter()
    for _ in range(4):
        jax.block_until_ready(multiply(x, x))
    return 4 * 2 * size**3 / (time.perf_counter() - start_time)


@functools.cache  # The seeds of a method share a recipe.
def operations_of(
    config: step.StepConfig[InteractiveTask | SemanticTask], images: int, objects: int
) -> float:
    """Counts the floating-point operations of one batch, all updates, as XLA does.

    Args:
        config: The training step.
        images: Number of images in a batch.
        objects: Number of masks of each image.
    """
    task = config.task

    def flops_of(fixed: step.StepConfig) -> float:
        analysis = lower(fixed, images, objects).cost_analysis()
        assert analysis is not None
        return float(analysis["flops"])

    if isinstance(task, SemanticTask):
        return flops_of(config)

    def with_iterations(count: int) -> step.StepConfig:
        prompting = dataclasses.replace(task.prompting, iterations=count)
        return dataclasses.replace(config, task=dataclasses.replace(task, prompting=prompting))

    # XLA counts a loop's body once, however often it runs.
    once = flops_of(with_iterations(1))
    later = flops_of(with_iterations(2)) - once if task.prompting.iterations > 1 else 0.0
    return once + (task.prompting.iterations - 1) * later


def lower(
    config: step.StepConfig[InteractiveTask | SemanticTask], images: int, objects: int
) -> jax.stages.Lowered:
    """Lowers a training step for a batch; nothing is computed, and there are no parameters.

    Args:
        config: The training step.
        images: Number of images in a batch.
        objects: Number of masks of each image.
    """
    task = config.task
    size = task.model.image_size

    def shape(*dimensions: int, dtype: DTypeLike = jnp.float32) -> Any:
        return jax.ShapeDtypeStruct(dimensions, dtype)

    arrays = {"image": shape(images, size, size, 3), "seed": shape(images, dtype=jnp.uint32)}
    if isinstance(task, SemanticTask):
        arrays["labels"] = shape(images, size, size, dtype=jnp.uint8)
    else:
        arrays["masks"] = shape(images, objects, size, size, dtype=jnp.uint8)
        arrays["boxes"] = shape(images, objects, 4)
    key = jax.eval_shape(jax.random.key, 0)
    params = jax.eval_shape(functools.partial(models.init, task.model), key)
    state = jax.eval_shape(functools.partial(step.init_state, config), params, key)
    compiled = jax.jit(step.train_step, static_argnums=0, donate_argnums=1)
    return compiled.lower(config, state, task.batch(arrays))
