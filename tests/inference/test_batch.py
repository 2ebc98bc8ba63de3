"""Ragged batches equal one object at a time, with few compiled functions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samjax import masks, models, types
from samjax.data import inputs
from samjax.inference import ObjectPrompt, batch, object_prompt, segment

CLICK = dict(points=[[10, 12]], labels=[1])
BOX = dict(box=[5, 6, 30, 40])


def several_points(count, seed=0):
    rng = np.random.default_rng(seed)
    return dict(points=rng.uniform(0, 40, (count, 2)), labels=rng.integers(0, 2, count))


@pytest.fixture
def ragged(photo):
    """Images smaller and larger than the input, wide, grey; none to four objects each."""
    images = [photo(50, 41, 3), photo(100, 70), photo(60, 300, 3), photo(45, 45, 1), photo(64, 64)]
    side = 32
    mask = np.random.default_rng(1).normal(0, 4, (side, side))
    prompts = [
        [ObjectPrompt(**CLICK), ObjectPrompt(**BOX), ObjectPrompt(**CLICK, **BOX)],
        [ObjectPrompt(**several_points(13))],
        [ObjectPrompt(mask=mask), ObjectPrompt(**CLICK, mask=mask), ObjectPrompt(**BOX, mask=mask)],
        [],
        [ObjectPrompt(**several_points(3, seed)) for seed in range(4)],
    ]
    return images, prompts


@pytest.mark.heavy
def test_ragged_batch_equals_one_at_a_time(model, ragged):
    images, prompts = ragged
    together = segment(model, images, prompts, return_logits=True)
    for image, wanted, result in zip(images, prompts, together, strict=True):
        assert result.masks.shape == (len(wanted), 3, *image.shape[:2])
        assert result.low_res.shape == (len(wanted), 3, 32, 32)
        for index, prompt in enumerate(wanted):
            (alone,) = segment(model, [image], [[prompt]], return_logits=True)
            for name in ("masks", "scores", "low_res"):
                expected, found = getattr(alone, name)[0], getattr(result, name)[index]
                np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.heavy
def test_padding_adds_nothing(model, photo):
    """The padded way equals the bare network on prompts of exactly the right size."""
    image = photo(50, 41, 3)
    prompt = ObjectPrompt(**several_points(3), **BOX)
    (result,) = segment(model, [image], [[prompt]], return_logits=True)
    prepared, place = inputs.prepare_image(image, 64, model.preprocessing)
    bare = types.Prompts(
        points=jnp.asarray(place.to_input(prompt.points))[None, None],
        labels=jnp.asarray(prompt.labels)[None, None],
        boxes=jnp.asarray(place.to_input(prompt.box.reshape(2, 2)).reshape(1, 1, 4)),
        has_box=jnp.ones((1, 1), bool),
        mask=jnp.zeros((1, 1, 32, 32)),
        has_mask=jnp.zeros((1, 1), bool),
    )
    config, params = model.config, model.params
    encode = jax.jit(models.encode_image, static_argnums=0)
    embedding = encode(config, params, jnp.asarray(prepared)[None])
    predict = jax.jit(models.predict_masks, static_argnums=0)
    logits, iou = predict(config, params, embedding, bare)
    np.testing.assert_allclose(result.low_res, logits[0], atol=1e-5)
    np.testing.assert_allclose(result.scores, iou[0], atol=1e-5)
    full = np.asarray(masks.upsample(logits[0], 64))
    cropped = full[..., place.top : place.top + 50, place.left : place.left + 41]
    np.testing.assert_allclose(result.masks, cropped, atol=1e-5)


def test_masks_are_thresholded_logits(model, photo):
    prompts = [[ObjectPrompt(**BOX)]]
    (logits,) = segment(model, [photo(90, 120)], prompts, return_logits=True)
    (result,) = segment(model, [photo(90, 120)], prompts)
    assert logits.masks.dtype == np.float32 and result.masks.dtype == bool
    np.testing.assert_array_equal(result.masks, logits.masks > 0)
    assert result.masks.any() and not result.masks.all()
    np.testing.assert_array_equal(result.best, result.scores.argmax(1))


@pytest.mark.heavy
def test_one_compilation_per_size_class(model, photo):
    image = photo(80, 70, 3)
    prompts = [
        ObjectPrompt(**CLICK),
        ObjectPrompt(**BOX),
        ObjectPrompt(**several_points(8)),
        ObjectPrompt(**CLICK, **BOX, mask=np.zeros((32, 32))),
        ObjectPrompt(mask=np.ones((32, 32))),
    ]
    functions = (batch.encode, batch.decode, batch.restore)
    for function in functions:
        function.clear_cache()

    def compiled():
        return [function._cache_size() for function in functions]

    for prompt in prompts:
        segment(model, [image], [[prompt]])
    segment(model, [photo(200, 256)], [[prompts[0]]])  # Another size, the same canvas.
    assert compiled() == [1, 1, 1]
    segment(model, [image], [prompts[:3]])  # Three objects take the room of four.
    segment(model, [image], [prompts[:4]])
    assert compiled() == [1, 2, 2]
    segment(model, [image], [[ObjectPrompt(**several_points(9))]])  # Past the first bucket.
    segment(model, [image], [[ObjectPrompt(**several_points(16))]])
    assert compiled() == [1, 3, 2]


@pytest.mark.heavy
def test_many_objects_in_turn(model, photo, monkeypatch):
    image = photo(80, 70)
    prompts = [ObjectPrompt(**several_points(1, seed)) for seed in range(11)]
    (whole,) = segment(model, [image], [prompts], return_logits=True)
    monkeypatch.setattr(batch, "MAX_OBJECTS", 4)
    monkeypatch.setattr(batch, "MAX_PIXELS", 7 * 256**2)  # Two objects of three masks.
    (parts,) = segment(model, [image], [prompts], return_logits=True)
    for name in ("masks", "scores", "low_res"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), atol=1e-5)


def test_adapters_and_channel_order(model, photo):
    image, prompts = photo(80, 70, 3), [[ObjectPrompt(**BOX)]]
    (rgb,) = segment(model, [image], prompts)
    (bgr,) = segment(model, [image[..., ::-1]], prompts, image_format="BGR")
    np.testing.assert_array_equal(rgb.low_res, bgr.low_res)
    (swapped,) = segment(model, [image], prompts, image_format="BGR")
    (dropped,) = segment(model, [image], prompts, adapters=False)
    assert np.abs(swapped.low_res - rgb.low_res).max() > 1e-3
    assert np.abs(dropped.low_res - rgb.low_res).max() > 1e-3


@pytest.mark.parametrize(
    ("images", "prompts", "message"),
    [
        ([(9, 9)], [], r"one list of objects for each of 1 images, found 0"),
        ([], [], r"images: expected at least one"),
        ([(9, 9), (9, 9, 2)], [[], []], r"image 1: image: expected shape .*found \(9, 9, 2\)"),
        ([(9, 9), (9, 9)], [[], [dict(box=[20, 2, 30, 4])]], r"image 1, object 0: box: .* width 9"),
        ([(9, 9)], [[dict(mask=np.zeros((8, 8)))]], r"mask: expected .*\(32, 32\), found \(8, 8\)"),
    ],
)
def test_refuses(model, photo, images, prompts, message):
    prompts = [[ObjectPrompt(**fields) for fields in row] for row in prompts]
    with pytest.raises(ValueError, match=message):
        segment(model, [photo(*shape) for shape in images], prompts)


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ([ObjectPrompt(**BOX)], r"one list of objects for each of 1 images, found ObjectPrompt at"),
        ([[[1, 2, 3, 4]]], r"image 0, object 0: expected an ObjectPrompt, as in .*\[1, 2, 3, 4\]"),
        ([np.array([[1, 2, 3, 4]])], r"for each of 1 images, found ndarray at 0"),
        ([None], r"for each of 1 images, found NoneType at 0"),
        (None, r"for each of 1 images, found a NoneType"),
        ([[None]], r"image 0, object 0: expected an ObjectPrompt, .* found None"),
        (ObjectPrompt(**BOX), r"for each of 1 images, found a ObjectPrompt"),
    ],
)
def test_refuses_other_types_than_lists_of_prompts(unchecked, model, photo, prompts, message):
    with pytest.raises(ValueError, match=message):
        segment(model, [photo(9, 9)], prompts)


@pytest.mark.parametrize("images", [None, "scan.png", np.zeros((9, 9, 3), np.uint8)])
def test_refuses_other_types_than_lists_of_images(unchecked, model, images):
    with pytest.raises(ValueError, match="images: expected a list of images, found"):
        segment(model, images, [[]])


def test_coordinates_from_0_to_1_warn(model, photo, caplog):
    segment(model, [photo(80, 70)], [[ObjectPrompt(box=[0.1, 0.2, 0.5, 1])] * 2])
    assert "object 0: all coordinates lie between 0 and 1; they are taken as" in caplog.text
    assert "(as of 1 more)" in caplog.text
    caplog.clear()
    segment(model, [photo(80, 70)], [[ObjectPrompt(**BOX)]])
    assert not caplog.text


def test_an_object_without_any_point_warns(model, photo, caplog):
    nothing = ObjectPrompt(points=[[0, 0]], labels=[-1])
    (result,) = segment(model, [photo(80, 70)], [[ObjectPrompt(**CLICK), nothing]])
    assert "object 1: only points of label -1 (not a point)" in caplog.text
    assert result.masks.shape == (2, 3, 80, 70)


def test_label_minus_one_acts_as_in_sam(model, photo):
    """SAM's padding point takes part in attention, wherever it is; ours does not."""
    image, click = photo(80, 70), ObjectPrompt(**CLICK)
    one, other = (
        ObjectPrompt(points=[[10, 12], place], labels=[1, -1]) for place in ([0, 0], [50, 60])
    )
    (result,) = segment(model, [image], [[click, one, other]])
    np.testing.assert_array_equal(result.low_res[1], result.low_res[2])
    assert np.abs(result.low_res[0] - result.low_res[1]).max() > 1e-4


def test_refuses_images_that_are_not_eight_bits(model, photo):
    with pytest.raises(ValueError, match=r"uint8 .* found float64 from 0 to 1; scale"):
        segment(model, [np.eye(9)], [[]])
    with pytest.raises(ValueError, match=r"image_format: expected one of .* found 'rgb'"):
        segment(model, [photo(9, 9)], [[]], image_format="rgb")


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=1, max_size=9))
def test_packing_keeps_every_prompt(shapes):
    shapes = [(count, box or count == 0) for count, box in shapes]
    prompts = [
        ObjectPrompt(
            **(several_points(count, seed) if count else {}),
            box=[seed, 1, seed + 5, 9] if box else None,
        )
        for seed, (count, box) in enumerate(shapes)
    ]
    place = inputs.place(30, 40, 64, "pad_or_stretch")
    packed = jax.device_get(object_prompt.pack_prompts(prompts, [place] * len(prompts), 32))
    rows, room = packed.labels.shape[0], packed.labels.shape[2]
    assert rows & (rows - 1) == 0 and rows >= len(prompts)
    assert room & (room - 1) == 0 and room >= object_prompt.MIN_POINTS
    for row, prompt in enumerate(prompts):
        present = packed.labels[row, 0] != types.PADDING
        found = place.to_original(packed.points[row, 0][present])
        given = np.zeros((0, 2)) if prompt.points is None else prompt.points
        np.testing.assert_allclose(found, given, atol=1e-4)
        assert packed.has_box[row, 0] == (prompt.box is not None)
    assert (packed.labels[len(prompts) :] == types.PADDING).all()
    assert not packed.has_box[len(prompts) :].any() and not packed.has_mask.any()
