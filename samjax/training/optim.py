"""Optimizer of parameter groups (Adam, AdamW) and learning rate schedules."""

import dataclasses
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from samjax import fields
from samjax.models.groups import Groups

_Decay = Annotated[float, fields.Range(0, 1, below=True)]  # Of a moment; 1 divides by zero.
OptimizerStates = dict[str, optax.OptState]


@dataclasses.dataclass(frozen=True)
class OptimConfig:
    """Optimizer and learning rate.

    Attributes:
        learning_rate: Peak learning rate; paper, code and ours: 1e-4.
        schedule: `steps` (paper: multiplied by `decay` after each of `decay_epochs`; published
            code: off unless asked for, and then after epochs 5 and 10), `cosine` (to zero at the
            end), `poly` (to zero as a power of the time left; SAMed), `plateau` (multiplied by
            `decay` when validation no longer improves; AutoSAM) or `constant`.
        decay_epochs: Schedule `steps`: epochs after which the rate falls; paper: 7 and 10 of 12.
        decay: Schedules `steps` and `plateau`: factor of each fall; AutoSAM: 0.1.
        poly_power: Schedule `poly`: power of the share of time that is left; SAMed: 0.9.
        poly_epochs: Schedule `poly`: epochs until zero, more than the run has if it stops before;
            0 for the length of the run; SAMed: 200, stopped after 160.
        poly_shifted: Schedule `poly`: whether, as in SAMed's code, every update has the rate meant
            for the one before it, and zero comes late by the warm-up.
        plateau_patience: Schedule `plateau`: validations without a better mean Dice that do not
            yet lower the rate; AutoSAM: 10 epochs.
        plateau_threshold: Schedule `plateau`: a Dice is better if it exceeds the best by this
            share of it.
        warmup_steps: Batches over which the rate rises linearly from zero.
        weight_decay: Decoupled weight decay (AdamW); 0 is Adam, as in paper and code.
        decayed: Parameters with weight decay: `matrices`, or `all` that are trained, biases and
            norms included (PyTorch's default; SAMed, MedSAM).
        b1: Decay of Adam's first moment.
        b2: Decay of Adam's second moment.
        epsilon: Epsilon of Adam.
        clip_norm: Largest global norm of an update's gradients; 0 switches clipping off, as in
            the published code.

    Raises:
        ValueError: `schedule` is unknown, or a number is out of range.
    """

    learning_rate: fields.NonNegativeFloat = 1e-4
    schedule: Literal["steps", "cosine", "poly", "plateau", "constant"] = "steps"
    decay_epochs: tuple[fields.PositiveInt, ...] = (7, 10)
    decay: fields.Probability = 0.5
    poly_power: fields.PositiveFloat = 0.9
    poly_epochs: fields.NonNegativeInt = 0
    poly_shifted: bool = False
    plateau_patience: fields.NonNegativeInt = 10
    plateau_threshold: fields.NonNegativeFloat = 1e-4
    warmup_steps: fields.NonNegativeInt = 0
    weight_decay: fields.NonNegativeFloat = 0.0
    decayed: Literal["matrices", "all"] = "matrices"
    b1: _Decay = 0.9
    b2: _Decay = 0.999
    epsilon: fields.PositiveFloat = 1e-8
    clip_norm: fields.NonNegativeFloat = 1.0

    def __post_init__(self) -> None:
        fields.check(self)


def learning_rate(config: OptimConfig, total_steps: int, steps_per_epoch: int) -> optax.Schedule:
    """Returns the learning rate as a function of the number of the batch, from 0.

    All updates of a batch share it: it follows batches, not the count of an optimizer. Schedule
    `plateau` multiplies it by a factor that validation decides, see `samjax.training.plateau`.
    """
    if config.schedule == "poly":
        return _poly(config, config.poly_epochs * steps_per_epoch or total_steps)
    peak, warmup = config.learning_rate, config.warmup_steps
    if config.schedule == "cosine":
        after = optax.cosine_decay_schedule(peak, max(total_steps - warmup, 1))
    elif config.schedule == "steps":
        bounds = {epoch * steps_per_epoch - warmup: config.decay for epoch in config.decay_epochs}
        after = optax.piecewise_constant_schedule(peak, bounds)
    else:
        after = optax.constant_schedule(peak)
    if warmup == 0:
        return after
    rise = optax.linear_schedule(peak / warmup, peak, max(warmup - 1, 1))
    return optax.join_schedules([rise, after], [warmup])


def _poly(config: OptimConfig, length: int) -> optax.Schedule:
    """Returns the rate that is zero `length` batches after the start, or after the warm-up."""
    warmup, shift = config.warmup_steps, int(config.poly_shifted)
    decay = max(length if config.poly_shifted else length - warmup, 1)

    def rate(step: ArrayLike) -> jax.Array:
        step = jnp.maximum(jnp.asarray(step, jnp.float32) - shift, 0)
        left = jnp.clip(1 - (step - warmup) / decay, 0, 1) ** config.poly_power
        return config.learning_rate * jnp.where(step < warmup, (step + 1) / max(warmup, 1), left)

    return rate


def transformation(config: OptimConfig) -> optax.GradientTransformation:
    """Returns the transformation of one group; `apply` multiplies by the learning rate."""
    adam = optax.scale_by_adam(config.b1, config.b2, config.epsilon)
    if config.weight_decay == 0:
        return adam
    mask = _matrices if config.decayed == "matrices" else None
    return optax.chain(adam, optax.add_decayed_weights(config.weight_decay, mask))


def init(config: OptimConfig, groups: Groups) -> OptimizerStates:
    """Returns an initial optimizer state for each group."""
    return {name: transformation(config).init(group) for name, group in groups.items()}


def apply(
    config: OptimConfig,
    groups: Groups,
    states: OptimizerStates,
    gradients: Groups,
    rate: ArrayLike,
    active: dict[str, jax.Array],
) -> tuple[Groups, OptimizerStates]:
    """Updates parameter groups once.

    Args:
        config: Optimizer.
        groups: Groups to update.
        states: Their optimizer states.
        gradients: Their gradients.
        rate: Learning rate.
        active: Traced booleans by group: whether it takes part in this update. A group that does
            not keeps value, moments and count bit for bit; one that is not listed takes part.

    Returns:
        Parameters and optimizer states after the update.
    """
    if config.clip_norm > 0:
        norm = optax.tree.norm(gradients)
        scale = jnp.minimum(1.0, config.clip_norm / jnp.maximum(norm, 1e-16))
        gradients = jax.tree.map(lambda g: g * scale, gradients)
    new_groups, new_states = {}, {}
    for name, group in groups.items():
        updates, state = transformation(config).update(gradients[name], states[name], group)
        new_group = jax.tree.map(lambda p, u: p - rate * u, group, updates)
        if name in active:
            new_group, state = _where(active[name], (new_group, state), (group, states[name]))
        new_groups[name], new_states[name] = new_group, state
    return new_groups, new_states


def _matrices(params):
    return jax.tree.map(lambda p: p.ndim > 1, params)


def _where(condition: jax.Array, yes, no):
    return jax.tree.map(lambda y, n: jnp.where(condition, y, n), yes, no)
