"""Scores in the tables of a comparison, also where there are none."""

from pathlib import Path

import pytest

from samjax.comparison.reports import MethodResults
from samjax.comparison.tables import _format_gain


def results(*overall):
    reports = tuple({"overall": one, "by_modality": {"ct": one}} for one in overall)
    folders = (Path(),) * len(reports)
    return MethodResults(
        tuple(range(len(reports))), reports, folders, (0.0,) * len(reports), ("",) * len(reports)
    )


def test_one_subject_has_no_interval():
    score = {"dice": 0.5, "dice_ci": None}
    value = results({"bbox": score}, {"bbox": score}).score("bbox")
    assert value.mean == pytest.approx(50) and str(value) == "50.0 ± 0.0"
    assert value.low is value.high is None and value.interval == "none (1 subject)"


def test_intervals_are_means_over_seeds():
    scores = [{"bbox": {"dice": d, "dice_ci": [d - 0.1, d + 0.1]}} for d in (0.4, 0.6)]
    assert results(*scores).score("bbox").interval == "40.0 to 60.0"


def test_prompts_that_a_model_does_not_take_are_a_dash():
    boxes_alone = results({"bbox": {"dice": 0.5, "dice_ci": [0.4, 0.6]}})
    value = boxes_alone.score("1pt")
    assert str(value) == value.interval == "-" and value.by_seed == {}
    assert _format_gain(boxes_alone, "ct") == "-"
