"""Calculated operations, compared with the products of the traced programs."""

import dataclasses
import functools
import math

import jax
import jax.extend
import jax.numpy as jnp
import pytest
from einops import rearrange
from jax.interpreters import partial_eval
from small import TINY, shapes

from benchmarks import flops
from samjax import losses, models, prompting, types
from samjax.models import PeftConfig, image_encoder
from samjax.tasks import InteractiveTask, TrainableConfig
from samjax.tasks.interactive import Batch
from samjax.training import optim, step

pytestmark = pytest.mark.heavy

# A grid of 8 in windows of 5 and 3; an odd grid in adapters, and windows larger than the grid.
RAGGED = dataclasses.replace(TINY, window_size=5, depth=3)
ODD = dataclasses.replace(RAGGED, image_size=56, window_size=9, global_attn_indexes=())
NETWORKS = {
    "ragged": RAGGED,
    "whole": TINY,
    "odd": ODD,
    "plain": dataclasses.replace(RAGGED, peft=PeftConfig("none")),
}
# In these losses, no product occurs twice.
REFERENCE = losses.LossConfig(selection="true_iou", iou_supervision="selected")


def products(jaxpr) -> int:
    """Counts the operations of all `dot_general` of a jaxpr, those in loops for each iteration."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            result = equation.outvars[0].aval.shape
            total += 2 * math.prod(result) * math.prod(shape[axis] for axis in contracted)
        times = equation.params["length"] if equation.primitive.name == "scan" else 1
        total += times * sum(
            products(inner) for inner in jax.extend.core.jaxprs_in_params(equation.params)
        )
    return total


def traced(function, *args) -> int:
    """Counts the operations of a function's products, without unused results."""
    jaxpr = jax.make_jaxpr(function)(*args).jaxpr
    jaxpr, _ = partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))
    return products(jaxpr)


def images(config, count):
    return jax.ShapeDtypeStruct((count, config.image_size, config.image_size, 3), jnp.float32)


@pytest.mark.parametrize("config", NETWORKS.values(), ids=NETWORKS)
def test_encoder(config):
    encode = functools.partial(models.encode_image, config)
    assert flops.encoder(config, 3) == traced(encode, shapes(config), images(config, 3))


def literal_attention(x, qkv, tables, proj, heads):
    """Computes padding, projections and scores with relative positions as published."""
    size, depth = tables.shape[1], tables.shape[3]
    pad = -x.shape[1] % size
    x = jnp.pad(x, ((0, 0), (0, pad), (0, pad), (0, 0)))
    windows = rearrange(x, "b (y h) (x w) c -> (b y x) (h w) c", h=size, w=size)
    q, k, v = rearrange(
        windows @ qkv, "n t (three a d) -> three n a t d", three=3, a=heads, d=depth
    )
    grid = rearrange(q, "n a (h w) d -> n a h w d", h=size)
    by_row = jnp.einsum("nahwd,hkd->nahwk", grid, tables[0])[..., :, None]
    by_column = jnp.einsum("nahwd,wkd->nahwk", grid, tables[1])[..., None, :]
    relative = (by_row + by_column).reshape(*q.shape[:3], -1)
    weights = jax.nn.softmax(jnp.einsum("natd,naud->natu", q, k) + relative)
    out = jnp.einsum("natu,naud->natd", weights, v)
    return rearrange(out, "n a t d -> n t (a d)") @ proj


@pytest.mark.parametrize("config", NETWORKS.values(), ids=NETWORKS)
def test_a_literal_port_differs_in_its_attention_alone(config):
    side, width, heads = config.grid_size, config.embed_dim, config.num_heads
    x = jnp.zeros((3, side, side, width))
    difference = 0
    for index in range(config.depth):
        size = config.attention_size(index)
        tables = jnp.zeros((2, size, size, width // heads))
        qkv, proj = jnp.zeros((width, 3 * width)), jnp.zeros((width, width))
        literal = functools.partial(literal_attention, heads=heads)
        difference += traced(literal, x, qkv, tables, proj)
        ours, padding = image_encoder.VitAttention(heads, size, jnp.float32), jnp.zeros(width)
        inputs = x, padding[None, None, None]
        difference -= traced(
            ours.apply, jax.eval_shape(ours.init, jax.random.key(0), *inputs), *inputs
        )
    assert flops.padded_encoder(config, 3) == flops.encoder(config, 3) + difference


@pytest.mark.parametrize("multimask", [True, False])
def test_decoder(multimask):
    predict = functools.partial(models.predict_masks, RAGGED, multimask=multimask)
    side = RAGGED.grid_size
    embedding = jax.ShapeDtypeStruct((2, side, side, RAGGED.prompt_dim), jnp.float32)
    prompts = types.no_prompts(2, 3, 7, RAGGED.mask_size)
    counted = traced(predict, shapes(RAGGED), embedding, prompts)
    assert flops.prepare(RAGGED, 2) + flops.decoder(RAGGED, 6, 7 + 3, multimask) == counted


def step_config(model, loss=REFERENCE, **trainable):
    task = InteractiveTask(
        model=model,
        mask_prompt="logits",
        prompting=prompting.PromptingConfig(iterations=4, point_counts=(1, 2)),
        loss=loss,
        trainable=TrainableConfig(**trainable),
    )
    return step.StepConfig(task, optim.OptimConfig(), total_steps=10, steps_per_epoch=10)


def traced_step(config, count, objects) -> int:
    task = config.task
    params = shapes(task.model)
    key = jax.eval_shape(lambda: jax.random.key(0))
    state = jax.eval_shape(functools.partial(step.init_state, config), params, key)
    side = task.model.image_size
    batch = Batch(
        images(task.model, count),
        jax.ShapeDtypeStruct((count, objects, side, side), jnp.uint8),
        jax.ShapeDtypeStruct((count, objects, 4), jnp.float32),
        jax.ShapeDtypeStruct((count,), jnp.uint32),
    )
    return traced(functools.partial(step.train_step, config), state, batch)


@pytest.mark.parametrize(
    ("model", "trainable"),
    [
        (RAGGED, {}),
        (ODD, {"prompt_encoder": "first", "multimask": False}),
        (RAGGED, {"encoder": "full"}),
        (NETWORKS["plain"], {"encoder": "full", "prompt_encoder": "frozen"}),
        (RAGGED, {"encoder": "frozen", "prompt_encoder": "frozen"}),
    ],
    ids=["adapters", "first", "full", "full plain", "frozen"],
)
def test_train_step(model, trainable):
    config = step_config(model, **trainable)
    assert flops.train_step(config.task, 2, 3) == traced_step(config, 2, 3)


def test_candidates_are_upsampled_once():
    config = step_config(RAGGED, losses.LossConfig())
    assert traced_step(config, 2, 3) == flops.train_step(config.task, 2, 3)
