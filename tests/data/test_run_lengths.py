"""COCO's run lengths: both forms as pycocotools writes them."""

import numpy as np
import pytest
from pycocotools import mask as coco

from samjax.data import run_lengths


def random_mask(height, width, share):
    return np.random.default_rng(height * 1000 + width).random((height, width)) < share


def one_pixel(row, column):
    mask = np.zeros((7, 5), bool)
    mask[row, column] = True
    return mask


def stripes():
    """Long runs whose lengths grow and fall: differences of both signs, several characters."""
    counts = [3, 40_000, 17, 5, 70_000, 1, 1, 33, 20_000, 512]
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return np.pad(flat, (0, -len(flat) % 512)).reshape((512, -1), order="F")


MASKS = {
    **{f"random{share}": random_mask(61, 83, share) for share in (0.01, 0.5, 0.99)},
    "row": random_mask(1, 40, 0.5),
    "column": random_mask(40, 1, 0.5),
    "empty": np.zeros((9, 4), bool),
    "full": np.ones((9, 4), bool),
    "first": one_pixel(0, 0),
    "middle": one_pixel(3, 2),
    "last": one_pixel(6, 4),
    "pixel": np.ones((1, 1), bool),
    "stripes": stripes(),
}


@pytest.mark.parametrize("name", MASKS)
def test_both_forms_are_those_of_pycocotools(name):
    mask = MASKS[name]
    found = run_lengths.encode(mask)
    text = run_lengths.compressed(found)
    expected = coco.encode(np.asfortranarray(mask, np.uint8))
    assert text == {"size": [*mask.shape], "counts": expected["counts"].decode()}
    assert found["counts"] == run_lengths.decompress(text["counts"])
    assert coco.frPyObjects(found, *mask.shape) == expected
    assert run_lengths.area(found) == coco.area(expected) == mask.sum()
    for form in (found, text):
        np.testing.assert_array_equal(run_lengths.decode(form), mask)


def test_any_number_but_zero_is_inside():
    mask = random_mask(8, 6, 0.5)
    assert run_lengths.encode(mask * np.uint8(255)) == run_lengths.encode(mask)


@pytest.mark.parametrize("counts", [[3, 2], [3, 5], [-1, 7], []])
def test_refuses_counts_of_another_size(counts):
    with pytest.raises(ValueError, match="counts: expected runs of 6 pixels, found"):
        run_lengths.decode({"size": [2, 3], "counts": counts})
