import dataclasses
import os
import typing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from samjax.data.boxes import tight_box
from samjax.data.files import read_image
from samjax.data.inputs import (
    Preprocessing,
    Resize,
    place,
    prepare_image,
    prepare_mask,
    to_three_channels,
)

SHARED = Path(__file__).resolve().parents[3] / "shared"
FIXTURES = Path(os.environ.get("SAMJAX_FIXTURES", SHARED / "fixtures/sam_med2d_tiny"))
REFERENCE = Preprocessing("pad_or_stretch", "nearest", "bgr")

sides = st.integers(1, 90)
sizes = st.sampled_from([16, 32, 64])
resizes = st.sampled_from(typing.get_args(Resize))


@given(sides, sides, sizes, resizes)
def test_a_placement_lies_inside_the_square(height, width, size, resize):
    at = place(height, width, size, resize)
    assert 0 <= at.top <= at.top + at.inner_height <= size
    assert 0 <= at.left <= at.left + at.inner_width <= size
    assert min(at.inner_height, at.inner_width) >= 1
    np.testing.assert_array_equal(at.as_array(), dataclasses.astuple(at))


@given(sides, sides, sizes, resizes, st.lists(st.floats(0, 1), min_size=2, max_size=2))
def test_coordinates_go_to_the_input_and_back(height, width, size, resize, fraction):
    at = place(height, width, size, resize)
    original = np.array(fraction) * (width, height)
    inside = at.to_input(original)
    assert (inside >= np.array([at.left, at.top]) - 1e-3).all()
    assert (inside <= np.array([at.left + at.inner_width, at.top + at.inner_height]) + 1e-3).all()
    np.testing.assert_allclose(at.to_original(inside), original, atol=1e-3)


@given(sides, sides, sizes)
def test_each_kind_of_resizing_places_the_image(height, width, size):
    stretched = place(height, width, size, "stretch")
    assert (stretched.inner_height, stretched.inner_width) == (size, size)

    at = place(height, width, size, "pad_or_stretch")
    if max(height, width) < size:
        assert (at.inner_height, at.inner_width) == (height, width)
        below, right = size - at.top - height, size - at.left - width
        assert 0 <= below - at.top <= 1
        assert 0 <= right - at.left <= 1
    else:
        assert at == stretched

    longest = place(height, width, size, "longest_side")
    assert max(longest.inner_height, longest.inner_width) == size
    assert (longest.top, longest.left) == (0, 0)
    scale = size / max(height, width)
    assert abs(longest.inner_height - height * scale) <= 1
    assert abs(longest.inner_width - width * scale) <= 1


@given(sides, sides, sizes, resizes)
def test_the_padding_is_zero_as_is_the_mean(height, width, size, resize):
    config = Preprocessing(resize=resize, mean=(10, 20, 30), std=(1, 1, 1))
    grey = np.full((height, width, 3), (10, 20, 30), np.uint8)
    prepared, at = prepare_image(grey, size, config)
    inside = prepared[at.top :, at.left :][: at.inner_height, : at.inner_width]
    # Interpolation of equal values is off by a rounding or two; padding is exact.
    np.testing.assert_allclose(inside, 0, atol=2e-5)
    inside[:] = 0
    assert not prepared.any()

    bright, at = prepare_image(np.full((height, width), 255, np.uint8), size, config)
    inner = bright[at.top : at.top + at.inner_height, at.left : at.left + at.inner_width]
    assert inner.min() > 0
    assert np.count_nonzero(bright) == inner.size


@given(st.data(), sizes, resizes)
def test_a_mask_and_its_box_travel_together(data, size, resize):
    height, width = data.draw(st.integers(20, 90)), data.draw(st.integers(20, 90))
    x0, y0 = data.draw(st.integers(0, width - 8)), data.draw(st.integers(0, height - 8))
    x1, y1 = data.draw(st.integers(x0 + 8, width)), data.draw(st.integers(y0 + 8, height))
    mask = np.zeros((height, width), np.uint8)
    mask[y0:y1, x0:x1] = 1
    at = place(height, width, size, resize)
    fitted = prepare_mask(mask, size, at)
    assert fitted.shape == (size, size)
    assert set(np.unique(fitted)) <= {0, 1}
    mapped = at.to_input(np.array([[x0, y0], [x1, y1]])).ravel()
    np.testing.assert_allclose(tight_box(fitted), mapped, atol=1.0)


@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0.01, 0.6))
def test_the_tight_box_is_that_of_the_first_of_the_largest_components(seed, share):
    rng = np.random.default_rng(seed)
    mask = (rng.random((23, 31)) < share).astype(np.uint8)
    mask[rng.integers(23), rng.integers(31)] = 1
    found, count = ndimage.label(mask, np.ones((3, 3)))
    largest = 1 + np.bincount(found.ravel(), minlength=count + 1)[1:].argmax()
    rows, columns = np.nonzero(found == largest)
    expected = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    np.testing.assert_array_equal(tight_box(mask), expected)


def test_channel_order_swaps_colours_and_leaves_grey_alone():
    colour = np.arange(4 * 5 * 4, dtype=np.uint8).reshape(4, 5, 4)
    np.testing.assert_array_equal(to_three_channels(colour, "rgb", "rgb"), colour[..., :3])
    np.testing.assert_array_equal(to_three_channels(colour, "bgr", "rgb"), colour[..., 2::-1])
    for grey in (colour[..., 0], colour[..., :1]):
        result = to_three_channels(grey, "bgr", "rgb")
        assert result.shape == (4, 5, 3)
        assert (result == colour[..., :1]).all()


def test_normalisation_is_that_of_the_channel_order():
    image = np.zeros((64, 64, 3), np.uint8)
    image[..., 0] = 255  # Red.
    for order, channel in (("rgb", 0), ("bgr", 2)):
        config = Preprocessing(channel_order=order)
        prepared, _ = prepare_image(image, 64, config, "rgb")
        assert prepared.dtype == np.float32
        expected = (255 - config.mean[channel]) / config.std[channel]
        np.testing.assert_allclose(prepared[..., channel], expected, rtol=1e-6)


@pytest.mark.parametrize("shape", [(4,), (4, 5, 2), (4, 5, 3, 1), (0, 5)])
def test_arrays_of_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"image: expected shape .* found"):
        prepare_image(np.zeros(shape, np.uint8), 16, Preprocessing())


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"mask: expected the image's shape \(8, 9\), found"):
        prepare_mask(np.zeros((9, 8), np.uint8), 16, place(8, 9, 16, "stretch"))


@given(st.integers(0, 255), st.integers(0, 255), sizes)
def test_min_max_fills_the_range_from_0_to_1(one, other, size):
    config = Preprocessing("longest_side", "area", normalise="min_max")
    image = np.full((40, 30, 3), one, np.uint8)
    image[20:] = other
    found, at = prepare_image(image, size, config)
    inner = found[: at.inner_height, : at.inner_width]
    assert found.dtype == np.float32
    assert (inner.min(), inner.max()) == ((0, 1) if one != other else (0, 0))
    assert not found[:, at.inner_width :].any()


@pytest.mark.parametrize("interpolation", ["antialias", "area"])
@pytest.mark.parametrize("size", [24, 96])
def test_published_resizing_gives_whole_values(interpolation, size):
    """Both ways, smaller and larger; an area's mean is that of all its pixels."""
    image = np.random.default_rng(0).integers(0, 256, (48, 36, 3), dtype=np.uint8)
    config = Preprocessing("longest_side", interpolation, mean=(0, 0, 0), std=(1, 1, 1))
    found, at = prepare_image(image, size, config)
    inner = found[: at.inner_height, : at.inner_width]
    np.testing.assert_array_equal(inner, np.round(inner))
    assert abs(inner.mean() - image.mean()) < 1
    if interpolation == "area" and size == 24:
        means = image.reshape(24, 2, 18, 2, 3).mean(axis=(1, 3))
        assert abs(inner - means).max() <= 0.5


@given(sides, sides, sizes)
def test_uniform_coordinates_take_one_factor(height, width, size):
    image = np.zeros((height, width), np.uint8)
    config = Preprocessing("longest_side", coordinates="uniform")
    _, at = prepare_image(image, size, config)
    corner = np.array([width, height], np.float32)
    np.testing.assert_allclose(at.to_input(corner), corner * size / max(height, width), rtol=1e-6)
    np.testing.assert_allclose(at.to_original(at.to_input(corner)), corner, rtol=1e-6)


@pytest.mark.parity
def test_real_images_equal_the_published_loader():
    names = {"amos_0006_90.png": "amos_0006--z_0090", "s0114_111.png": "s0114--z_0111"}
    folder = SHARED / "data/samed2d_mini/images"
    if not (FIXTURES / "forward.npz").exists() or not folder.exists():
        pytest.skip("needs the fixtures (SAMJAX_FIXTURES) and ../shared/data/samed2d_mini")
    fixture = np.load(FIXTURES / "forward.npz")
    for expected, name in zip(fixture["image"], names.values(), strict=True):
        pixels, order = read_image(folder / f"ct_00--SAMMed2D_demo--{name}.png")
        found, _ = prepare_image(pixels, 256, REFERENCE, order)
        np.testing.assert_allclose(found.transpose(2, 0, 1), expected, atol=1e-6)


@pytest.mark.parity
def test_tight_boxes_are_those_of_the_published_code_before_its_jitter():
    if not (FIXTURES / "forward.npz").exists():
        pytest.skip("needs the fixtures (SAMJAX_FIXTURES)")
    fixture = np.load(FIXTURES / "forward.npz")
    for mask, jittered in zip(fixture["label"][:, 0], fixture["boxes"][:, 0], strict=True):
        shift = jittered - tight_box(mask)
        np.testing.assert_array_equal(shift[:2], shift[2:])
        assert np.abs(shift).max() <= 5
