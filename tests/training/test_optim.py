import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from samjax import fields
from samjax.training import optim
from samjax.training.plateau import Plateau

ADAM = optim.OptimConfig(learning_rate=1e-4)


def rates(config, steps, total=120, per_epoch=10):
    return [float(optim.learning_rate(config, total, per_epoch)(step)) for step in steps]


def test_the_papers_schedule():
    # 12 epochs of 10 batches, halved after epochs 7 and 10.
    found = rates(ADAM, [0, 69, 70, 99, 100, 119])
    np.testing.assert_allclose(found, [1e-4, 1e-4, 5e-5, 5e-5, 2.5e-5, 2.5e-5], rtol=1e-6)


def test_warm_up_delays_nothing():
    config = optim.OptimConfig(learning_rate=1e-4, warmup_steps=4)
    found = rates(config, [0, 1, 2, 3, 4, 69, 70, 100])
    np.testing.assert_allclose(
        found, [2.5e-5, 5e-5, 7.5e-5, 1e-4, 1e-4, 1e-4, 5e-5, 2.5e-5], rtol=1e-6
    )


@pytest.mark.parametrize("warmup", [0, 1, 20])
def test_cosine_ends_at_zero(warmup):
    config = optim.OptimConfig(learning_rate=1.0, schedule="cosine", warmup_steps=warmup)
    middle = warmup + (120 - warmup) // 2
    found = rates(config, [max(warmup - 1, 0), warmup, middle, 120])
    np.testing.assert_allclose(found, [1, 1, 0.5, 0], atol=0.01)
    assert 0 < rates(config, [119])[0] < 0.001
    assert rates(config, [0])[0] > 0  # The first batch is not thrown away.


def test_constant():
    config = optim.OptimConfig(learning_rate=0.3, schedule="constant")
    np.testing.assert_allclose(rates(config, [0, 70, 1000]), [0.3] * 3)


@pytest.mark.parametrize("warmup", [0, 1, 20])
def test_poly_ends_at_zero(warmup):
    config = optim.OptimConfig(learning_rate=1.0, schedule="poly", warmup_steps=warmup)
    middle = warmup + (120 - warmup) // 2
    found = rates(config, [max(warmup - 1, 0), warmup, middle, 120, 500])
    np.testing.assert_allclose(found, [1, 1, 0.5**0.9, 0, 0], atol=0.01)
    assert 0 < rates(config, [119])[0] < 0.02


def test_poly_may_be_longer_than_the_run():
    config = optim.OptimConfig(learning_rate=1.0, schedule="poly", poly_epochs=20, poly_power=2.0)
    np.testing.assert_allclose(rates(config, [0, 50, 120]), [1, 0.75**2, 0.4**2], rtol=1e-6)


def test_poly_as_published(method_fixtures):
    with np.load(method_fixtures / "samed" / "samed.npz") as file:
        updates, theirs = file["schedule/update"], file["schedule/rate"]
    config = optim.OptimConfig(
        learning_rate=5e-3, schedule="poly", poly_shifted=True, poly_epochs=200, warmup_steps=250
    )
    np.testing.assert_allclose(rates(config, updates, 160 * 93, 93), theirs, rtol=1e-6)
    exact = dataclasses.replace(config, poly_shifted=False)
    np.testing.assert_allclose(
        rates(exact, [0, 1, 249], 160 * 93, 93), theirs[[0, 2, 5]], rtol=1e-6
    )


PLATEAU = optim.OptimConfig(schedule="plateau", decay=0.1, plateau_patience=2)


def factors(scores, config=PLATEAU):
    states = [Plateau()]
    for score in scores:
        saved = json.loads(json.dumps(dataclasses.asdict(states[-1])))  # As in a checkpoint.
        states.append(Plateau(**saved).after(score, config))
    return [state.factor for state in states[1:]]


def test_plateau_lowers_the_rate_after_its_patience():
    found = factors([0.0, 0.5, 0.5, 0.4, 0.3, 0.5, 0.5, 0.5, 0.6, 0.6, 0.6, 0.6])
    expected = [1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.01, 0.001]
    np.testing.assert_allclose(found, expected)


def test_plateau_counts_only_relative_gains():
    eager = dataclasses.replace(PLATEAU, plateau_patience=0, plateau_threshold=0.1)
    np.testing.assert_allclose(factors([0.5, 0.54, 0.56], eager), [1, 0.1, 0.1])


def test_plateau_is_that_of_pytorch():
    torch = pytest.importorskip("torch")
    scores = np.round(np.random.default_rng(3).random(60), 2) * np.linspace(0.5, 1, 60)
    optimizer = torch.optim.SGD([torch.zeros(1)], 1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, "max", PLATEAU.decay, PLATEAU.plateau_patience, 1e-4, "rel", eps=0.0
    )
    expected = []
    for score in scores:
        theirs.step(score)
        expected.append(optimizer.param_groups[0]["lr"])
    np.testing.assert_allclose(factors(scores.tolist()), expected)


def test_schedules_are_traceable():
    for schedule in fields.choices(optim.OptimConfig)["schedule"]:
        config = optim.OptimConfig(schedule=schedule, warmup_steps=2)
        rate = jax.jit(optim.learning_rate(config, 120, 10))
        np.testing.assert_allclose(rate(jnp.asarray(70)), rates(config, [70])[0], rtol=1e-6)


def group(seed=0):
    rng = np.random.default_rng(seed)
    return {
        "a": {
            "kernel": jnp.asarray(rng.normal(size=(3, 4))),
            "bias": jnp.asarray(rng.normal(size=4)),
        },
        "b": {"scale": jnp.asarray(rng.normal(size=5))},
    }


def update(config, gradients, rate=0.1, active=None, count=1):
    params = group()
    states = optim.init(config, params)
    for _ in range(count):
        params, states = optim.apply(config, params, states, gradients, rate, active or {})
    return params, states


def test_apply_is_adam():
    config = optim.OptimConfig(clip_norm=0.0, b1=0.8, b2=0.99, epsilon=1e-6)
    gradients = group(1)
    theirs = optax.adam(0.1, 0.8, 0.99, 1e-6)
    params, state = group(), theirs.init(group())
    for _ in range(3):
        updates, state = theirs.update(gradients, state)
        params = optax.apply_updates(params, updates)
    ours, _ = update(config, gradients, count=3)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), ours, params)


def test_weight_decay_is_of_matrices_only():
    plain = update(optim.OptimConfig(weight_decay=0.0), group(1))[0]
    decayed = update(optim.OptimConfig(weight_decay=0.5), group(1))[0]
    np.testing.assert_allclose(
        decayed["a"]["kernel"], plain["a"]["kernel"] - 0.1 * 0.5 * group()["a"]["kernel"], rtol=1e-5
    )
    np.testing.assert_array_equal(decayed["a"]["bias"], plain["a"]["bias"])
    np.testing.assert_array_equal(decayed["b"]["scale"], plain["b"]["scale"])


def test_weight_decay_may_be_of_all():
    plain = update(optim.OptimConfig(weight_decay=0.0), group(1))[0]
    decayed = update(optim.OptimConfig(weight_decay=0.5, decayed="all"), group(1))[0]
    expected = jax.tree.map(lambda p, start: p - 0.1 * 0.5 * start, plain, group())
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), decayed, expected)


@pytest.mark.parametrize("factor", [100.0, 1e-3])
def test_clipping_is_of_the_global_norm(factor):
    gradients = jax.tree.map(lambda g: factor * g, group(1))
    norm = float(optax.tree.norm(gradients))
    _, states = update(optim.OptimConfig(clip_norm=1.0), gradients)
    scale = min(1.0, 1.0 / norm)
    for name in gradients:
        expected = jax.tree.map(lambda g: 0.1 * scale * g, gradients[name])  # (1 - b1) * g
        found = states[name].mu
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), found, expected)


def test_gradients_of_zero_survive_clipping():
    params, _ = update(ADAM, jax.tree.map(jnp.zeros_like, group()))
    jax.tree.map(np.testing.assert_array_equal, params, group())


def test_a_group_may_sit_out():
    config = optim.OptimConfig(weight_decay=0.1)
    first, states = update(config, group(1))
    for takes_part in (False, True):
        active = {"a": jnp.asarray(takes_part)}
        after, new = optim.apply(config, first, states, group(1), 0.1, active)
        same = jax.tree.map(lambda x, y: bool((x == y).all()), (after, new), (first, states))
        assert all(jax.tree.leaves([part["a"] for part in same])) != takes_part
        assert not any(jax.tree.leaves(same[0]["b"]))
