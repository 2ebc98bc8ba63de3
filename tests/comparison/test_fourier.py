import cv2
import numpy as np
import pytest

from samjax.comparison import fourier


def star(arms, depth=0.3, radius=80, size=256):
    angle = np.linspace(0, 2 * np.pi, 2000, endpoint=False)
    distance = radius * (1 + depth * np.cos(arms * angle))
    outline = size / 2 + distance[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    mask = np.zeros((size, size), np.uint8)
    return cv2.fillPoly(mask, [np.rint(outline).astype(np.int32)], color=[1])


@pytest.mark.parametrize("radius", [8, 20, 100])
def test_a_circle_needs_one_harmonic(radius):
    circle = star(1, depth=0, radius=radius)
    for patient in (False, True):
        fit = fourier.fit(circle, patient)
        assert (fit.order, fit.stopped) == (1, "fitted")
        assert fit.complexity == pytest.approx(1 + 200 * (1 - fit.dice))


@pytest.mark.parametrize("arms", [5, 8, 14])
def test_a_star_needs_one_harmonic_more_than_it_has_arms_where_cosmos_stops_at_two(arms):
    mask = star(arms)
    fit = fourier.fit(mask, patient=True)
    assert (fit.order, fit.stopped) == (arms + 1, "fitted")
    assert fit.dice > fourier.ENOUGH
    published = fourier.fit(mask, patient=False)
    assert (published.order, published.stopped) == (2, "gain")
    assert published.complexity == pytest.approx(2 + 200 * (1 - published.dice))
    assert published.complexity > 30


def test_complexity_by_the_papers_example():
    assert fourier.FourierFit(2, 0.75, "gain").complexity == 52


def test_the_order_is_bounded():
    comb = np.ones((24, 260), bool)
    comb[3:, 1::2] = False  # More teeth than harmonics.
    fit = fourier.fit(comb, patient=True)
    assert (fit.order, fit.stopped) == (fourier.CAP, "cap")


def test_coefficients_are_those_of_the_integral():
    """Against sums over a finely sampled contour, for a polygon of uneven sides."""
    corners = np.array([[3.0, 2], [30, 5], [22, 19], [25, 40], [5, 33]])
    closed = np.concatenate([corners, corners[:1]])
    ends = np.append(0, np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1)))
    count = 200_000
    time = (np.arange(count) + 0.5) * ends[-1] / count
    fine = np.stack([np.interp(time, ends, axis) for axis in closed.T], axis=1)
    for order in (1, 2, 7):
        phase = 2 * np.pi * order * time / ends[-1]
        expected = 2 / count * fine.T @ np.stack([np.cos(phase), np.sin(phase)], axis=1)
        np.testing.assert_allclose(fourier.coefficients(corners, order), expected, atol=1e-6)
    *_, last = fourier.decode(corners)
    places = np.arange(len(last)) * ends[-1] / len(last)
    polygon = np.stack([np.interp(places, ends, axis) for axis in closed.T], axis=1)
    assert np.abs(last - polygon).max() < 0.2


def test_the_longest_external_contour_counts():
    mask = star(1, depth=0, radius=30)
    mask[128, 128] = 0  # A hole.
    mask[2:4, 2:4] = 1  # Another component.
    assert fourier.fit(mask, patient=True).order == 1
    assert len(fourier.longest_contour(mask)) > 100


@pytest.mark.parametrize("patient", [False, True])
def test_single_pixels_lines_and_full_images(patient):
    point = np.zeros((9, 9), bool)
    point[4, 4] = True
    assert fourier.fit(point, patient) == fourier.FourierFit(1, 1.0, "point")
    line = np.zeros((9, 40), bool)
    line[4] = True
    for mask in (line, np.ones((50, 60), bool)):
        fit = fourier.fit(mask, patient)
        assert 1 <= fit.order <= fourier.CAP and 0 < fit.dice <= 1


def test_an_empty_mask_is_an_error():
    with pytest.raises(ValueError, match="an empty one"):
        fourier.fit(np.zeros((4, 4), bool), patient=True)
