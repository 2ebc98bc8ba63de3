import itertools
import typing

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samjax import masks
from samjax.data.inputs import Resize, place

LOGITS = np.random.default_rng(0).normal(size=(1, 2, 16, 16)).astype(np.float32)
SIZE, CANVAS = 64, 320
restore = jax.jit(masks.restore_logits, static_argnums=(2, 3))


def restored(height, width, resize):
    placement = place(height, width, SIZE, resize)
    result = restore(LOGITS, placement.as_array()[None], SIZE, (CANVAS, CANVAS))[0]
    return placement, np.asarray(result)


@pytest.mark.parametrize("resize", typing.get_args(Resize))
@pytest.mark.parametrize("shape", [(40, 50), (64, 64), (63, 200), (300, 280), (7, 311), (20, 64)])
def test_restoring_is_what_torch_does(shape, resize):
    torch = pytest.importorskip("torch")
    placement, result = restored(*shape, resize)
    options = {"mode": "bilinear", "align_corners": False}
    full = torch.nn.functional.interpolate(torch.tensor(LOGITS), (SIZE, SIZE), **options)
    rows = slice(placement.top, placement.top + placement.inner_height)
    columns = slice(placement.left, placement.left + placement.inner_width)
    inner = full[..., rows, columns]
    expected = torch.nn.functional.interpolate(inner, shape, **options)[0].numpy()
    np.testing.assert_allclose(result[:, : shape[0], : shape[1]], expected, atol=2e-5)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, CANVAS), st.integers(1, CANVAS), st.sampled_from(typing.get_args(Resize)))
def test_restoring_is_what_opencv_does_and_zero_beyond_the_image(height, width, resize):
    at, result = restored(height, width, resize)
    for logits, found in zip(LOGITS[0], result, strict=True):
        full = cv2.resize(logits, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
        inner = full[at.top : at.top + at.inner_height, at.left : at.left + at.inner_width]
        expected = cv2.resize(inner, (width, height), interpolation=cv2.INTER_LINEAR)
        np.testing.assert_allclose(found[:height, :width], expected, atol=1e-3)
    assert not result[:, height:].any()
    assert not result[:, :, width:].any()


def test_a_padded_image_is_cropped_out_untouched():
    at, result = restored(30, 45, "pad_or_stretch")
    full = masks.upsample(jnp.asarray(LOGITS), SIZE)[0]
    crop = full[:, at.top : at.top + 30, at.left : at.left + 45]
    np.testing.assert_allclose(result[:, :30, :45], crop, atol=1e-6)


def test_images_of_all_sizes_share_one_compiled_function():
    before = None
    for shape in ((3, 300), (64, 64), (200, 100)):
        restored(*shape, "stretch")
        before = before or restore._cache_size()
    assert restore._cache_size() == before


def test_a_canvas_holds_the_image_follows_its_area_and_has_few_sizes():
    sides = [*range(1, 1100, 7), *range(1100, 8000, 101), 20_000, 40_000]
    canvases = set()
    for height, width in itertools.product(sides, sides):
        rows, columns = canvas = masks.canvas_size(height, width)
        assert rows >= height and columns >= width
        assert canvas == masks.canvas_size(width, height)[::-1]
        if max(height, width) > 1024:
            assert rows * columns <= max(4 * height * width, 256 * max(canvas))
        if max(height, width) < 8000:
            canvases.add(canvas)
    assert len(canvases) < 80
    assert masks.canvas_size(500, 300) == (512, 512)
    assert masks.canvas_size(16, 20_000) == (256, 20_480)


@pytest.mark.parametrize("canvas", [(320, 320), (64, 320), (300, 512)])
def test_a_strip_s_canvas_changes_no_digit(canvas):
    placement = place(60, 290, SIZE, "longest_side").as_array()[None]
    expected = restore(LOGITS, placement, SIZE, (320, 320))[0, :, :60, :290]
    found = restore(LOGITS, placement, SIZE, canvas)[0]
    assert found.shape == (2, *canvas)
    np.testing.assert_array_equal(found[:, :60, :290], expected)


def test_select_picks_per_object():
    values = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    index = np.array([[0, 3, 1], [2, 2, 0]])
    picked = masks.select(jnp.asarray(values), jnp.asarray(index))
    for b in range(2):
        for k in range(3):
            np.testing.assert_array_equal(picked[b, k], values[b, k, index[b, k]])


def test_mask_prompt_is_logits_or_their_sigmoid():
    logits = jnp.array([[-200.0, 0.0], [2.0, 0.0]])
    assert masks.mask_prompt(logits, "logits") is logits
    sigmoid = [[0, 0.5], [0.880797, 0.5]]
    np.testing.assert_allclose(masks.mask_prompt(logits, "sigmoid"), sigmoid, rtol=1e-5)
