"""One device or eight, replicated or cut: the same numbers."""

import dataclasses

import jax
import numpy as np
import pytest
import toy
from jax.sharding import AxisType, Mesh

from samjax import prompts
from samjax.training import optim, sharding, step

RECIPE = dataclasses.replace(
    toy.RECIPE,
    session=prompts.SessionConfig(iterations=2, point_counts=(1,), mask_only=False),
    # Adam with the usual epsilon would turn rounding noise into steps of full length.
    optim=optim.OptimConfig(learning_rate=2e-3, schedule="constant", epsilon=1e-3),
)
FSDP = sharding.MeshConfig(model=2, rules="fsdp")
HEAVY = pytest.mark.heavy


@pytest.fixture(scope="module")
def state(params):
    return step.init_state(RECIPE, params, jax.random.key(3))


@pytest.fixture(scope="module")
def batch():
    return toy.batch(images=8, objects=1)


def train(state, batch, mesh, rules, compilations):
    """Losses of two batches, and the state after them; only the first may compile."""
    shardings = sharding.state_shardings(state, mesh, rules)
    out = (shardings, None)
    compiled = jax.jit(step.train_step, static_argnums=0, out_shardings=out)
    placed = sharding.place_state(state, shardings)
    losses = []
    for number in range(2):
        compilations.clear()
        placed, metrics = compiled(RECIPE, placed, sharding.place_batch(batch, mesh))
        losses.append(np.asarray(metrics.loss))
        assert not (number and compilations)
    return np.stack(losses), placed


@pytest.fixture(scope="module")
def alone(state, batch, compilations):
    mesh = Mesh(np.array(jax.devices()[:1]).reshape(1, 1), ("data", "model"))
    return train(state, batch, mesh, "replicated", compilations)


@pytest.mark.parametrize(
    "config",
    [pytest.param(sharding.MeshConfig(), id="8"), pytest.param(FSDP, id="4x2 fsdp", marks=HEAVY)],
)
def test_eight_devices_compute_what_one_does(state, batch, alone, compilations, config):
    mesh = sharding.make_mesh(config, 8)
    assert mesh.shape == {"data": 8 // config.model, "model": config.model}
    assert set(mesh.axis_types) == {AxisType.Auto}
    losses, after = train(state, batch, mesh, config.rules, compilations)
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
    assert state.params["image_encoder"]["pos_embed"].sharding.is_fully_replicated


def test_the_table_of_rules(state):
    mesh = sharding.make_mesh(FSDP, 8)
    found = sharding.state_shardings(state, mesh, "fsdp").params["image_encoder"]["blocks_0"]
    assert found["attn"]["qkv"]["kernel"].spec == jax.P(None, "model")
    assert found["attn"]["qkv"]["bias"].spec == jax.P()
    assert found["norm1"]["scale"].spec == jax.P()
    replicated = sharding.state_shardings(state, mesh, "replicated")
    assert {leaf.spec for leaf in jax.tree.leaves(replicated)} == {jax.P()}


def test_place_and_gather_change_nothing(state):
    mesh = sharding.make_mesh(FSDP, 8)
    placed = sharding.place_state(state, sharding.state_shardings(state, mesh, "fsdp"))
    jax.tree.map(np.testing.assert_array_equal, sharding.gather(placed.params), state.params)
    assert jax.random.key_data(placed.key).tolist() == jax.random.key_data(state.key).tolist()


def test_what_does_not_divide_is_named(state):
    with pytest.raises(ValueError, match=r"mesh.model: expected a divisor of 8 .*not 3"):
        sharding.make_mesh(sharding.MeshConfig(model=3), 8)
    message = r"data.batch_size: expected a multiple of the 8 devices, found 12"
    with pytest.raises(ValueError, match=message):
        sharding.make_mesh(sharding.MeshConfig(), 12)
    mesh = sharding.make_mesh(sharding.MeshConfig(model=8), 8)
    message = r"channel_0/kernel of shape \(16, 4\) does not divide evenly over the 8 devices"
    with pytest.raises(ValueError, match=message):
        sharding.state_shardings(state, mesh, "fsdp")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rules": "zero"}, "mesh.rules: expected one of .*found 'zero'"),
        ({"model": 0}, "mesh.model: expected 1 or more, found 0"),
        ({"process_index": 1}, "mesh.process_index: expected 0 to .*found 1 of 1"),
    ],
)
def test_a_bad_field_is_named(fields, message):
    with pytest.raises(ValueError, match=message):
        sharding.MeshConfig(**fields)
