"""Segmenting everything: scores by the truth and without it, and the choice of thresholds."""

import dataclasses
import json

import cv2
import numpy as np
import pytest

from samjax import cli
from samjax.evaluation import EvalConfig, evaluate, evaluator, protocols, tune_automatic
from samjax.evaluation.protocols import everything
from samjax.evaluation.tune_automatic import ImageCandidates
from samjax.inference import AutomaticMaskGenerator
from samjax.inference.automatic_config import AutomaticConfig, read_settings
from samjax.models import directory

FREE = AutomaticConfig(pred_iou_thresh=0.0, stability_score_thresh=0.0)
CONFIG = EvalConfig(("everything3", "everything2"), select=("score", "oracle"), automatic=FREE)


def test_names_and_titles():
    assert protocols.find("S1") == everything.EverythingProtocol("S1", 32)
    assert protocols.find("everything").title == "Everything, 32 x 32"
    assert protocols.find("everything8").per_side == 8
    with pytest.raises(ValueError, match="everything16"):
        protocols.find("everything0")
    with pytest.raises(ValueError, match=r"automatic\.crop_n_layers: expected 0 in an evaluation"):
        EvalConfig(automatic=AutomaticConfig(crop_n_layers=1))
    with pytest.raises(ValueError, match=r"automatic\.min_mask_region_area: expected 0"):
        EvalConfig(automatic=AutomaticConfig(min_mask_region_area=9))


@pytest.mark.heavy
def test_scores_are_those_of_the_masks_of_the_generator(tiny, folder):
    root, samples = folder
    evaluation = evaluate(tiny, root, samples[:2], CONFIG, progress=False)
    for sample in samples[:2]:
        image = cv2.imread(str(root / sample.image))
        settings = dataclasses.replace(FREE, points_per_side=3)
        masks = AutomaticMaskGenerator(tiny, settings).generate(image, "BGR")
        chosen = max(masks, key=lambda mask: mask["predicted_iou"])
        for path in sample.masks:
            truth = cv2.imread(str(root / path), cv2.IMREAD_UNCHANGED) > 0
            dice, iou = zip(*(compared(m["segmentation"], truth) for m in masks), strict=True)
            (result,) = [r for r in evaluation.results if r.mask == path]
            values = result.scores["everything3"].values
            assert values["dice_oracle"] == pytest.approx(max(dice), abs=2e-3)
            expected, _ = compared(chosen["segmentation"], truth)
            assert values["dice"] == pytest.approx(expected, abs=2e-3)
            assert values["predicted_iou"] == pytest.approx(chosen["predicted_iou"], abs=1e-5)
            assert values["masks_found"] == len(masks)
            assert values["recall50"] == (max(iou) >= 0.5)


def compared(mask, truth):
    both = np.sum(mask & truth)
    return 2 * both / (mask.sum() + truth.sum()), both / np.sum(mask | truth)


@pytest.mark.heavy
def test_without_a_mask_the_score_is_zero(tiny, folder):
    config = dataclasses.replace(CONFIG, automatic=AutomaticConfig(pred_iou_thresh=1.0))
    evaluation = evaluate(tiny, folder[0], folder[1][:1], config, progress=False)
    for score in evaluation.results[0].scores.values():
        assert score.dice >= 0
    values = evaluation.results[0].scores["everything3"].values
    assert values["dice"] == values["dice_oracle"] == values["masks_found"] == 0


def candidates():
    """Two objects, four masks: two find the first object, one of them unstable; none the second."""
    boxes = np.array([[0, 0, 9, 9], [0, 0, 9, 8], [20, 20, 30, 30], [40, 40, 50, 50]])
    iou = np.array([[0.9, 0.8, 0.0, 0.0], [0.0, 0.0, 0.4, 0.0]])
    scores = np.array([0.8, 0.9, 0.5, 0.1]), np.array([0.9, 0.2, 0.6, 0.6])
    return ImageCandidates(*scores, boxes, 2 * iou / (1 + iou), iou)


def test_quality_counts_one_mask_for_an_object():
    everything_kept = tune_automatic.quality([candidates()], FREE)
    # The second mask suppresses the first, which has a lower predicted IoU.
    assert everything_kept["masks_found"] == 3 and everything_kept["recall50"] == 0.5
    assert everything_kept["f1"] == pytest.approx(2 * 1 / (3 + 2))
    strict = dataclasses.replace(FREE, pred_iou_thresh=0.4, stability_score_thresh=0.5)
    found = tune_automatic.quality([candidates(), candidates()], strict)
    assert found["masks_found"] == 2 and found["f1"] == pytest.approx(2 * 2 / (4 + 4))
    both = np.mean([2 * 0.9 / 1.9, 2 * 0.4 / 1.4])
    assert found["dice_oracle"] == pytest.approx(both)
    nothing = tune_automatic.quality([candidates()], AutomaticConfig(pred_iou_thresh=1.0))
    assert nothing == {"f1": 0, "recall50": 0, "masks_found": 0, "dice_oracle": 0}


@pytest.fixture
def indexed(tiny, folder, tmp_path):
    root, samples = folder
    for split, of_split in (("train", samples[:2]), ("test", samples[2:3])):
        index = {sample.image: list(sample.masks) for sample in of_split}
        (root / f"image2label_{split}.json").write_text(json.dumps(index))
    directory.save(tmp_path / "tiny", tiny)
    return root, tmp_path / "tiny"


def test_the_test_split_is_refused(indexed, tmp_path, capsys):
    root, model = indexed
    words = ["--checkpoint", str(model), "--data", str(root), "--out", str(tmp_path / "out")]
    assert cli.run_alone("evaluate", "eval.py", [*words, "--tune-auto", "--split", "test"]) == 2
    assert "--tune-auto: expected images that are not for the test" in capsys.readouterr().err
    again = root / "image2label_validation.json"
    again.write_text((root / "image2label_test.json").read_text())
    assert cli.run_alone("evaluate", "eval.py", [*words, "--tune-auto", "--split", "validation"])
    assert "of a subject that is not in the split test" in capsys.readouterr().err
    again.unlink()


@pytest.mark.heavy
def test_thresholds_are_chosen_written_and_read(indexed, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tune_automatic.tune, "__defaults__", (3,))
    root, model = indexed
    out = tmp_path / "out"
    words = ["--checkpoint", str(model), "--data", str(root), "--out", str(out)]
    assert cli.run_alone("evaluate", "eval.py", [*words, "--tune-auto"]) == 0
    assert "| chosen: " in capsys.readouterr().out
    path = out / tune_automatic.NAME
    content = json.loads(path.read_text())
    assert content["tuning"]["split"] == "train" and content["tuning"]["images"] == 2
    assert content["tuning"]["after"]["f1"] >= content["tuning"]["before"]["f1"]
    settings = read_settings(path)
    assert settings.points_per_side == 32
    more = ["--protocols", "everything2", "--auto-settings", str(path), "--overwrite"]
    assert cli.run_alone("evaluate", "eval.py", [*words, *more]) == 0
    written = json.loads((out / "report.json").read_text())
    chosen = written["config"]["automatic"]["pred_iou_thresh"]
    assert chosen == settings.pred_iou_thresh


@pytest.mark.heavy
def test_overlaps_are_counted_at_the_size_of_the_image(tiny, folder):
    root, samples = folder
    (image,) = evaluator.load_images(tiny, root, samples[1:2], CONFIG, None)
    generator = AutomaticMaskGenerator(tiny, FREE, points_per_side=2)
    pixels = cv2.imread(str(root / samples[1].image))
    found = generator.propose(pixels, "BGR")
    dice, iou = everything.overlaps(image, found, tiny.config.image_size)
    masks = [record["segmentation"] for record in generator.generate(pixels, "BGR")]
    assert dice.shape == iou.shape == (len(samples[1].masks), len(masks))
    for row, path in enumerate(samples[1].masks):
        truth = cv2.imread(str(root / path), cv2.IMREAD_UNCHANGED) > 0
        for column, mask in enumerate(masks):
            assert (dice[row, column], iou[row, column]) == pytest.approx(compared(mask, truth))
