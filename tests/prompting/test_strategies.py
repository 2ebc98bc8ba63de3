import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samjax.prompting import strategies

COUNTS = {"S2": (1, 0), "S3": (5, 0), "S4": (5, 5), "S5": (0, 0), "S6": (1, 0)}


def rectangle(shape, x0, y0, x1, y1):
    mask = np.zeros(shape, np.uint8)
    mask[y0:y1, x0:x1] = 1
    return mask


def at(mask, points):
    x, y = points.astype(int).T
    return mask[y, x]


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**31),
    fraction=st.sampled_from([0.003, 0.1, 0.6, 1.0]),
    name=st.sampled_from(strategies.STRATEGIES),
)
def test_points_lie_where_their_labels_say(seed, fraction, name):
    rng = np.random.default_rng(seed)
    mask = rng.random(rng.integers(1, 40, 2)) < fraction
    mask.flat[rng.integers(mask.size)] = True
    prompt = strategies.prompt(name, mask)
    positive, negative = COUNTS[name]
    assert prompt.points.shape == (positive + negative, 2)
    assert at(mask, prompt.points[prompt.labels == 1]).all()
    assert not at(mask, prompt.points[prompt.labels == 0]).any()
    assert (prompt.labels == 1).sum() == positive
    assert (prompt.labels == 0).sum() in (0, negative)
    if name in ("S5", "S6"):
        x0, y0, x1, y1 = prompt.box.astype(int)
        inside = mask[y0:y1, x0:x1]
        assert inside.sum() == mask.sum()
        assert all(line.any() for line in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))
    else:
        assert prompt.box is None


def test_a_square_by_hand():
    mask = rectangle((12, 20), 8, 4, 12, 8)  # 4 x 4 about (9.5, 5.5), rounded to even.
    prompt = strategies.prompt("S4", mask)
    # The centre; then of the 16 pixels by rows the numbers 2, 6, 10 and 14.
    assert prompt.points[:5].tolist() == [[10, 6], [10, 4], [10, 5], [10, 6], [10, 7]]
    # Of the 48 pixels around it, in the rows 2 to 9 of the columns 6 to 13: 4, 14, 24, 33 and 43.
    assert prompt.points[5:].tolist() == [[10, 2], [12, 3], [6, 6], [7, 8], [9, 9]]
    assert prompt.labels.tolist() == 5 * [1] + 5 * [0]
    assert strategies.prompt("S6", mask).box.tolist() == [8, 4, 12, 8]
    assert strategies.prompt("S6", mask).points.tolist() == [[10, 6]]


def test_a_centre_of_mass_outside_the_mask_is_replaced():
    ring = rectangle((11, 11), 1, 1, 10, 10) - rectangle((11, 11), 3, 3, 8, 8)
    assert strategies.centre_of_mass(ring).tolist() == [5, 5]
    assert strategies.centre_point(ring).tolist() == strategies.even_points(ring, 1)[0].tolist()
    points = strategies.positive_points(ring, 5)
    assert points.tolist() == strategies.even_points(ring, 5).tolist()


def test_even_points_take_one_of_each_bin():
    row = np.ones((1, 23), bool)
    assert strategies.even_points(row, 5)[:, 0].tolist() == [2, 6, 11, 16, 20]
    assert strategies.even_points(row[:, :1], 3).tolist() == [[0, 0]] * 3
    assert strategies.even_points(row, 0).shape == (0, 2)


def test_a_full_image_has_no_negative_points():
    prompt = strategies.prompt("S4", np.ones((6, 7), bool))
    assert prompt.labels.tolist() == 5 * [1] + 5 * [-1]


def test_the_box_holds_all_components():
    mask = rectangle((20, 30), 2, 3, 8, 9) | rectangle((20, 30), 20, 12, 21, 13)
    assert strategies.whole_box(mask).tolist() == [2, 3, 21, 13]


def test_empty_masks_and_unknown_names_are_errors():
    with pytest.raises(ValueError, match="an empty one"):
        strategies.prompt("S2", np.zeros((4, 4), bool))
    with pytest.raises(ValueError, match="found 'S1'"):
        strategies.prompt("S1", np.ones((4, 4), bool))
