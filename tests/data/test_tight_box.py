import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from samjax.data.boxes import tight_box

masks = arrays.arrays(
    np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 1)
).filter(np.any)


def largest_component(mask):
    """The pixels of the largest 8-connected component, by flooding from every pixel."""
    left = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    best: set[tuple[int, int]] = set()
    while left:
        component, queue = set(), [left.pop()]
        while queue:
            y, x = queue.pop()
            component.add((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            queue += near
        best = max(best, component, key=len)
    return np.array(sorted(best)), len(best)


@given(masks)
def test_the_box_holds_the_largest_component_tightly(mask):
    pixels, area = largest_component(mask)
    x0, y0, x1, y1 = tight_box(mask).astype(int)
    assert (mask[y0:y1, x0:x1].any(0).all(), mask[y0:y1, x0:x1].any(1).all()) == (True, True)
    corners = np.array([*pixels.min(0)[::-1], *(pixels.max(0)[::-1] + 1)])
    if (corners != (x0, y0, x1, y1)).any():  # Another component of the same size.
        _, inside = largest_component(mask[y0:y1, x0:x1])
        assert inside == area


def test_upper_corners_are_exclusive():
    mask = np.zeros((5, 6), np.uint8)
    mask[2, 3] = 1
    box = tight_box(mask)
    assert box.dtype == np.float32
    np.testing.assert_array_equal(box, [3, 2, 4, 3])
    np.testing.assert_array_equal(tight_box(np.ones((5, 6), np.uint8)), [0, 0, 6, 5])


def test_an_empty_mask_has_no_box():
    with pytest.raises(ValueError, match="found an empty one"):
        tight_box(np.zeros((4, 4), np.uint8))
