"""Training step: one update by the task's first loss, then a scan of its later ones, if any.

All updates of a batch are one compiled function.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar, no_type_check

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from samjax.models import groups
from samjax.tasks import IterativeTask, LossOutput, Task
from samjax.training import optim
from samjax.types import Params

TaskT = TypeVar("TaskT", bound=Task)


@dataclasses.dataclass(frozen=True)
class StepConfig(Generic[TaskT]):
    """Static description of the training step; hashable, a static argument of jit.

    Attributes:
        task: Losses of a batch, and the groups that they train.
        optim: Optimizer and learning rate.
        total_steps: Batches in the whole run.
        steps_per_epoch: Batches in an epoch.
    """

    task: TaskT
    optim: optim.OptimConfig
    total_steps: int
    steps_per_epoch: int

    def learning_rate(self, step: jax.Array | int) -> jax.Array:
        """Returns the learning rate of the batch that follows `step` batches."""
        schedule = optim.learning_rate(self.optim, self.total_steps, self.steps_per_epoch)
        return jnp.asarray(schedule(step))


@no_type_check  # JAX fills it with shapes and shardings, too.
@struct.dataclass
class TrainState:
    """State of a training run.

    Attributes:
        step: Batches done.
        params: Nested parameters.
        optimizer: Optimizer state of each trainable group.
        key: Root of all randomness; batch `n` uses `fold_in(key, n)`.
    """

    step: Int[Array, ""]
    params: Params
    optimizer: optim.OptimizerStates
    key: PRNGKeyArray


@no_type_check
@struct.dataclass
class Metrics:
    """Training metrics of a batch, an entry per update; or of one update, without the axis.

    Attributes:
        loss: Total loss.
        finite: Whether the loss, and every parameter after the update, is a finite number.
        terms: Loss terms and scores of the task, by name.
    """

    loss: Float[Array, "*n"]
    finite: Bool[Array, "*n"]
    terms: dict[str, Float[Array, "*n"]]


@struct.dataclass
class ParamGroups:
    """Parameter groups, and the optimizer states of the trainable ones."""

    params: groups.Groups
    optimizer: optim.OptimizerStates

    def pick(self, names: Iterable[str], without: str) -> "ParamGroups":
        """Selects trainable groups by name, without the paths of a regular expression."""
        params = groups.pick(self.params, names, without)
        return ParamGroups(params, {name: self.optimizer[name] for name in params})

    def updated(self, part: "ParamGroups") -> "ParamGroups":
        """Returns a copy with the parameters and optimizer states of `part`."""
        params = groups.override(self.params, part.params)
        return ParamGroups(params, {**self.optimizer, **part.optimizer})


def init_state(config: StepConfig, params: Params, key: PRNGKeyArray) -> TrainState:
    """Returns the state at step 0; sharded parameters give sharded moments."""
    task = config.task
    trainable = groups.pick(groups.split(task.model, params), task.first_groups, task.frozen)
    optimizer = optim.init(config.optim, trainable)
    return TrainState(jnp.zeros((), jnp.int32), params, optimizer, jax.random.clone(key))


def train_step(
    config: StepConfig, state: TrainState, batch: Any, rate_factor: jax.Array | None = None
) -> tuple[TrainState, Metrics]:
    """Runs all updates of one batch.

    Args:
        config: Description of the step; static under jit.
        state: State before the batch; may be donated.
        batch: Batch of the task.
        rate_factor: Factor of the learning rate; None for 1.

    Returns:
        State after the batch, and its metrics.
    """
    task, rate = config.task, config.learning_rate(state.step)
    rate = rate if rate_factor is None else rate * rate_factor
    carry = task.begin(jax.random.fold_in(state.key, state.step), batch)
    all_groups = ParamGroups(groups.split(task.model, state.params), state.optimizer)
    first_loss = functools.partial(task.first_loss, batch=batch, carry=carry)
    trainable = all_groups.pick(task.first_groups, task.frozen)
    trained, carry, first = update(config, all_groups.params, trainable, first_loss, rate)
    all_groups = all_groups.updated(trained)
    rows = [jax.tree.map(lambda value: value[None], first)]

    if isinstance(task, IterativeTask) and task.later_updates:
        later_loss = task.later_loss

        def later(loop_carry, iteration):
            trained, carry = loop_carry
            loss = functools.partial(later_loss, batch=batch, carry=carry, iteration=iteration)
            trained, carry, metrics = update(config, all_groups.params, trained, loss, rate)
            return (trained, carry), metrics

        iterations = jnp.arange(1, 1 + task.later_updates)
        # A scan: unrolled is no faster, and takes longer to compile (docs/training.md).
        (trained, _), rest = jax.lax.scan(
            later, (all_groups.pick(task.later_groups, task.frozen), carry), iterations
        )
        all_groups = all_groups.updated(trained)
        rows.append(rest)
    state = dataclasses.replace(
        state,
        step=state.step + 1,
        params=groups.merge(all_groups.params),
        optimizer=all_groups.optimizer,
    )
    return state, jax.tree.map(lambda *values: jnp.concatenate(values), *rows)


def update(
    config: StepConfig,
    fixed: groups.Groups,
    trainable: ParamGroups,
    loss_of: Callable[[Params], tuple[jax.Array, LossOutput]],
    rate: jax.Array,
) -> tuple[ParamGroups, Any, Metrics]:
    """Differentiates a loss with respect to the trainable groups, and updates them.

    Args:
        config: Description of the step.
        fixed: All groups; parameters in `trainable` take precedence.
        trainable: Groups to update.
        loss_of: Loss as a function of nested parameters.
        rate: Learning rate.

    Returns:
        The groups after the update, the carry of the loss, and the metrics of the update.
    """

    def loss_of_groups(params: groups.Groups) -> tuple[jax.Array, LossOutput]:
        return loss_of(groups.merge(groups.override(fixed, params)))

    differentiate = jax.value_and_grad(loss_of_groups, has_aux=True)
    (loss, output), gradients = differentiate(trainable.params)
    updated, states = optim.apply(
        config.optim, trainable.params, trainable.optimizer, gradients, rate, output.active
    )
    finite = jnp.isfinite(loss) & jnp.isfinite(optax.tree.norm(updated))
    metrics = Metrics(loss, finite, output.metrics)
    return ParamGroups(updated, states), output.carry, metrics
