"""Uncertainty of a mask under jittered boxes."""

import jax.numpy as jnp
import numpy as np
import pytest

from samjax import Predictor, masks
from samjax.inference import predict_ensemble, uncertainty
from samjax.inference.uncertainty import uncertainty_maps

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


def test_an_ensemble_of_one_is_the_plain_prediction(predictor):
    found = predict_ensemble(predictor, BOX, count=1)
    expected, scores, _ = predictor.predict(box=BOX, multimask_output=False)
    np.testing.assert_array_equal(found.mask, expected[0])
    np.testing.assert_allclose(found.scores, scores, rtol=1e-5)
    np.testing.assert_array_equal(found.boxes, [BOX])
    assert not found.maps.vote_variance.any()


def test_an_ensemble_is_the_mean_of_its_boxes(predictor):
    found = predict_ensemble(predictor, BOX, count=4, seed=3)
    assert found.boxes.shape == (4, 4) and found.scores.shape == (4,)
    logits = [
        predictor.predict(box=box, multimask_output=False, return_logits=True)[0][0]
        for box in found.boxes
    ]
    mean = np.mean(1 / (1 + np.exp(-np.array(logits, np.float64))), axis=0)
    np.testing.assert_allclose(found.maps.probability, mean, atol=1e-5)
    again = predict_ensemble(predictor, BOX, count=4, seed=3)
    np.testing.assert_array_equal(again.boxes, found.boxes)
    assert (predict_ensemble(predictor, BOX, count=4, seed=4).boxes != found.boxes).any()


@pytest.mark.parametrize("box", [[20, 15, 60, 50], [0, 0, 90, 70], [40, 30, 41, 31]])
def test_boxes_move_within_the_limit_and_the_image(box):
    rng = np.random.default_rng(0)
    boxes = uncertainty.jitter_box(np.array(box, np.float32), 500, (70, 90), 0.1, rng)
    np.testing.assert_array_equal(boxes[0], box)
    assert (boxes >= 0).all() and (boxes <= [90, 70, 90, 70]).all()
    assert (boxes[:, :2] <= boxes[:, 2:]).all()
    if box[2] - box[0] > 20:
        assert (np.abs(boxes - box).max(0) <= [9, 7, 9, 7]).all()
        assert (np.ptp(boxes, axis=0) > 6).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"box": [BOX, BOX]}, r"box: expected shape \(4,\), found \(2, 4\)"),
        ({"box": BOX, "count": 0}, "expected a count of 1 or more"),
        ({"box": BOX, "jitter": -1.0}, "a jitter of 0 or more, found 5 and -1.0"),
    ],
)
def test_refuses(predictor, arguments, message):
    with pytest.raises(ValueError, match=message):
        predict_ensemble(predictor, **arguments)
