import jax
import jax.numpy as jnp
import numpy as np
import pytest
import ritm_clicker
from scipy import ndimage

from samjax import types
from samjax.prompting import clicks
from samjax.prompting.distance import squared_distance

SIDE = 40
NONE = jnp.zeros((1, 2)), jnp.full(1, types.PADDING)


def blob(seed, quantile=0.7):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((SIDE, SIDE)), 3)
    return noise > np.quantile(noise, quantile)


def click(truth, predicted, policy="centre", clicked=NONE, count=1):
    """Clicks `count` times on the same prediction, with other keys; returns points and labels."""
    keys = jax.random.split(jax.random.key(3), count)
    repeated = [jnp.broadcast_to(jnp.asarray(each), (count, *each.shape)) for each in clicked]
    masks = [jnp.broadcast_to(jnp.asarray(m), (count, *m.shape)) for m in (predicted, truth)]
    points, labels = clicks.click(keys, *masks, *repeated, policy)
    return np.asarray(points), np.asarray(labels)


def test_squared_distances_are_those_of_scipy_to_the_digit():
    masks = np.stack([blob(seed, q) for seed, q in enumerate((0.0, 0.1, 0.5, 0.9, 1.0))])
    masks[2, :, 5:] = True  # Wide objects at the border of the image.
    expected = [ndimage.distance_transform_edt(np.pad(m, 1))[1:-1, 1:-1] ** 2 for m in masks]
    np.testing.assert_array_equal(squared_distance(jnp.asarray(masks)), np.rint(expected))


def test_centre_is_the_click_of_ritm_one_after_the_other():
    for seed in range(6):
        truth, predicted = blob(seed), blob(seed + 100)
        clicked, points, labels = np.zeros_like(truth), np.zeros((8, 2)), np.full(8, types.PADDING)
        for number in range(8):
            x, y, label = ritm_clicker.next_click(truth, predicted, clicked)
            found, of_found = click(truth, predicted, clicked=(points, labels))
            assert (*found[0].tolist(), of_found[0]) == (x, y, label), (seed, number)
            clicked[y, x], points[number], labels[number] = True, (x, y), label


def test_ritm_of_equal_errors_clicks_the_excess_and_the_first_by_rows():
    truth, predicted = np.zeros((2, 20, 20), bool)
    truth[2:5, 2:5] = predicted[2:5, 8:11] = predicted[2:5, 14:17] = True
    assert ritm_clicker.next_click(truth, predicted, np.zeros_like(truth)) == (9, 3, 0)
    points, labels = click(truth, predicted)
    assert points[0].tolist() == [9, 3] and labels[0] == types.BACKGROUND


def test_without_an_error_there_is_no_click():
    _, labels = click(blob(0), blob(0))
    assert labels[0] == types.NOT_A_POINT


@pytest.mark.parametrize("policy", ["boundary", "jittered"])
def test_other_policies_click_in_the_error(policy):
    truth, predicted = blob(1), blob(2)
    points, labels = click(truth, predicted, policy, count=200)
    x, y = points.astype(int).T
    regions = {1: truth & ~predicted, 0: predicted & ~truth}
    assert len({*labels.tolist()}) == 1
    error = regions[labels[0]]
    assert error[y, x].all() and len(np.unique(points, axis=0)) > 20
    distance = ritm_clicker.distance_to_border(error)
    if policy == "boundary":
        assert distance[y, x].max() <= max(clicks.BORDER * distance.max(), 1)


@pytest.mark.heavy
def test_jittered_clicks_gather_about_the_centre():
    square = np.zeros((60, 60), bool)
    square[10:51, 10:51] = True
    points, _ = click(square, np.zeros_like(square), "jittered", count=500)
    assert np.abs(points.mean(axis=0) - 30).max() < 2
    assert 6 < points.std() < 12  # Of half of the largest distance, 21, and cut off.


@pytest.mark.parametrize("policy", clicks.PLACED)
def test_a_mask_of_one_pixel_is_clicked_there(policy):
    mask = np.zeros((6, 6), bool)
    mask[4, 5] = True
    points, labels = click(mask, np.zeros_like(mask), policy)
    assert points[0].tolist() == [5, 4] and labels[0] == types.FOREGROUND
