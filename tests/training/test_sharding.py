"""Sharding changes no number: one device or eight, replicated or fsdp."""

import dataclasses
import math

import grain
import jax
import numpy as np
import optax
import pytest
import toy
from jax.sharding import AxisType, Mesh
from small import TINY_TINY_VIT, random_params

from benchmarks import scaling
from samjax import models, prompting
from samjax.models import HeadConfig, PeftConfig
from samjax.models.declare import Declaration
from samjax.training import optim, sharding, step
from samjax.training.checkpoint import BestScore, CheckpointConfig, Checkpoints

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
DECLARED = models.declarations(STEP.task.model)
TINY_VIT = dataclasses.replace(TINY_TINY_VIT, image_size=toy.SIZE, patch_size=4)


@pytest.fixture(scope="module")
def state(params):
    return step.init_state(STEP, params, jax.random.key(3))


@pytest.fixture(scope="module")
def batch():
    return toy.batch(images=8, objects=1)


def train(state, batch, mesh, config, compilations):
    """Losses of two batches, and the state after them; only the first may compile."""
    shardings = sharding.state_shardings(state, DECLARED, mesh, config)
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


@pytest.mark.heavy
@pytest.mark.parametrize(
    "config",
    [pytest.param(sharding.MeshConfig(), id="8"), pytest.param(FSDP, id="4x2 fsdp")],
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


def declaration(shape, cut):
    return Declaration(jax.ShapeDtypeStruct(shape, np.float32), "encoder", 0.0, 1.0, cut)


@pytest.mark.parametrize(
    ("shape", "cut", "spec"),
    [
        ((16, 48), -1, jax.P(None, "model")),
        ((16, 48), 0, jax.P("model")),
        ((48, 16), -1, jax.P(None, "model")),  # However large the other is.
        ((3, 3, 16, 16), -2, jax.P(None, None, "model")),
        ((16, 48), None, jax.P()),
        ((16, 17), -1, jax.P()),  # Though another divides.
        ((255,), 0, jax.P()),
        ((254,), 0, jax.P()),
        ((256,), 0, jax.P("model")),
        ((), None, jax.P()),
    ],
)
def test_the_declared_axis_of_large_parameters_is_cut(shape, cut, spec):
    mesh, declared = sharding.make_mesh(FSDP, 8), {"kernel": declaration(shape, cut)}
    params = {"kernel": declared["kernel"].value}
    assert sharding.state_shardings(params, declared, mesh, FSDP)["kernel"].spec == spec
    plain = sharding.state_shardings(params, declared, mesh, sharding.MeshConfig(model=2))
    assert plain["kernel"].spec == jax.P()


def test_whatever_follows_a_parameter_is_cut_as_it_is():
    """Moments of any optimizer and averages, by their path: all are of one shape here."""
    cuts = {"a/kernel": 0, "b/kernel": 1, "b/a/kernel": None, "kernel": 1}
    specs = {0: jax.P("model"), 1: jax.P(None, "model"), None: jax.P()}
    declared = {name: declaration((32, 32), cut) for name, cut in cuts.items()}
    flat = {name: np.zeros((32, 32), np.float32) for name in declared}
    nested = {
        "a": {"kernel": flat["a/kernel"]},
        "b": {"kernel": flat["b/kernel"], "a": {"kernel": flat["b/a/kernel"]}},
        "kernel": flat["kernel"],
    }
    chain = optax.chain(optax.scale_by_adam(), optax.trace(0.9), optax.ema(0.9))
    factored = optax.scale_by_factored_rms(min_dim_size_to_factor=8)
    for params in (flat, nested):
        state = {
            "params": params,
            "average": [params],
            "optimizer": {"encoder": chain.init(params)},
            "factored": factored.init(params),
            "other": np.zeros((32, 32), np.float32),
        }
        mesh = sharding.make_mesh(FSDP, 8)
        lies = sharding.state_shardings(state, declared, mesh, FSDP)
        factored_lies, other = lies.pop("factored"), lies.pop("other")
        for where in (*jax.tree.leaves(factored_lies), other):  # Other shapes, another path.
            assert where.spec == jax.P()
        adam, trace, average = lies["optimizer"]["encoder"]
        copies = [lies["params"], *lies["average"], adam.mu, adam.nu, trace.trace, average.ema]
        for copy in copies:
            for name, where in models.named_leaves(copy):
                assert where.spec == specs[cuts[name]], name
        assert adam.count.spec == jax.P()


def test_a_checkpoint_restores_under_another_cut(tmp_path):
    """As of the versions in which the shape decided, or with another number of devices."""
    path, mesh = "encoder/kernel", sharding.make_mesh(FSDP, 8)
    kernel = np.arange(32 * 32, dtype=np.float32).reshape(32, 32)
    moments = optax.scale_by_adam().init({path: kernel})
    moments = moments._replace(nu={path: kernel + 0.5})
    params, key = {"encoder": {"kernel": kernel}}, jax.random.key(3)
    saved = step.TrainState(np.ones((), np.int32), params, {"encoder": moments}, key)
    states = []
    for cut in (0, 1):
        lies = sharding.state_shardings(saved, {path: declaration((32, 32), cut)}, mesh, FSDP)
        states.append(sharding.place_state(saved, lies))
    before, after = states
    blank = jax.tree.map(jax.numpy.zeros_like, after.params)
    checkpoints = Checkpoints(tmp_path, CheckpointConfig())
    batches = iter(grain.MapDataset.range(8).to_iter_dataset())
    checkpoints.save(before, batches, BestScore(), {})
    restored, _ = checkpoints.restore(dataclasses.replace(after, params=blank), batches)
    checkpoints.close()
    copies = (restored.params["encoder"]["kernel"], restored.optimizer["encoder"].nu[path])
    for copy, expected in zip(copies, (kernel, kernel + 0.5), strict=True):
        assert copy.sharding.spec == jax.P(None, "model")
        np.testing.assert_array_equal(copy, expected)


@pytest.mark.heavy
@pytest.mark.parametrize("model", [toy.MODEL, TINY_VIT], ids=["vit", "tiny_vit"])
def test_bytes_on_each_device(model):
    """Of parameters and moments, with every parameter of 64 elements or more cut into eight."""
    config = sharding.MeshConfig(model=8, rules="fsdp", min_weight_size=64)
    params = jax.tree.map(np.asarray, random_params(model))
    key = jax.random.key(0)
    state = step.init_state(with_model(model), params, key)
    mesh = sharding.make_mesh(config, 8)
    declared = models.declarations(model)
    placed = sharding.place_state(state, sharding.state_shardings(state, declared, mesh, config))
    held = dict.fromkeys(jax.devices(), 0)
    leaves = jax.tree.leaves((placed.params, placed.optimizer))
    for leaf in leaves:
        for shard in leaf.addressable_shards:
            held[shard.device] += shard.data.nbytes
    whole = sum(leaf.nbytes for leaf in leaves)
    (each,) = set(held.values())
    assert whole / 8 <= each < whole / 3


def assert_only_tables_are_whole(part, lies, devices):
    """Each device holds little more than its share; of what is large, all but tables is cut."""
    pairs = list(zip(jax.tree.leaves(part), jax.tree.leaves(lies), strict=True))
    total = sum(leaf.size for leaf, _ in pairs)
    held = sum(math.prod(where.shard_shape(leaf.shape)) for leaf, where in pairs)
    assert total / devices < held < 1.05 * total / devices
    whole = [leaf.size for leaf, where in pairs if where.is_fully_replicated]
    assert (
        sum(size for size in whole if size >= sharding.MeshConfig().min_weight_size) < total / 1e3
    )


@pytest.mark.heavy
@pytest.mark.parametrize("devices", [2, 4, 8])
@pytest.mark.parametrize("encoder", ["vit", "tiny_vit"])
def test_real_networks_are_cut(encoder, devices):
    config, model = sharding.MeshConfig(devices, "fsdp"), models.SamConfig(encoder=encoder)
    state, declared = scaling.abstract_state(with_model(model)), models.declarations(model)
    lies = sharding.state_shardings(state, declared, sharding.make_mesh(config, 8), config)
    assert_only_tables_are_whole(state.params, lies.params, devices)
    assert_only_tables_are_whole(state.optimizer, lies.optimizer, devices)


@pytest.mark.heavy
@pytest.mark.parametrize("kind", ["masks", "semantic", "autosam", "cnn", "linear"])
def test_real_heads_are_cut(kind):
    """With a large image and without adapters."""
    head = HeadConfig(kind=kind, classes=0 if kind == "masks" else 20)
    declared = models.declarations(
        models.SamConfig(image_size=1024, peft=PeftConfig(kind="none"), head=head)
    )
    params = {name: each.value for name, each in declared.items()}
    for devices in (2, 4, 8):
        config = sharding.MeshConfig(devices, "fsdp")
        lies = sharding.state_shardings(params, declared, sharding.make_mesh(config, 8), config)
        assert_only_tables_are_whole(params, lies, devices)


def test_the_overview_names_replicated_parameters():
    mesh, f32 = sharding.make_mesh(FSDP, 8), np.float32
    params = {
        "large": {"kernel": np.zeros((500, 1000), f32)},
        "odd": {"kernel": np.zeros((501, 999), f32), "bias": np.zeros(4, f32)},
    }
    declared = {name: declaration(leaf.shape, -1) for name, leaf in models.named_leaves(params)}
    lies = sharding.state_shardings(params, declared, mesh, FSDP)
    assert sharding.overview(params, lies) == (
        "each device holds 3.00 MB of the 4.00 MB of parameters; replicated: 2 of 3 parameters, "
        "2.00 MB, the largest: odd/kernel (2.00 MB), odd/bias (0.00 MB)"
    )
    assert sharding.overview({"large": params["large"]}, {"large": lies["large"]}).endswith(
        "1.00 MB of the 2.00 MB of parameters; replicated: 0 of 1 parameters, 0.00 MB"
    )


def test_place_and_gather_change_nothing(state):
    mesh = sharding.make_mesh(FSDP, 8)
    placed = sharding.place_state(state, sharding.state_shardings(state, DECLARED, mesh, FSDP))
    jax.tree.map(np.testing.assert_array_equal, sharding.gather(placed.params), state.params)
    assert jax.random.key_data(placed.key).tolist() == jax.random.key_data(state.key).tolist()


def test_what_does_not_divide_is_named(state):
    with pytest.raises(ValueError, match=r"mesh.model: expected a divisor of 8 .*not 3"):
        sharding.make_mesh(sharding.MeshConfig(model=3), 8)
    message = r"data.batch_size: expected a multiple of the 8 devices, found 12"
    with pytest.raises(ValueError, match=message):
        sharding.make_mesh(sharding.MeshConfig(), 12)
