"""Sharding changes no number: one device or eight, replicated or fsdp."""

import dataclasses
import math

import jax
import numpy as np
import pytest
import toy
from jax.sharding import AxisType, Mesh
from small import TINY_TINY_VIT, random_params

from benchmarks import scaling
from samjax import models, prompting
from samjax.training import optim, sharding, step

STEP = dataclasses.replace(
    toy.variant(
        prompting=prompting.PromptingConfig(iterations=2, point_counts=(1,), mask_only=False)
    ),
    # Adam with the usual epsilon would turn rounding noise into steps of full length.
    optim=optim.OptimConfig(learning_rate=2e-3, schedule="constant", epsilon=1e-3),
)


def with_model(model):
    return dataclasses.replace(STEP, task=dataclasses.replace(STEP.task, model=model))


FSDP = sharding.MeshConfig(model=2, rules="fsdp", min_weight_size=256)
TINY_VIT = dataclasses.replace(TINY_TINY_VIT, image_size=toy.SIZE, patch_size=4)
HEAVY = pytest.mark.heavy


@pytest.fixture(scope="module")
def state(params):
    return step.init_state(STEP, params, jax.random.key(3))


@pytest.fixture(scope="module")
def batch():
    return toy.batch(images=8, objects=1)


def train(state, batch, mesh, config, compilations):
    """Losses of two batches, and the state after them; only the first may compile."""
    shardings = sharding.state_shardings(state, mesh, config)
    out = (shardings, None)
    compiled = jax.jit(step.train_step, static_argnums=0, out_shardings=out)
    placed = sharding.place_state(state, shardings)
    losses = []
    for number in range(2):
        compilations.clear()
        placed, metrics = compiled(STEP, placed, sharding.place_batch(batch, mesh))
        losses.append(np.asarray(metrics.loss))
        assert not (number and compilations)
    return np.stack(losses), placed


@pytest.fixture(scope="module")
def alone(state, batch, compilations):
    mesh = Mesh(np.array(jax.devices()[:1]).reshape(1, 1), ("data", "model"))
    return train(state, batch, mesh, sharding.MeshConfig(), compilations)


@pytest.mark.parametrize(
    "config",
    [pytest.param(sharding.MeshConfig(), id="8"), pytest.param(FSDP, id="4x2 fsdp", marks=HEAVY)],
)
def test_eight_devices_compute_what_one_does(state, batch, alone, compilations, config):
    mesh = sharding.make_mesh(config, 8)
    assert mesh.shape == {"data": 8 // config.model, "model": config.model}
    assert set(mesh.axis_types) == {AxisType.Auto}
    losses, after = train(state, batch, mesh, config, compilations)
    np.testing.assert_allclose(losses, alone[0], rtol=1e-5)
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)  # noqa: E731
    jax.tree.map(close, jax.device_get(after.params), jax.device_get(alone[1].params))
    if config.rules == "fsdp":
        assert_cut(after)


def assert_cut(state):
    """A large matrix and both of its moments lie in halves on the devices; others do not."""
    path = "image_encoder/blocks_0/adapter/spatial_0/kernel"
    moments = state.optimizer["adapter"]
    kernel = state.params["image_encoder"]["blocks_0"]["adapter"]["spatial_0"]["kernel"]
    for array in (kernel, moments.mu[path], moments.nu[path]):
        shards = {shard.data.shape for shard in array.addressable_shards}
        assert shards == {(3, 3, 16, 8)}
    decoder = state.optimizer["decoder"].mu["mask_decoder/transformer/layers_0/mlp/lin1/kernel"]
    assert decoder.addressable_shards[0].data.shape == (32, 16)
    assert state.params["image_encoder"]["blocks_0"]["norm1"]["scale"].sharding.is_fully_replicated


@pytest.mark.parametrize(
    ("shape", "spec"),
    [
        ((16, 48), jax.P(None, "model")),
        ((48, 16), jax.P("model")),
        ((3, 3, 16, 16), jax.P(None, None, None, "model")),  # Of equals the last.
        ((17, 16), jax.P(None, "model")),  # The larger does not divide.
        ((17, 17), jax.P()),
        ((255,), jax.P()),
        ((256,), jax.P("model")),
        ((), jax.P()),
    ],
)
def test_size_and_shape_decide(shape, spec):
    mesh, leaf = sharding.make_mesh(FSDP, 8), jax.ShapeDtypeStruct(shape, np.float32)
    assert sharding.state_shardings(leaf, mesh, FSDP).spec == spec
    assert sharding.state_shardings(leaf, mesh, sharding.MeshConfig(model=2)).spec == jax.P()


@pytest.mark.parametrize("model", [toy.MODEL, TINY_VIT], ids=["vit", "tiny_vit"])
def test_bytes_on_each_device(model):
    """Of parameters and moments, with every parameter of 64 elements or more cut into eight."""
    config = sharding.MeshConfig(model=8, rules="fsdp", min_weight_size=64)
    params = jax.tree.map(np.asarray, random_params(model))
    key = jax.random.key(0)
    state = step.init_state(with_model(model), params, key)
    mesh = sharding.make_mesh(config, 8)
    placed = sharding.place_state(state, sharding.state_shardings(state, mesh, config))
    held = dict.fromkeys(jax.devices(), 0)
    leaves = jax.tree.leaves((placed.params, placed.optimizer))
    for leaf in leaves:
        for shard in leaf.addressable_shards:
            held[shard.device] += shard.data.nbytes
    whole = sum(leaf.nbytes for leaf in leaves)
    (each,) = set(held.values())
    assert whole / 8 <= each < whole / 3


@pytest.mark.parametrize("encoder", ["vit", "tiny_vit"])
def test_real_networks_are_cut_into_eighths(encoder):
    """By their shapes: nothing but biases, norms and small tables is held eight times."""
    config = sharding.MeshConfig(model=8, rules="fsdp")
    state = scaling.abstract_state(with_model(models.SamConfig(encoder=encoder)))
    shardings = sharding.state_shardings(state, sharding.make_mesh(config, 8), config)
    for part in ("params", "optimizer"):
        leaves = jax.tree.leaves(getattr(state, part))
        lies = jax.tree.leaves(getattr(shardings, part))
        whole = sum(leaf.size for leaf in leaves)
        pairs = zip(leaves, lies, strict=True)
        held = sum(math.prod(where.shard_shape(leaf.shape)) for leaf, where in pairs)
        assert whole / 8 < held < 1.05 * whole / 8, part


def test_the_overview_names_replicated_parameters():
    mesh, f32 = sharding.make_mesh(FSDP, 8), np.float32
    params = {
        "large": {"kernel": np.zeros((500, 1000), f32)},
        "odd": {"kernel": np.zeros((501, 999), f32), "bias": np.zeros(4, f32)},
    }
    lies = sharding.state_shardings(params, mesh, FSDP)
    assert sharding.overview(params, lies) == (
        "each device holds 3.00 MB of the 4.00 MB of parameters; replicated: 2 of 3 parameters, "
        "2.00 MB, the largest: odd/kernel (2.00 MB), odd/bias (0.00 MB)"
    )
    assert sharding.overview({"large": params["large"]}, {"large": lies["large"]}).endswith(
        "1.00 MB of the 2.00 MB of parameters; replicated: 0 of 1 parameters, 0.00 MB"
    )


def test_place_and_gather_change_nothing(state):
    mesh = sharding.make_mesh(FSDP, 8)
    placed = sharding.place_state(state, sharding.state_shardings(state, mesh, FSDP))
    jax.tree.map(np.testing.assert_array_equal, sharding.gather(placed.params), state.params)
    assert jax.random.key_data(placed.key).tolist() == jax.random.key_data(state.key).tolist()


def test_what_does_not_divide_is_named(state):
    with pytest.raises(ValueError, match=r"mesh.model: expected a divisor of 8 .*not 3"):
        sharding.make_mesh(sharding.MeshConfig(model=3), 8)
    message = r"data.batch_size: expected a multiple of the 8 devices, found 12"
    with pytest.raises(ValueError, match=message):
        sharding.make_mesh(sharding.MeshConfig(), 12)
