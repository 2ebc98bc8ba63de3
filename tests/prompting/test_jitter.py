import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samjax.prompting import jitter
from samjax.prompting.jitter import JitterRange

FAR = (10_000, 10_000)  # An image that nothing reaches the border of.
BOX = np.array([4000, 5000, 4100, 5040], np.float32)
POINTS = BOX.reshape(2, 2).mean(axis=0) + np.zeros((5, 2), np.float32)
MOVES = [jitter.move_sides, jitter.move_box]


@pytest.mark.parametrize("low, high", [(0, 10), (10, 20), (20, 30), (7, 7)])
def test_distances_in_pixels_are_within_their_bounds(low, high):
    rng, distance = np.random.default_rng(0), JitterRange(low, high)
    wide = BOX + np.array([0, 0, 0, 60], np.float32)  # Sides do not pass each other.
    sides = np.abs([jitter.move_sides(wide, distance, FAR, rng) - wide for _ in range(200)])
    shifts = [jitter.move_box(BOX, distance, FAR, rng) - BOX for _ in range(200)]
    points = [jitter.move_points(POINTS, BOX, distance, FAR, rng) - POINTS for _ in range(200)]
    np.testing.assert_allclose(np.array(shifts)[:, :2], np.array(shifts)[:, 2:], atol=1e-3)
    for lengths in (sides, np.linalg.norm(np.array(shifts)[:, :2], axis=1)):
        assert lengths.min() >= low - 1e-2 and lengths.max() <= high + 1e-2
        assert abs(lengths.mean() - (low + high) / 2) < 1
    lengths = np.linalg.norm(points, axis=2)
    assert lengths.min() >= low - 1e-2 and lengths.max() <= high + 1e-2
    assert np.abs(np.mean(points, axis=(0, 1))).max() < 3  # No direction is preferred.


def test_percentages_are_of_the_sides():
    rng, distance = np.random.default_rng(0), JitterRange(10, 10, "pct")
    sides = np.abs(jitter.move_sides(BOX, distance, FAR, rng) - BOX)
    assert sides.tolist() == [10, 4, 10, 4]
    dx, dy, *_ = jitter.move_box(BOX, distance, FAR, rng) - BOX
    assert np.hypot(dx / 100, dy / 40) == pytest.approx(0.1, abs=1e-4)
    moves = jitter.move_points(POINTS, BOX, distance, FAR, rng) - POINTS
    np.testing.assert_allclose(np.linalg.norm(moves, axis=1), 7, atol=1e-3)


def test_only_the_first_point_moves_on_request():
    rng = np.random.default_rng(0)
    moved = jitter.move_points(POINTS, BOX, JitterRange(5, 9), FAR, rng, first_only=True)
    assert (moved != POINTS).any(axis=1).tolist() == [True, *4 * [False]]


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**31), move=st.sampled_from(MOVES), unit=st.sampled_from(jitter.UNITS))
def test_boxes_stay_boxes_of_the_image(seed, move, unit):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 40, 2)
    low = np.floor(rng.random(2) * [width, height])
    high = np.minimum(low + 1 + np.floor(rng.random(2) * 9), [width, height])
    box = np.concatenate([low, high]).astype(np.float32)
    moved = move(box, JitterRange(0, 60, unit), (int(height), int(width)), rng)
    assert (moved[2:] - moved[:2] >= 1 - 1e-5).all()
    assert (moved >= 0).all() and (moved[2:] <= [width, height]).all()
    points = jitter.move_points(low[None], box, JitterRange(0, 60), (int(height), int(width)), rng)
    assert (points >= 0).all() and (points <= [width - 1, height - 1]).all()


def test_inverted_boxes_are_mended():
    small = np.array([50, 50, 52, 52], np.float32)
    rng, distance = np.random.default_rng(1), JitterRange(20, 30)
    moved = np.stack([jitter.move_sides(small, distance, (200, 200), rng) for _ in range(100)])
    assert (moved[:, 2:] > moved[:, :2]).all()


def test_a_seed_gives_the_same_moves():
    one, two = (
        jitter.move_sides(BOX, JitterRange(0, 10), FAR, np.random.default_rng(3)) for _ in range(2)
    )
    assert (one == two).all()


def test_names_are_read_and_written():
    assert JitterRange.parse("10-20px") == JitterRange(10, 20)
    assert str(JitterRange.parse("5-10pct")) == "5-10pct"


@pytest.mark.parametrize("name", ["10-20", "px", "20-10px", "0-0px", "1.5-2px", "10-20mm"])
def test_other_names_are_errors(name):
    with pytest.raises(ValueError, match="jitter: expected"):
        JitterRange.parse(name)
