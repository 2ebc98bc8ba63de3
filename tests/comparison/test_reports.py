"""Values of a comparison's tables, also where there is nothing to tell."""

from pathlib import Path

import pytest

from samjax.comparison.reports import Results
from samjax.comparison.tables import _gain


def results(*overall):
    reports = tuple({"overall": one, "by_modality": {"ct": one}} for one in overall)
    folders = (Path(),) * len(reports)
    return Results(
        tuple(range(len(reports))), reports, folders, (0.0,) * len(reports), ("",) * len(reports)
    )


def test_one_subject_has_no_interval():
    score = {"dice": 0.5, "dice_ci": None}
    value = results({"bbox": score}, {"bbox": score}).value("bbox")
    assert value.mean == pytest.approx(50) and str(value) == "50.0 ± 0.0"
    assert value.low is value.high is None and value.interval == "none (1 subject)"


def test_intervals_are_means_over_seeds():
    scores = [{"bbox": {"dice": d, "dice_ci": [d - 0.1, d + 0.1]}} for d in (0.4, 0.6)]
    assert results(*scores).value("bbox").interval == "40.0 to 60.0"


def test_prompts_that_a_model_does_not_know_are_a_dash():
    boxes_alone = results({"bbox": {"dice": 0.5, "dice_ci": [0.4, 0.6]}})
    value = boxes_alone.value("1pt")
    assert str(value) == value.interval == "-" and value.by_seed == {}
    assert _gain(boxes_alone, "ct") == "-"
