"""Initial values of parameters, as their modules declare them, all drawn at once."""

import math

import jax
import jax.numpy as jnp
from flax import traverse_util
from jaxtyping import PRNGKeyArray

from samjax.models.config import SamConfig
from samjax.models.parameters import declarations
from samjax.types import Params


def init(config: SamConfig, key: PRNGKeyArray) -> Params:
    """Draws fresh parameters: a nested dict with `image_encoder`, `prompt_encoder`, `mask_decoder`.

    Heads that take no prompts have no `prompt_encoder`; head `prompts` has a `prompt_head`, too.
    `jax.eval_shape(functools.partial(init, config), key)` gives every shape at no cost.
    """
    declared = declarations(config)
    drawn = {name: math.prod(each.shape) for name, each in declared.items() if each.std}
    # One draw for all: with one for each parameter, XLA compiles for half a minute.
    noise = jax.random.normal(key, (sum(drawn.values()),), jnp.float32)
    params, used = {}, 0
    for name, each in declared.items():
        params[name] = jnp.full(each.shape, each.mean, jnp.float32)
        if each.std:
            values = noise[used : used + drawn[name]].reshape(each.shape)
            params[name] = each.mean + each.std * values
            used += drawn[name]
    return traverse_util.unflatten_dict(params, sep="/")
