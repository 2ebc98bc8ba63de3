import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from samjax.data.augment import AugmentConfig, augment
from samjax.data.inputs import Preprocessing, prepare_image, prepare_mask

SIZE = 32


def example(height=20, width=26, seed=0):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
    image, placement = prepare_image(pixels, SIZE, Preprocessing())
    mask = np.zeros((height, width), np.uint8)
    mask[3:12, 5:20] = 1
    return image, prepare_mask(mask, SIZE, placement)[None], placement


def test_nothing_is_changed_by_default():
    image, masks, placement = example()
    new_image, new_masks = augment(
        image, masks, placement, AugmentConfig(), np.random.default_rng(0)
    )
    np.testing.assert_array_equal(new_image, image)
    np.testing.assert_array_equal(new_masks, masks)


@given(st.integers(0, 1000))
def test_the_image_and_its_masks_move_together(seed):
    """An image that is bright exactly where its mask is stays so."""
    _, masks, placement = example()
    image = np.repeat(masks[0, ..., None], 3, axis=2).astype(np.float32)
    config = AugmentConfig(flip=0.5, rotate_degrees=30, zoom=1)
    moved, moved_masks = augment(image, masks, placement, config, np.random.default_rng(seed))
    assert moved.dtype == np.float32
    assert moved_masks.dtype == np.uint8
    assert set(np.unique(moved_masks)) == {0, 1}
    disagree = (moved[..., 0] > 0.5) != moved_masks[0]
    assert disagree.mean() < 0.03  # Only along the rotated edge.


def test_flips_are_exact_and_as_frequent_as_asked():
    image, masks, placement = example()
    rng = np.random.default_rng(0)
    flipped, flipped_masks = augment(image, masks, placement, AugmentConfig(flip=1), rng)
    np.testing.assert_array_equal(flipped, image[::-1, ::-1])
    np.testing.assert_array_equal(flipped_masks, masks[:, ::-1, ::-1])
    config = AugmentConfig(flip=0.5)
    seen = {augment(image, masks, placement, config, rng)[0].tobytes() for _ in range(40)}
    assert len(seen) == 4


@given(st.integers(0, 1000))
def test_the_padding_stays_zero(seed):
    image, masks, at = example()
    config = AugmentConfig(intensity=0.5)
    changed, _ = augment(image, masks, at, config, np.random.default_rng(seed))
    assert not changed[: at.top].any()
    assert not changed[:, : at.left].any()
    assert not changed[at.top + at.inner_height :].any()
    assert (changed != image).any()


def test_a_mask_never_vanishes():
    image, _, placement = example()
    masks = np.zeros((2, SIZE, SIZE), np.uint8)
    masks[0, 0, 0] = 1  # Any rotation turns the corner out of the square.
    masks[1, 10:20, 10:20] = 1
    config = AugmentConfig(rotate_degrees=45)
    for seed in range(10):
        rng = np.random.default_rng(seed)
        _, moved = augment(image, masks, placement, config, rng)
        assert moved.any((1, 2)).all()


def test_zoom_magnifies_and_reduces_as_far_as_asked():
    """Areas change by up to the square of 1 + zoom, both ways."""
    image, _, placement = example()
    masks = np.zeros((1, SIZE, SIZE), np.uint8)
    masks[0, 14:18, 14:18] = 1
    config, rng = AugmentConfig(zoom=1), np.random.default_rng(0)
    areas = [augment(image, masks, placement, config, rng)[1].sum() for _ in range(200)]
    assert 3 <= min(areas) < 8
    assert 40 < max(areas) <= 72


def test_a_mask_that_zoom_cuts_away_gives_its_place_to_another():
    image, _, placement = example()
    masks = np.zeros((2, SIZE, SIZE), np.uint8)
    masks[0, :2, :2] = 1
    masks[1, 20:30, 20:30] = 1
    config, rng = AugmentConfig(zoom=3), np.random.default_rng(0)
    results = [augment(image, masks, placement, config, rng)[1] for _ in range(50)]
    assert all(moved.any((1, 2)).all() for moved in results)
    same = [np.array_equal(*moved) for moved in results]
    assert any(same)
    assert not all(same)
