"""An object's prompts are checked where they are made."""

import numpy as np
import pytest

from samjax.inference import ObjectPrompt
from samjax.inference.object_prompt import next_power_of_two


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, r"expected a point, a box or a mask, found none"),
        (dict(points=[[1, 2]]), r"belong together, found no labels"),
        (dict(labels=[1], box=[1, 2, 3, 4]), r"belong together, found no points"),
        (dict(points=[1, 2], labels=[1]), r"points: expected shape \(n, 2\), found \(2,\)"),
        (dict(points=np.zeros((0, 2)), labels=[]), r"points: expected shape \(n, 2\), found \(0"),
        (dict(points=[[1, 2, 3]], labels=[1]), r"points: expected shape \(n, 2\), found \(1, 3\)"),
        (dict(points=[[1, 2]], labels=[1, 1]), r"labels: expected shape \(1,\), found \(2,\)"),
        (dict(points=[[1, 2]], labels=[5]), r"labels: expected 1 \(object\), 0 \(background\)"),
        (dict(points=[[1, 2], [3, 4]], labels=[2, 3]), r"found \[2.0, 3.0\]; a box's corners go"),
        (dict(points=[[1, 2], [3]], labels=[1, 1]), r"points: expected numbers of shape \(n, 2\)"),
        (dict(box=np.array([1, None, 3, 4], object)), r"box: expected finite"),
        (dict(box=np.array([1j, 2, 3, 4])), r"box: expected numbers of shape \(4,\)"),
        (dict(box=np.array([1, [2], 3, 4], object)), r"box: expected numbers of shape \(4,\)"),
        (dict(points=[[1, np.nan]], labels=[1]), r"points: expected finite"),
        (dict(points=[["a", 2]], labels=[1]), r"points: expected numbers of shape \(n, 2\)"),
        (dict(box=[[1, 2, 3, 4]]), r"box: expected shape \(4,\), found \(1, 4\)"),
        (dict(box=[3, 2, 1, 4]), r"box: expected \(x0, y0, x1, y1\) with x0 < x1"),
        (dict(box=[1, 4, 3, 4]), r"box: .* y0 < y1, found \[1.0, 4.0, 3.0, 4.0\]"),
        (dict(mask=np.zeros(4)), r"mask: expected shape \(m, m\), found \(4,\)"),
    ],
)
def test_refuses(fields, message):
    with pytest.raises(ValueError, match=message):
        ObjectPrompt(**fields)


def test_points_lie_in_the_image():
    edges = ObjectPrompt(points=[[0, 0], [20, 10]], labels=[1, 0])
    edges.check_fits(height=10, width=20, mask_size=8)
    swapped = ObjectPrompt(points=[[5, 5], [9, 18]], labels=[1, 0])
    message = r"\(x, y\) = \(9, 18\) is outside of an image of width 20 and height 10"
    with pytest.raises(ValueError, match=message):
        swapped.check_fits(height=10, width=20, mask_size=8)


def test_what_is_not_a_point_may_lie_anywhere():
    padded = ObjectPrompt(points=[[5, 5], [-9, 999]], labels=[1, -1])
    padded.check_fits(height=10, width=20, mask_size=8)
    np.testing.assert_array_equal(padded.clicks, [[5, 5]])


@pytest.mark.parametrize(
    ("fields", "side", "expected"),
    [
        (dict(points=[[0.4, 0.5]], labels=[1]), 512, True),
        (dict(box=[0.1, 0.2, 0.9, 1.0]), 512, True),
        (dict(box=[0.1, 0.2, 0.9, 1.0], points=[[40, 5]], labels=[1]), 512, False),
        (dict(points=[[0.4, 0.5], [40, 40]], labels=[1, -1]), 512, True),
        (dict(points=[[0.4, 0.5]], labels=[1]), 16, False),
        (dict(mask=np.zeros((8, 8))), 512, False),
    ],
)
def test_coordinates_from_0_to_1_look_relative_on_a_large_image(fields, side, expected):
    assert ObjectPrompt(**fields).looks_normalized(side, side // 2) is expected


def test_boxes_overlap_the_image():
    ObjectPrompt(box=[-3, -3, 25, 4]).check_fits(height=10, width=20, mask_size=8)
    with pytest.raises(ValueError, match=r"box: .* is outside of an image"):
        ObjectPrompt(box=[20, 0, 30, 4]).check_fits(height=10, width=20, mask_size=8)


def test_buckets_are_powers_of_two():
    assert [next_power_of_two(n) for n in (0, 1, 2, 3, 4, 5, 8, 9)] == [1, 1, 2, 4, 4, 8, 8, 16]
