import dataclasses
import itertools
import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samjax import prompting, types

SIZE, MASK = 16, 8
B, K = 2, 3
# Most tests share one configuration, so that little is compiled.
PROMPTING = prompting.PromptingConfig(iterations=6, point_counts=(1, 3))
plans = jax.jit(
    lambda keys, config: jax.vmap(lambda key: prompting.plan(key, config))(keys), static_argnums=1
)
first_prompts = jax.jit(prompting.first_prompts, static_argnums=(4, 5))
next_prompts = jax.jit(prompting.next_prompts, static_argnums=7)


def many(config, count=500):
    return plans(jax.random.split(jax.random.key(4), count), config)


def few(config, count=10):
    drawn = [prompting.plan(jax.random.key(seed), config) for seed in range(count)]
    return jax.tree.map(lambda *values: jnp.stack(values), *drawn)


def scene(seed=0):
    rng = np.random.default_rng(seed)
    truth = np.zeros((B, K, SIZE, SIZE), bool)
    truth[:, :, 3:12, 4:11] = True
    predicted = truth ^ (rng.random(truth.shape) < 0.2)
    boxes = np.broadcast_to(np.array([4, 3, 11, 12], np.float32), (B, K, 4))
    keys = jax.random.split(jax.random.key(seed), (B, K))
    return keys, truth, predicted, boxes


def simulate(config, box_first, counts, hidden=()):
    """Returns every iteration's prompts as the network sees them, some with hidden points."""
    keys, truth, predicted, boxes = scene()
    prompts = first_prompts(keys, truth, boxes, jnp.asarray(box_first), config, MASK)
    visible = [prompts]
    for i in range(1, config.iterations):
        mask = jnp.full((B, K, MASK, MASK), float(i))
        count = jnp.asarray(counts[i])
        prompts = next_prompts(keys, prompts, predicted, truth, mask, jnp.asarray(i), count, config)
        visible.append(prompting.hide_points(prompts, jnp.asarray(i in hidden)))
    return visible


def present(prompts):
    return (np.asarray(prompts.labels) != types.PADDING).sum(-1)


def test_mask_only_is_last_and_one_in_the_middle():
    drawn = many(prompting.PromptingConfig(iterations=9))
    mask_only = np.asarray(drawn.mask_only)
    assert mask_only[:, 8].all()
    assert (mask_only.sum(1) == 2).all()
    middles = mask_only[:, :8].argmax(1)
    assert set(middles) == set(range(2, 8))
    assert np.bincount(middles)[2:].min() > 50  # Of 500 over six places.


@pytest.mark.parametrize(
    ("iterations", "expected"), [(1, [0]), (2, [0, 1]), (3, [0, 0, 1]), (4, [0, 0, 1, 1])]
)
def test_mask_only_with_few_iterations(iterations, expected):
    mask_only = few(prompting.PromptingConfig(iterations=iterations)).mask_only
    np.testing.assert_array_equal(mask_only, np.tile(np.array(expected, bool), (10, 1)))


def test_mask_only_can_be_switched_off():
    assert not few(prompting.PromptingConfig(mask_only=False)).mask_only.any()


def test_counts_are_drawn_from_the_set_and_are_zero_where_mask_only():
    drawn = many(prompting.PromptingConfig(point_counts=(1, 3, 5, 9)))
    counts, mask_only = np.asarray(drawn.point_counts), np.asarray(drawn.mask_only)
    values, numbers = np.unique(counts[~mask_only], return_counts=True)
    assert values.tolist() == [1, 3, 5, 9]
    assert numbers.min() / numbers.sum() > 0.22
    assert (counts[mask_only] == 0).all()


@pytest.mark.parametrize("probability", [0.0, 0.5, 1.0])
def test_box_or_point(probability):
    boxes = few(prompting.PromptingConfig(box_probability=probability), 100).starts_with_box
    assert abs(boxes.mean() - probability) < 0.15
    assert probability == 0.5 or boxes.mean() == probability


def test_another_key_is_another_plan():
    config = prompting.PromptingConfig()
    one, same, other = (prompting.plan(jax.random.key(seed), config) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.point_counts, same.point_counts)
    assert (one.point_counts != other.point_counts).any()


@pytest.mark.parametrize(
    ("fields", "max_points"),
    [
        ({}, 1 + 9 * 7),
        ({"mask_only": False}, 1 + 9 * 8),
        ({"points": "new"}, 9),
        ({"iterations": 1}, 1),
        ({"iterations": 2}, 1),
        ({"iterations": 2, "mask_only": False}, 1 + 9),
        ({"iterations": 1, "points": "new"}, 1),
        ({"iterations": 4, "point_counts": (1, 2)}, 1 + 2 * 2),
    ],
)
def test_max_points(fields, max_points):
    config = prompting.PromptingConfig(**fields)
    assert config.max_points == max_points
    visible = jax.eval_shape(lambda: simulate(config, False, [1] * config.iterations))
    assert [prompts.points.shape for prompts in visible] == [
        (B, K, max_points, 2)
    ] * config.iterations


def test_first_prompts():
    keys, truth, _, boxes = scene()
    box = first_prompts(keys, truth, boxes, jnp.asarray(True), PROMPTING, MASK)
    point = first_prompts(keys, truth, boxes, jnp.asarray(False), PROMPTING, MASK)
    assert box.has_box.all()
    assert np.abs(box.boxes - boxes).max() <= 3.5
    assert (present(box) == 0).all()
    assert not point.has_box.any()
    assert (present(point) == 1).all()
    assert (point.labels[..., 0] == types.FOREGROUND).all()
    for b, k in np.ndindex(B, K):
        x, y = np.asarray(point.points[b, k, 0]).astype(int)
        assert truth[b, k, y, x]
    assert not box.has_mask.any()
    assert not point.has_mask.any()


@pytest.mark.parametrize("box_first", [True, False])
def test_points_accumulate(box_first):
    visible = simulate(PROMPTING, box_first, [0, 3, 1, 3, 1, 0], hidden=(5,))
    first = 0 if box_first else 1
    for prompts, more in zip(visible[:5], (0, 3, 4, 7, 8), strict=True):
        np.testing.assert_array_equal(present(prompts), np.full((B, K), first + more))
    for before, after in itertools.pairwise(visible[:5]):
        present_before = np.asarray(before.labels) != types.PADDING
        assert (after.points[present_before] == before.points[present_before]).all()
        assert (after.labels[present_before] == before.labels[present_before]).all()


def test_every_iteration_draws_points_of_its_own():
    fifth = simulate(PROMPTING, True, [0, 3, 3, 3, 3, 0])[4]
    rounds = np.asarray(fifth.points)[:, :, 1:].reshape(B, K, 4, 3, 2)
    for one, other in itertools.combinations(range(4), 2):
        assert (rounds[:, :, one] != rounds[:, :, other]).any()


def test_points_accumulate_across_a_mask_only_iteration():
    visible = simulate(PROMPTING, False, [0, 3, 1, 0, 3, 0], hidden=(3, 5))
    assert [int(present(prompts)[0, 0]) for prompts in visible] == [1, 4, 5, 0, 8, 0]
    present_before = np.asarray(visible[2].labels) != types.PADDING
    np.testing.assert_array_equal(
        visible[4].labels[present_before], visible[2].labels[present_before]
    )
    np.testing.assert_array_equal(
        visible[4].points[present_before], visible[2].points[present_before]
    )


@pytest.mark.parametrize("box_first", [True, False])
def test_new_points_replace_the_old(box_first):
    config = dataclasses.replace(PROMPTING, points="new")
    visible = simulate(config, box_first, [0, 3, 1, 0, 3, 0], hidden=(3, 5))
    first = 0 if box_first else 1
    assert [int(present(prompts)[0, 0]) for prompts in visible] == [first, 3, 1, 0, 3, 0]


@pytest.mark.parametrize("points", ["accumulated", "new"])
def test_after_the_first_iteration_the_mask_replaces_the_box(points):
    config = dataclasses.replace(PROMPTING, points=points)
    for i, prompts in enumerate(simulate(config, True, [0, 3, 1, 0, 3, 0])):
        assert (prompts.has_box == (i == 0)).all()
        assert (prompts.has_mask == (i > 0)).all()
        assert i == 0 or (prompts.mask == i).all()


def test_box_jitter_is_configurable():
    keys, truth, _, boxes = scene()
    moved = {}
    for kind in typing.get_args(prompting.Jitter):
        config = prompting.PromptingConfig(box_jitter=kind)
        prompts = first_prompts(keys, truth, boxes, jnp.asarray(True), config, MASK)
        moved[kind] = np.asarray(prompts.boxes) - boxes
    assert (moved["none"] == 0).all()
    assert (moved["shift"][..., :2] == moved["shift"][..., 2:]).all()
    assert (moved["coordinate"] != np.round(moved["coordinate"])).all()


def test_no_point_counts_is_an_error():
    with pytest.raises(ValueError, match=r"^point_counts: expected at least one count, found none"):
        prompting.PromptingConfig(point_counts=())
