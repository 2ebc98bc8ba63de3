"""Uncertainty of a mask under jittered boxes."""

import json

import cv2
import jax.numpy as jnp
import numpy as np
import pytest

from samjax import Predictor, cli, masks
from samjax.data import boxes as box_prompts
from samjax.inference import predict_ensemble
from samjax.inference.uncertainty import uncertainty_maps
from samjax.models import directory

BOX = [20, 15, 60, 50]


@pytest.fixture
def predictor(model, photo):
    predictor = Predictor(model)
    predictor.set_image(photo(70, 90))
    return predictor


def test_maps_are_those_of_the_fixture(method_fixtures):
    with np.load(method_fixtures / "sam_u/sam_u.npz") as file:
        arrays = dict(file)
    low_res = jnp.asarray(arrays["low_res_logits"])
    found = uncertainty_maps(masks.upsample(low_res, arrays["mean_probability"].shape[-1]))
    for ours, theirs in {
        "probability": "mean_probability",
        "predictive_entropy": "predictive_entropy_bits",
        "expected_entropy": "expected_entropy_bits",
        "mutual_information": "mutual_information_bits",
        "vote_variance": "vote_variance",
    }.items():
        np.testing.assert_allclose(getattr(found, ours), arrays[theirs], atol=1e-5, err_msg=ours)


def test_certain_unsure_and_disagreeing_predictions():
    logits = jnp.array([[100.0, 0.0, 100.0], [100.0, 0.0, -100.0]])[:, None]
    maps = uncertainty_maps(logits)
    np.testing.assert_allclose(maps.probability[0], [1, 0.5, 0.5])
    np.testing.assert_allclose(maps.predictive_entropy[0], [0, 1, 1], atol=1e-6)
    np.testing.assert_allclose(maps.expected_entropy[0], [0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(maps.mutual_information[0], [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(maps.vote_variance[0], [0, 0, 0.25])


@pytest.mark.parametrize("multimask", [None, True, False])
def test_an_ensemble_of_one_is_the_plain_prediction(predictor, multimask):
    """The best of three masks where three were trained: SAM-Med2D's single one never was."""
    found = predict_ensemble(predictor, BOX, count=1, multimask_output=multimask)
    expected, scores, _ = predictor.predict(box=BOX, multimask_output=multimask, best=True)
    one = predictor.predict(box=BOX, multimask_output=multimask, ensemble=1)
    np.testing.assert_array_equal(one[0], expected)
    np.testing.assert_array_equal(found.mask, expected[0])
    np.testing.assert_allclose(found.scores, scores, rtol=1e-5)
    np.testing.assert_array_equal(found.boxes, [BOX])
    assert not found.maps.vote_variance.any()


def test_an_ensemble_is_the_mean_of_its_boxes(predictor):
    found = predict_ensemble(predictor, BOX, count=4, seed=3)
    assert found.boxes.shape == (4, 4) and found.scores.shape == (4,)
    logits = [
        predictor.predict(box=box, return_logits=True, best=True)[0][0] for box in found.boxes
    ]
    mean = np.mean(1 / (1 + np.exp(-np.array(logits, np.float64))), axis=0)
    np.testing.assert_allclose(found.maps.probability, mean, atol=1e-5)
    again = predict_ensemble(predictor, BOX, count=4, seed=3)
    np.testing.assert_array_equal(again.boxes, found.boxes)
    assert (predict_ensemble(predictor, BOX, count=4, seed=4).boxes != found.boxes).any()


@pytest.mark.parametrize("box", [[20, 15, 60, 50], [0, 0, 90, 70], [40, 30, 41, 31]])
def test_boxes_move_within_the_limit_and_the_image(box):
    rng = np.random.default_rng(0)
    boxes = box_prompts.jitter_box(np.array(box, np.float32), 500, (70, 90), 0.1, rng)
    assert (boxes >= 0).all() and (boxes <= [90, 70, 90, 70]).all()
    assert (boxes[:, :2] <= boxes[:, 2:]).all()
    if box[2] - box[0] > 20:
        assert (np.abs(boxes - box).max(0) <= [9, 7, 9, 7]).all()
        assert (np.ptp(boxes, axis=0) > 6).all()


def test_shifted_boxes_keep_their_size_and_grown_ones_their_centre():
    box, rng = np.array([30, 20, 50, 40], np.float32), np.random.default_rng(0)
    shifted = box_prompts.shift_box(box, 300, (70, 90), 0.25, rng)
    np.testing.assert_allclose(shifted[:, 2:] - shifted[:, :2], 20, atol=1e-4)
    away = np.linalg.norm(shifted[:, :2] - box[:2], axis=1)
    assert away.max() <= 5 and away.max() > 4.5
    np.testing.assert_allclose(box_prompts.grow_box(box, 0.1, (70, 90)), [29, 19, 51, 41])
    np.testing.assert_allclose(box_prompts.grow_box(box, 9.0, (70, 90)), [0, 0, 90, 70])


def test_masks_of_both_means_are_those_of_the_fixture(method_fixtures):
    with np.load(method_fixtures / "sam_u/sam_u.npz") as file:
        arrays = dict(file)
    logits = masks.upsample(jnp.asarray(arrays["low_res_logits"]), arrays["truth"].shape[-1])
    for mean in ("probability", "logit"):
        probability = np.asarray(uncertainty_maps(logits, mean).probability)
        expected = arrays[f"mask_of_mean_{mean}"] != 0
        # Both means may differ in a few pixels only, so no other pixel may.
        differs = (probability > 0.5) != expected
        assert not differs[np.abs(probability - 0.5) > 1e-5].any(), mean


def test_predict_takes_an_ensemble_of_one_or_several_boxes(predictor):
    found, scores, low_res = predictor.predict(box=BOX, ensemble=3)
    expected = predict_ensemble(predictor, BOX, count=3)
    assert found.shape == (1, 70, 90) and scores.shape == (1,) and low_res.ndim == 3
    np.testing.assert_array_equal(found[0], expected.mask)
    logits, _, _ = predictor.predict(box=BOX, ensemble=3, return_logits=True)
    np.testing.assert_array_equal(logits > 0, found)
    several, _, _ = predictor.predict(box=[BOX, [0, 0, 40, 40]], ensemble=3)
    assert several.shape == (2, 1, 70, 90)
    np.testing.assert_array_equal(several[0], found)
    with pytest.raises(ValueError, match="ensemble: expected a box prompt alone"):
        predictor.predict(point_coords=[[5, 5]], point_labels=[1], ensemble=3)


def test_rectification_adds_and_removes_uncertain_pixels_by_their_grey_value():
    """One row: sure object, uncertain object, dark error, bright miss, sure background."""
    mask = jnp.array([[1, 1, 1, 0, 0]], bool)
    doubt = jnp.array([[0.0, 0.25, 0.25, 0.25, 0.0]])
    grey = jnp.array([[100.0, 100.0, 10.0, 90.0, 90.0]])
    found = masks.rectify(mask, doubt, grey, jnp.array([0.0, 0, 5, 1]), (0.8, 1.6), (0.5, 2.0))
    np.testing.assert_array_equal(found, [[1, 1, 0, 1, 0]])
    cut = masks.rectify(mask, doubt, grey, jnp.array([1.0, 0, 3, 1]), (0.8, 1.6), (0.5, 2.0))
    np.testing.assert_array_equal(cut, [[0, 1, 0, 0, 0]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"box": [BOX, BOX]}, r"box: expected shape \(4,\), found \(2, 4\)"),
        ({"box": BOX, "count": 0}, "count: expected 1 or more, found 0"),
        ({"box": BOX, "jitter": -1.0}, "jitter: expected 0 or more, found -1.0"),
    ],
)
def test_refuses(predictor, arguments, message):
    with pytest.raises(ValueError, match=message):
        predict_ensemble(predictor, **arguments)


def test_a_folder_has_masks_uncertainty_and_the_numbers(model, tmp_path, photo, capsys):
    directory.save(tmp_path / "model", model)
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in/a.png"), photo(70, 90, 3))
    box = ["--box", *map(str, BOX)]
    command = ["predict", str(tmp_path / "in"), "--checkpoint", str(tmp_path / "model")]
    command += ["--out", str(tmp_path / "out"), *box]
    assert cli.main([*command, "--ensemble", "3"]) == 0
    out = tmp_path / "out"
    (entry,) = json.loads((out / "predictions.json").read_text())["images"]["a.png"]["objects"]
    predictor = Predictor(model)
    predictor.set_image(cv2.imread(str(tmp_path / "in/a.png")), "BGR")
    expected = predict_ensemble(predictor, BOX, count=3)
    mask = cv2.imread(str(out / entry["masks"][0]), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(mask != 0, expected.mask)
    bits = cv2.imread(str(out / entry["uncertainty"]), cv2.IMREAD_UNCHANGED)
    assert bits.dtype == np.uint16
    np.testing.assert_allclose(bits / 65535, expected.maps.predictive_entropy, atol=1e-4)
    assert entry["score_spread"] == pytest.approx(expected.scores.std(), abs=1e-4)
    capsys.readouterr()
    assert cli.main([*command, "--ensemble", "3"]) == 0
    assert "1 of 1 images are done already" in capsys.readouterr().err
    for others in (["5"], ["3", "--ensemble-mean", "logit"]):
        assert cli.main([*command, "--ensemble", *others]) == 2
        assert (
            "expected results of the same run, found another (ensemble" in capsys.readouterr().err
        )
    assert cli.main([*command, "--ensemble", "0", "--overwrite"]) == 2
    assert "--ensemble: expected 1 or more, found 0" in capsys.readouterr().err
    points = [*command[:-5], "--point", "5", "5", "1", "--ensemble", "3", "--overwrite"]
    assert cli.main(points) == 2
    assert "expected a box alone" in capsys.readouterr().err
