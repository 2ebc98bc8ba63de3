"""The contract of SAM's own predictor."""

import dataclasses
import typing

import jax.numpy as jnp
import numpy as np
import pytest

import samjax
from samjax import masks
from samjax.data import inputs
from samjax.inference import Predictor, batch
from samjax.inference.predictor import _dtype_name
from samjax.models import directory as storage

BOXES = np.array([[5, 6, 30, 40], [20, 2, 60, 50], [0, 0, 70, 80]])
POINTS, LABELS = np.array([[10, 12], [40, 50]]), np.array([1, 0])


@pytest.fixture(scope="module")
def predictor(model):
    return Predictor(model)


@pytest.fixture
def ready(predictor, photo):
    predictor.set_image(photo(80, 70, 3))
    return predictor


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.heavy
def test_by_default_the_masks_are_those_that_were_trained(model, photo, trained):
    expected = dataclasses.replace(model.preprocessing, multimask=trained)
    predictor = samjax.Predictor(dataclasses.replace(model, preprocessing=expected))
    predictor.set_image(photo(40, 50))
    box = [5, 5, 30, 30]
    found = predictor.predict(box=box)
    assert len(found[1]) == (3 if trained else 1)
    same = predictor.predict(box=box, multimask_output=trained)
    for one, other in zip(found, same, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(predictor.predict(box=box, multimask_output=not trained)[1]) == (1 if trained else 3)


@pytest.mark.parametrize(("multimask", "count"), [(True, 3), (False, 1)])
@pytest.mark.parametrize(
    "prompts",
    [
        dict(point_coords=POINTS, point_labels=LABELS),
        dict(box=BOXES[0]),
        dict(point_coords=POINTS, point_labels=LABELS, box=BOXES[0]),
        dict(mask_input=np.ones((1, 32, 32))),
    ],
)
def test_shapes_of_one_object(ready, prompts, multimask, count):
    found, scores, low_res = ready.predict(**prompts, multimask_output=multimask)
    assert found.shape == (count, 80, 70) and found.dtype == bool
    assert scores.shape == (count,) and low_res.shape == (count, 32, 32)
    logits, _, _ = ready.predict(**prompts, multimask_output=multimask, return_logits=True)
    assert logits.dtype == np.float32
    np.testing.assert_array_equal(found, logits > ready.mask_threshold)


@pytest.mark.parametrize(
    "prompts",
    [dict(box=BOXES[0]), pytest.param(dict(box=BOXES), marks=pytest.mark.heavy)],
    ids=["one", "several"],
)
def test_best_is_the_mask_of_the_highest_score(ready, prompts):
    three = ready.predict(**prompts, return_logits=True)
    one = ready.predict(**prompts, return_logits=True, best=True)
    best = three[1].argmax(axis=-1)[..., None]
    for all_three, found in zip(three, one, strict=True):
        index = np.expand_dims(best, tuple(range(best.ndim, all_three.ndim)))
        expected = np.take_along_axis(all_three, index, axis=best.ndim - 1)
        np.testing.assert_allclose(found, expected, atol=1e-5)
    single = ready.predict(**prompts, multimask_output=False)
    for expected, found in zip(
        single, ready.predict(**prompts, multimask_output=False, best=True), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_one_compilation_serves_every_prompt(ready):
    compiled = (batch.decode, batch.restore)
    ready.predict(box=BOXES[0])
    before = [function._cache_size() for function in compiled]
    _, _, low_res = ready.predict(POINTS, LABELS)
    for count in (1, 2, 3, 5, 8):
        points, labels = np.resize(POINTS, (count, 2)), np.resize(LABELS, count)
        ready.predict(points, labels)
        ready.predict(points, labels, box=BOXES[1])
        ready.predict(points, labels, mask_input=low_res[:1])
    ready.predict(mask_input=low_res[1:2])
    assert [function._cache_size() for function in compiled] == before


def test_several_objects_equal_one_by_one(ready):
    points = np.stack([POINTS, POINTS + 3, POINTS + 7])
    labels = np.stack([LABELS, 1 - LABELS, LABELS])
    logits = np.random.default_rng(0).normal(size=(3, 1, 32, 32))
    prompts = dict(point_coords=points, point_labels=labels, box=BOXES, mask_input=logits)
    found, scores, low_res = ready.predict(**prompts)
    assert found.shape == (3, 3, 80, 70) and scores.shape == (3, 3)
    assert low_res.shape == (3, 3, 32, 32)
    for index in range(3):
        alone = ready.predict(**{name: array[index] for name, array in prompts.items()})
        np.testing.assert_array_equal(found[index], alone[0])
        np.testing.assert_allclose(scores[index], alone[1], atol=1e-5)
        np.testing.assert_allclose(low_res[index], alone[2], atol=1e-5)


def test_an_axis_of_objects_stays(ready):
    found, scores, _ = ready.predict(box=BOXES[:1])
    assert found.shape == (1, 3, 80, 70) and scores.shape == (1, 3)
    assert ready.predict(box=np.zeros((0, 4)))[0].shape == (0, 3, 80, 70)


@pytest.mark.parametrize("shape", [(30, 40), (63, 20), (64, 64), (90, 200), (300, 65), (1, 1)])
@pytest.mark.parametrize("resize", typing.get_args(inputs.Resize))
def test_any_image_size(model, photo, shape, resize):
    fitted = dataclasses.replace(model, preprocessing=inputs.Preprocessing(resize=resize))
    predictor = Predictor(fitted)
    predictor.set_image(photo(*shape))
    assert predictor.original_size == shape
    assert max(predictor.input_size) <= 64
    assert predictor.predict(box=[0, 0, shape[1], shape[0]])[0].shape == (3, *shape)


def test_feedback_is_always_logits(model, expecting_logits, photo):
    """What the network is given follows its own config; the caller passes logits either way."""
    image = photo(80, 70)
    low_res = np.random.default_rng(0).normal(0, 5, (1, 32, 32)).astype(np.float32)
    results = {}
    for one in (model, expecting_logits):
        predictor = Predictor(one)
        predictor.set_image(image)
        results[one.preprocessing.mask_prompt] = predictor.predict(mask_input=low_res)[2]
        if one.preprocessing.mask_prompt == "logits":
            given = np.asarray(masks.mask_prompt(jnp.asarray(low_res), "sigmoid"))
            by_hand = predictor.predict(mask_input=given)[2]
    np.testing.assert_allclose(results["sigmoid"], by_hand, atol=1e-5)
    assert np.abs(results["sigmoid"] - results["logits"]).max() > 1e-3


def test_refinement(ready):
    """Points, then the best mask of the call before with one more point."""
    _, scores, low_res = ready.predict(POINTS[:1], LABELS[:1])
    again = low_res[scores.argmax()][None]
    refined = ready.predict(POINTS, LABELS, mask_input=again, multimask_output=False)
    plain = ready.predict(POINTS, LABELS, multimask_output=False)
    assert np.abs(refined[2] - plain[2]).max() > 1e-3


def test_never_compiles_again(ready):
    ready.predict(box=BOXES[0])
    before = batch.decode._cache_size(), batch.restore._cache_size()
    ready.predict(POINTS, LABELS)
    ready.predict(POINTS[:1], LABELS[:1], BOXES[1], np.zeros((1, 32, 32)))
    assert (batch.decode._cache_size(), batch.restore._cache_size()) == before


def test_image_formats(predictor, photo):
    grey, color = photo(50, 60), photo(50, 60, 3)
    features = []
    for image, order in [(color, "RGB"), (color[..., ::-1], "BGR"), (grey, "RGB"), (grey, "BGR")]:
        predictor.set_image(image, order)
        features.append(predictor.get_image_embedding())
    np.testing.assert_array_equal(features[0], features[1])
    np.testing.assert_array_equal(features[2], features[3])
    predictor.set_image(np.repeat(grey[..., None], 3, axis=2))
    np.testing.assert_array_equal(features[2], predictor.get_image_embedding())


def test_points_for_a_network_trained_on_boxes_alone_warn_once(model, photo, caplog):
    boxes = dataclasses.replace(model.preprocessing, point_prompts=False)
    predictor = Predictor(dataclasses.replace(model, preprocessing=boxes))
    predictor.set_image(photo(80, 70))
    predictor.predict(box=BOXES[0])
    assert not caplog.text
    for _ in range(2):
        predictor.predict(POINTS, LABELS)
    assert caplog.text.count("this model knows boxes alone") == 1


def test_state(model, photo):
    predictor = Predictor(model)
    assert not predictor.is_image_set
    for use in (
        lambda: predictor.predict(box=BOXES[0]),
        lambda: predictor.predict_batch([]),
        lambda: predictor.features,
        lambda: predictor.original_size,
        lambda: predictor.input_size,
        predictor.get_image_embedding,
    ):
        with pytest.raises(RuntimeError, match="call set_image first"):
            use()
    predictor.set_image(photo(30, 100))
    assert predictor.is_image_set and predictor.mask_threshold == 0.0
    assert predictor.original_size == (30, 100) and predictor.input_size == (64, 64)
    assert predictor.features.shape == (1, 8, 8, 32)
    assert predictor.get_image_embedding().shape == (1, 32, 8, 8)
    with pytest.raises(ValueError, match="uint8"):
        predictor.set_image(np.zeros((9, 9), np.float32))
    assert not predictor.is_image_set, "an image that was refused must not leave the last one"
    predictor.set_image(photo(30, 100))
    predictor.reset_image()
    assert not predictor.is_image_set


def test_batch_of_images(predictor, photo):
    images = [photo(40, 50, 3), photo(90, 30, 3), photo(64, 64, 3)]
    prompts = [[samjax.ObjectPrompt(box=[2, 3, 20, 25])] * count for count in (1, 2, 0)]
    predictor.set_image_batch(images)
    assert predictor.features.shape[0] == 3
    results = predictor.predict_batch(prompts, multimask_output=False)
    assert [r.masks.shape for r in results] == [(1, 1, 40, 50), (2, 1, 90, 30), (0, 1, 64, 64)]
    with pytest.raises(RuntimeError, match="several images are set"):
        predictor.predict(box=BOXES[0])
    with pytest.raises(ValueError, match="for each of 3 images, found 2"):
        predictor.predict_batch(prompts[:2])


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ({}, r"expected a point, a box or a mask, found none"),
        (dict(point_coords=POINTS), r"found no labels"),
        (dict(point_labels=LABELS), r"found no points"),
        (dict(point_coords=POINTS, point_labels=[1]), r"labels: expected shape \(2,\)"),
        (dict(point_coords=[1, 2], point_labels=[1]), r"point_coords: .*\(N, 2\) or \(K, N, 2\)"),
        (dict(box=BOXES.reshape(3, 2, 2)), r"box: .*\(4,\) or \(K, 4\), found \(3, 2, 2\)"),
        (dict(box=[1, [2], 3]), r"box: expected numbers of shape \(4,\) or \(K, 4\), found \[1, "),
        (dict(point_coords=[[1, 2], [3]], point_labels=[1, 1]), r"point_coords: expected numbers"),
        (dict(box=[1, 2]), r"box: expected shape \(4,\), found \(2,\)"),
        (dict(mask_input=np.zeros((32, 32))), r"mask_input: .*\(1, m, m\) or \(K, 1, m, m\)"),
        (dict(mask_input=np.zeros((3, 32, 32))), r"mask_input: .*choose one of low_res"),
        (dict(mask_input=np.zeros((1, 16, 16))), r"mask: .*\(32, 32\), found \(16, 16\)"),
        (dict(point_coords=POINTS, point_labels=LABELS, box=BOXES), r"all for K, found point_coo"),
        (dict(box=BOXES, mask_input=np.zeros((2, 1, 32, 32))), r"all for K, found box \(3, 4\)"),
        (dict(point_coords=[[71, 2]], point_labels=[1]), r"outside of an image of width 70"),
    ],
)
def test_refuses(ready, prompts, message):
    with pytest.raises(ValueError, match=message):
        ready.predict(**prompts)


def test_from_pretrained(model, photo, tmp_path):
    storage.save(tmp_path / "model", model)
    image, box = photo(80, 70, 3), BOXES[0]
    expected = Predictor(model)
    expected.set_image(image)
    results = {}
    for name, options in {
        "plain": {},
        "dropped": dict(adapters=False),
        "half": dict(dtype="bfloat16"),
    }.items():
        predictor = samjax.Predictor.from_pretrained(tmp_path / "model", **options)
        predictor.set_image(image)
        results[name] = predictor.predict(box=box)[2]
    np.testing.assert_array_equal(results["plain"], expected.predict(box=box)[2])
    scale = np.abs(results["plain"]).max()
    assert np.abs(results["dropped"] - results["plain"]).max() > 1e-3 * scale
    assert 0 < np.abs(results["half"] - results["plain"]).max() < 0.1 * scale
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Predictor.from_pretrained(tmp_path / "nowhere")


@pytest.mark.parametrize("size", ["256", 64.0])
def test_an_image_size_that_is_none(unchecked, model, tmp_path, size):
    storage.save(tmp_path / "model", model)
    with pytest.raises(ValueError, match=rf"image_size: expected a whole .* found {size!r}"):
        Predictor.from_pretrained(tmp_path / "model", image_size=size)


@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        *((spelt, "bfloat16") for spelt in ("bf16", "bfloat16", "torch.bfloat16", jnp.bfloat16)),
        *((spelt, "float32") for spelt in ("float32", "torch.float32", np.float32, "fp32")),
    ],
)
def test_spellings_of_dtypes(dtype, name):
    assert _dtype_name(dtype) == _dtype_name(jnp.dtype(name)) == name


@pytest.mark.parametrize(
    "dtype", ["float16", "half", float, np.int8, "", object(), "torch.float64"]
)
def test_other_dtypes_are_refused(dtype):
    with pytest.raises(ValueError, match="dtype: expected float32 or bfloat16, found"):
        _dtype_name(dtype)


def test_lazy_exports():
    assert samjax.Predictor is Predictor and samjax.Model is storage.Model
    assert callable(samjax.load) and callable(samjax.segment)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = samjax.nothing
