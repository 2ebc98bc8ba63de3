import numpy as np
import pytest
import ritm_clicker
from scipy import ndimage

from samjax.prompting import clicks


def blob(seed, shape=(30, 40)):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 3)
    return noise > np.quantile(noise, 0.7)


@pytest.mark.parametrize("seed", range(5))
def test_distances_are_euclidean_and_the_image_ends_at_its_border(seed):
    mask = blob(seed)
    expected = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    np.testing.assert_allclose(clicks.distance_to_border(mask), expected, rtol=1e-6)


@pytest.mark.parametrize("policy", ["centre", "boundary", "jittered"])
@pytest.mark.parametrize("seed", range(5))
def test_first_clicks_are_in_the_mask(policy, seed):
    mask, rng = blob(seed), np.random.default_rng(seed)
    distance = clicks.distance_to_border(mask)
    for _ in range(20):
        x, y = clicks.first_click(mask, policy, rng).astype(int)
        assert mask[y, x]
        if policy == "centre":
            assert distance[y, x] == distance.max()
        if policy == "boundary":
            assert distance[y, x] <= max(clicks.BORDER * distance.max(), 1)


def test_jittered_clicks_gather_about_the_centre():
    mask, rng = np.ones((41, 41), bool), np.random.default_rng(0)
    drawn = np.array([clicks.first_click(mask, "jittered", rng) for _ in range(500)])
    assert np.abs(drawn.mean(axis=0) - 20).max() < 2
    assert 6 < drawn.std() < 12  # Of half of the largest distance, 21, and cut off.


@pytest.mark.parametrize("policy", ["centre", "boundary", "jittered"])
def test_a_mask_of_one_pixel_is_clicked_there(policy):
    mask = np.zeros((5, 6), np.uint8)
    mask[4, 5] = 1
    assert clicks.first_click(mask, policy, np.random.default_rng(0)).tolist() == [5, 4]


def test_empty_masks_and_unknown_policies_are_errors():
    with pytest.raises(ValueError, match="an empty one"):
        clicks.first_click(np.zeros((3, 3), bool), "centre", np.random.default_rng(0))


def click(truth, predicted, clicked=()):
    done = np.zeros(truth.shape, bool)
    for x, y in clicked:
        done[y, x] = True
    return ritm_clicker.next_click(truth, predicted, done)


def test_ritm_clicks_the_centre_of_the_larger_error():
    truth, predicted = np.zeros((2, 12, 12), bool)
    truth[1:6, 1:6] = True
    assert click(truth, predicted) == (3, 3, 1)
    predicted[5:12, 5:12] = True  # Missed: all but one pixel; wrong: 7 x 7, and one pixel.
    assert click(truth, predicted) == (8, 8, 0)
    assert click(truth, truth) is None


def test_ritm_prefers_false_positives_and_early_pixels_among_equals():
    truth, predicted = np.zeros((2, 9, 20), bool)
    truth[2:5, 2:5] = predicted[2:5, 8:11] = predicted[2:5, 14:17] = True
    assert click(truth, predicted) == (9, 3, 0)
    assert click(truth, predicted, [(9, 3)]) == (15, 3, 0)
    assert click(truth, predicted, [(9, 3), (15, 3)]) == (3, 3, 1)


def test_ritm_counts_what_is_beyond_the_image_as_outside():
    truth = np.ones((5, 9), bool)
    assert click(truth, np.zeros_like(truth)) == (2, 2, 1)
