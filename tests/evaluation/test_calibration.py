import numpy as np
import pytest
from scipy import stats

from samjax.evaluation.metrics import calibration, clicks


def test_a_calibrated_model_has_no_error():
    iou = np.repeat([0.05, 0.35, 0.85], [2, 3, 5])
    found = calibration.summarise(iou, iou)
    assert found["ece"] == found["bias"] == 0 and found["auroc"] == 1
    assert found["spearman"] == pytest.approx(1)
    assert [(b["low"], b["high"], b["count"]) for b in found["bins"]] == [
        (0.0, 0.1, 2),
        (0.3, 0.4, 3),
        (0.8, 0.9, 5),
    ]


def test_error_is_the_mean_gap_of_the_bins():
    predicted = np.array([0.95, 0.95, 0.15, 0.12])
    iou = np.array([0.9, 0.6, 0.3, 0.3])
    found = calibration.summarise(predicted, iou)
    assert found["ece"] == pytest.approx((2 * 0.2 + 2 * 0.165) / 4)
    assert found["bias"] == pytest.approx(0.5425 - 0.525)
    # Of the masks under 0.75, two are below the good one, and one has the same prediction.
    assert found["auroc"] == pytest.approx(2.5 / 3)


def test_ranks_are_those_of_scipy_with_ties():
    rng = np.random.default_rng(0)
    iou = rng.random(200)
    predicted = np.round(np.clip(iou + rng.normal(0, 0.2, 200), -0.1, 1.2), 1)
    found = calibration.summarise(predicted, iou)
    assert found["spearman"] == pytest.approx(stats.spearmanr(predicted, iou).statistic)
    bad = iou < calibration.BAD
    pairs = stats.mannwhitneyu(-predicted[bad], -predicted[~bad]).statistic
    assert found["auroc"] == pytest.approx(pairs / (bad.sum() * (~bad).sum()))
    assert sum(each["count"] for each in found["bins"]) == 200


def test_what_is_not_defined_is_none():
    found = calibration.summarise(np.full(3, 0.5), np.array([0.1, 0.2, 0.3]))
    assert found["spearman"] is None and found["auroc"] is None


def test_number_of_clicks_and_failures():
    iou = np.full(20, 0.5)
    iou[3:] = 0.86
    found = clicks.summarise(
        {"iou": iou.tolist(), "dice": [*np.linspace(0, 1, 20)], "nsd2_px": [0.25] * 20}
    )
    assert (found["noc80"], found["noc85"], found["noc90"]) == (4, 4, 20)
    assert (found["failed80"], found["failed90"]) == (0, 1)
    assert found["dice_auc"] == pytest.approx(0.5) and found["nsd2_px_auc"] == 0.25
    falling = clicks.summarise({"iou": [0.9, 0.1]})
    assert falling["noc90"] == 1 and "dice_auc" not in falling  # The first time counts.
    assert clicks.normalised_area([0.3]) == 0.3
