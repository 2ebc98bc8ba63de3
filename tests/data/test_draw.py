"""A few images, spread over the subjects."""

from collections import Counter

import pytest

from samjax.data.draw import draw_images
from samjax.data.files import DataError
from samjax.data.index import Sample


@pytest.fixture
def samples():
    places = [(f"case{case}", z) for case in range(6) for z in range(4)]
    return [Sample(f"images/{case}_{z}.png", (), "set", case) for case, z in places]


def test_every_subject_before_a_second_image_of_one(samples):
    assert len({sample.subject for sample in samples}) == 6
    for count, most in ((4, 1), (6, 1), (9, 2), (24, 4)):
        drawn = draw_images(samples, count, seed=3)
        assert len(set(drawn)) == count and drawn == [s for s in samples if s in set(drawn)]
        assert max(Counter(sample.subject for sample in drawn).values()) == most


def test_the_seed_decides_and_fewer_are_among_more(samples):
    assert draw_images(samples, 8, 0) == draw_images(samples, 8, 0) != draw_images(samples, 8, 1)
    assert set(draw_images(samples, 5, 0)) <= set(draw_images(samples, 11, 0))
    assert draw_images(samples, 0, 0) == samples
    with pytest.raises(DataError, match=r"data.images: expected at most 24 images, found 25"):
        draw_images(samples, 25, 0)
