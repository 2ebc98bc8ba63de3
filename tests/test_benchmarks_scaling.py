"""Counts of compiled programs with known contents, and the arithmetic of the projection."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from small import TINY

from benchmarks import flops, hlo, projection, scaling
from samjax import prompting
from samjax.tasks import TrainableConfig
from samjax.training import optim, sharding

pytestmark = pytest.mark.heavy

# Few parameters: their updates take long to compile.
DEFAULT = scaling.default_config(
    dataclasses.replace(TINY, depth=1, global_attn_indexes=(), decoder_depth=1, num_multimask=1)
)
PROMPTING = prompting.PromptingConfig(iterations=3, point_counts=(1,), mask_only=False)
STEP = dataclasses.replace(
    DEFAULT,
    task=dataclasses.replace(DEFAULT.task, prompting=PROMPTING),
    optim=optim.OptimConfig(clip_norm=0.0),
)


def descend(x, w, rounds):
    """Takes gradient steps of least squares, each with two products and a sum over devices."""
    return jax.lax.fori_loop(0, rounds, lambda _, w: w - x.T @ (x @ w), w)


def compiled(function):
    """Returns the text of a program of a sharded `x` (64, 16) and of `w` (16, 32)."""
    mesh = sharding.make_mesh(sharding.MeshConfig(), 8)
    x = jax.device_put(np.ones((64, 16), np.float32), NamedSharding(mesh, PartitionSpec("data")))
    w = jax.device_put(np.ones((16, 32), np.float32), NamedSharding(mesh, PartitionSpec()))
    return jax.jit(function).lower(x, w).compile().as_text()


def test_work_and_communication_of_a_loop():
    counted = hlo.count(compiled(lambda x, w: descend(x, w, 5)))
    assert counted.bytes == {"all-reduce": 5 * 16 * 32 * 4}
    assert counted.looped["all-reduce"] == counted.bytes["all-reduce"]
    assert counted.flops == 5 * 2 * (2 * 8 * 16 * 32)  # Eight of 64 rows on each device.


def test_work_and_communication_outside_of_loops():
    def function(x, w):
        return (x.sum(0), (x @ w).astype(jnp.bfloat16).max(0), x.T @ x)

    counted = hlo.count(compiled(function))
    assert not counted.looped
    # A CPU adds up and compares bfloat16 in float32.
    assert counted.bytes == {"all-reduce": 4 * (16 + 32 + 16 * 16)}
    assert counted.flops == 2 * 8 * 16 * (32 + 16)


def test_one_device_does_not_communicate():
    text = jax.jit(lambda x: x.T @ x).lower(np.ones((64, 16), np.float32)).compile().as_text()
    counted = hlo.count(text)
    assert not counted.bytes
    assert counted.flops == 2 * 64 * 16 * 16


def test_uncountable_programs_are_an_error():
    with pytest.raises(ValueError, match="expected a known number of rounds"):
        hlo.count(compiled(lambda x, w: descend(x, w, w[0, 0].astype(int))))
    text = "ENTRY %main (x: f32[2]) -> f32[2] {\n  %y = f32[2]{0} all-reduce-start(%x)\n}\n"
    with pytest.raises(ValueError, match=r"all-reduce-start: expected .* not split"):
        hlo.count(text)


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ("f32[]", 4),
        ("bf16[3,5]{1,0}", 30),
        ("pred[7]{0}", 7),
        ("(f32[2,3]{1,0}, /*index=1*/u8[4]{0:T(8,128)}, s64[2]{0})", 24 + 4 + 16),
    ],
)
def test_sizes(shape, size):
    assert hlo._bytes(shape) == size


def test_replicated_training_sends_the_gradients():
    """All trained groups in the first update, then those of the later updates, twice."""
    program = scaling.compile_step(STEP, 8, 2, sharding.MeshConfig())
    counted = hlo.count(program.as_text())
    assert counted.bytes.keys() == {"all-reduce"}
    first, later = scaling.gradient_bytes(STEP)
    sent = counted.once["all-reduce"], counted.looped["all-reduce"]
    np.testing.assert_allclose(sent, (first, 2 * later), rtol=0.1)
    np.testing.assert_allclose(counted.flops, flops.train_step(STEP.task, 1, 2), rtol=0.05)


def test_later_updates_send_their_trained_groups():
    """The decoder, and by default most of the prompt encoder."""
    first, later = scaling.gradient_bytes(STEP)
    trainable = TrainableConfig(prompt_encoder="first")
    fewer = dataclasses.replace(STEP.task, trainable=trainable)
    same, decoder = scaling.gradient_bytes(dataclasses.replace(STEP, task=fewer))
    params = scaling.abstract_state(STEP).params
    assert decoder == 4 * sum(leaf.size for leaf in jax.tree.leaves(params["mask_decoder"]))
    assert same == first
    assert decoder < later < first


def test_sharded_parameters_are_divided():
    axes = (2, 4, 8)
    cuts = [sharding.MeshConfig(axis, "fsdp") for axis in axes]
    whole, *rows = scaling.measure_memory("small", [sharding.MeshConfig(), *cuts])
    leaves = jax.tree.leaves(
        scaling.abstract_state(scaling.default_config(scaling.MODELS["small"])).params
    )
    assert whole["parameters"] == 4 * sum(leaf.size for leaf in leaves)
    for name in ("parameters", "optimizer"):
        # The same parameters are cut along any axis.
        gone = {
            (whole[name] - row[name]) * axis // (axis - 1)
            for axis, row in zip(axes, rows, strict=True)
        }
        assert len(gone) == 1
        assert 0.8 * whole[name] < gone.pop() < whole[name]


ASSUMED = projection.Assumptions(
    gpus=4,
    images=10,
    objects=3,
    dataset=1000,
    epochs=2,
    chip_tflops=1.0,
    share=0.5,
    link_gbytes=3.0,
)


def test_projection():
    projected = projection.project(STEP.task, ASSUMED, first_bytes=2_000_000, later_bytes=1_000_000)
    work = flops.train_step(STEP.task, 10, 3)
    assert projected["flops_per_image"] == pytest.approx(work / 10)
    assert projected["compute_s"] == pytest.approx(work / 0.5e12)
    # A ring of four sends 2 x 3/4 of every byte.
    assert projected["first_communication_s"] == pytest.approx(1e-3)
    assert projected["communication_s"] == pytest.approx(1e-3 + 2 * 0.5e-3)
    assert projected["steps_per_epoch"] == 25
    assert projected["hours_per_epoch"] == pytest.approx(25 * projected["compute_s"] / 3600)
    assert projected["hours"] == pytest.approx(2 * projected["hours_per_epoch"])
    slower = 1 / projected["efficiency_if_nothing_hides"]
    assert projected["hours_if_nothing_hides"] == pytest.approx(slower * projected["hours"])
    assert slower == pytest.approx(1 + projected["communication_s"] / projected["compute_s"])
    assert projected["loader_images_per_s"] == pytest.approx(40 / projected["compute_s"])
    assert projected["loader_bytes_per_s"] == pytest.approx(
        projected["loader_images_per_s"] * 64 * 64 * (12 + 3)
    )


@pytest.mark.parametrize(("times", "first", "later"), [(0.99, True, True), (1.01, False, False)])
def test_communication_is_hidden_by_a_longer_backward_pass(times, first, later):
    projected = projection.project(STEP.task, ASSUMED, 0, 0)
    a_byte = projection.project(STEP.task, ASSUMED, 1, 1)["first_communication_s"]
    sizes = [round(times * projected[f"{name}_backward_s"] / a_byte) for name in ("first", "later")]
    projected = projection.project(STEP.task, ASSUMED, *sizes)
    assert (projected["first_can_hide"], projected["later_can_hide"]) == (first, later)


def test_one_gpu_sends_nothing():
    projected = projection.project(STEP.task, dataclasses.replace(ASSUMED, gpus=1), 10**9, 10**9)
    assert projected["communication_s"] == 0
    assert projected["efficiency_if_nothing_hides"] == 1
