import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samjax import prompting, types

SIZE = 12
sample_from = jax.jit(prompting.sample_from, static_argnums=2)
correction_points = jax.jit(prompting.correction_points, static_argnums=3)
first_point = jax.jit(prompting.first_point)


def keys(b, k, seed=0):
    return jax.random.split(jax.random.key(seed), (b, k))


def pixels(points):
    """Row and column numbers of points (x, y)."""
    points = np.asarray(points)
    assert (points == np.round(points)).all()
    return tuple(np.moveaxis(points.astype(int), -1, 0)[::-1])


def test_every_pixel_of_a_region_is_drawn_equally_often():
    region = np.zeros((SIZE, SIZE), bool)
    region[2, [1, 3, 4, 8]] = True  # Rows of unlike length, with gaps, and the very corners.
    region[5, 7] = True
    region[0, 0] = region[-1, -1] = region[-1, 0] = True
    draws = 8000
    points, found = sample_from(jax.random.key(1), region, draws)
    counts = np.zeros(region.shape, int)
    np.add.at(counts, pixels(points), 1)
    assert found
    assert counts[~region].sum() == 0
    expected = draws / region.sum()
    chi_square = ((counts[region] - expected) ** 2 / expected).sum()
    assert chi_square < 24.3  # 7 degrees of freedom: one seed in a thousand is beyond.


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**31), fraction=st.sampled_from([0.01, 0.1, 0.5, 1.0]))
def test_points_lie_in_the_region(seed, fraction):
    region = np.random.default_rng(seed).random((SIZE, SIZE)) < fraction
    points, found = sample_from(jax.random.key(seed), region, 9)
    assert bool(found) == region.any()
    rows, columns = pixels(points)
    assert ((rows >= 0) & (rows < SIZE) & (columns >= 0) & (columns < SIZE)).all()
    if found:
        assert region[rows, columns].all()


def test_points_are_drawn_with_replacement():
    region = np.zeros((SIZE, SIZE), bool)
    region[3, 4:6] = True
    points, _ = sample_from(jax.random.key(0), region, 9)
    assert points.shape == (9, 2)
    assert len(np.unique(points, axis=0)) == 2


def test_a_draw_needs_no_special_size():
    region = np.zeros((3, 17), bool)
    region[2, 16] = True
    points, found = sample_from(jax.random.key(0), region, 1)
    assert found
    np.testing.assert_array_equal(points, [[16, 2]])


def test_first_point_is_foreground():
    masks = np.zeros((2, 3, SIZE, SIZE), np.uint8)
    masks[0, 0, 2:5, 6:9] = 1
    masks[0, 1, 0, 0] = 255  # Any nonzero number is foreground.
    masks[1, 2, 11, 4] = 1
    points, labels = first_point(keys(2, 3), masks)
    assert points.shape == (2, 3, 1, 2)
    present = masks.any((-2, -1))
    np.testing.assert_array_equal(labels[..., 0], np.where(present, 1, types.NOT_A_POINT))
    for b, k in np.argwhere(present):
        assert masks[(b, k, *pixels(points[b, k, 0]))] != 0


def test_corrections_lie_in_the_error_with_its_label():
    rng = np.random.default_rng(0)
    truth = rng.random((2, 3, SIZE, SIZE)) < 0.4
    predicted = truth ^ (rng.random(truth.shape) < 0.1)
    points, labels = correction_points(keys(2, 3), predicted, truth, 40)
    seen = set()
    for b, k, p in np.ndindex(labels.shape):
        at = (b, k, *pixels(points[b, k, p]))
        assert truth[at] != predicted[at]
        assert labels[b, k, p] == (1 if truth[at] else 0)
        seen.add(int(labels[b, k, p]))
    assert seen == {0, 1}


@pytest.mark.parametrize(("predicted", "label"), [(False, 1), (True, 0)])
def test_corrections_of_one_kind(predicted, label):
    truth = jnp.full((1, 1, SIZE, SIZE), not predicted)
    _, labels = correction_points(keys(1, 1), ~truth, truth, 5)
    np.testing.assert_array_equal(labels, np.full((1, 1, 5), label))


def test_without_error_points_are_absent():
    truth = jnp.zeros((1, 2, SIZE, SIZE), bool).at[:, :, 3:6, 3:6].set(True)
    predicted = truth.at[0, 1, 0, 0].set(True)
    points, labels = correction_points(keys(1, 2), predicted, truth, 3)
    np.testing.assert_array_equal(labels[0, 0], [types.NOT_A_POINT] * 3)
    np.testing.assert_array_equal(labels[0, 1], [types.BACKGROUND] * 3)
    np.testing.assert_array_equal(points[0, 1], np.zeros((3, 2)))


def test_points_depend_on_the_sample_not_on_its_place_in_the_batch():
    rng = np.random.default_rng(3)
    truth = rng.random((4, 2, SIZE, SIZE)) < 0.5
    predicted = rng.random(truth.shape) < 0.5
    seeds = np.array([7, 123456789, 2**32 - 1, 0], np.uint32)
    order = np.array([2, 0, 3, 1])

    def draw(seeds, predicted, truth):
        own = prompting.object_keys(jax.random.key(5), jnp.asarray(seeds), 2)
        return correction_points(own, predicted, truth, 4)

    points, labels = draw(seeds, predicted, truth)
    moved_points, moved_labels = draw(seeds[order], predicted[order], truth[order])
    np.testing.assert_array_equal(points[order], moved_points)
    np.testing.assert_array_equal(labels[order], moved_labels)
    alone, _ = draw(seeds[:1], predicted[:1], truth[:1])
    np.testing.assert_array_equal(points[:1], alone)


def test_every_object_has_a_key_of_its_own():
    seeds = jnp.array([0, 1, 2, 2**32 - 1], jnp.uint32)
    own = prompting.object_keys(jax.random.key(0), seeds, 5)
    assert own.shape == (4, 5)
    assert len(np.unique(jax.random.key_data(own).reshape(20, -1), axis=0)) == 20
    other = prompting.object_keys(jax.random.key(1), seeds, 5)
    assert (jax.random.key_data(own) != jax.random.key_data(other)).any(-1).all()
