"""Protocols of other boxes than the tight one, ensembles of them, and their uncertainty."""

import dataclasses
import itertools
import json

import jax.numpy as jnp
import numpy as np
import pytest
from small import random_params

from samjax import masks, models
from samjax.data import index, phantoms
from samjax.data.boxes import grow_box
from samjax.data.inputs import Preprocessing
from samjax.evaluation import ensembles, evaluator, protocols
from samjax.evaluation.prompt_file import MaskPrompt
from samjax.evaluation.results import EvalConfig
from samjax.evaluation.run import evaluate_and_report
from samjax.models.directory import Model

BOX = np.array([4, 6, 24, 26], np.float32)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def areas(positive, negative):
    """Area under the ROC curve by all pairs, and average precision by all thresholds."""
    pairs = [(p > n) + 0.5 * (p == n) for p, n in itertools.product(positive, negative)]
    thresholds = sorted({*positive, *negative}, reverse=True)
    found, precision = [0.0], []
    for t in thresholds:
        tp, fp = (positive >= t).sum(), (negative >= t).sum()
        found.append(tp / len(positive))
        precision.append(tp / (tp + fp))
    return np.mean(pairs), np.dot(np.diff(found), precision)


def test_areas_under_curves_by_their_definition():
    rng = np.random.default_rng(0)
    positive, negative = rng.integers(0, 12, 40), rng.integers(0, 9, 70)
    histograms = [np.bincount(x, minlength=12) for x in (positive, negative)]
    roc, precision = areas(positive, negative)
    np.testing.assert_allclose(ensembles.area_under_roc(*histograms), roc)
    np.testing.assert_allclose(ensembles.average_precision(*histograms), precision)
    assert np.isnan(ensembles.area_under_roc(np.zeros(3), np.ones(3)))


def test_counts_are_those_of_the_mean_at_original_resolution():
    rng = np.random.default_rng(1)
    logits = jnp.asarray(rng.normal(0, 2, (3, 8, 8)), jnp.float32)
    placement = jnp.asarray([30, 28, 0, 0, 32, 30], jnp.int32)
    truth = np.zeros((64, 64), np.uint8)
    truth[8:20, 6:22] = 1
    restored = np.asarray(
        masks.restore_logits(logits[:, None], placement[None].repeat(3, 0), 32, (64, 64))
    )
    for mean in ("probability", "logit"):
        sigmoid = lambda z: 1 / (1 + np.exp(-z))  # noqa: E731
        p = (
            sigmoid(restored[:, 0]).mean(0)
            if mean == "probability"
            else sigmoid(restored.mean(0)[0])
        )
        p = p[:30, :28]
        regions = [BOX, grow_box(BOX, ensembles.WIDER, (30, 28))]
        found = ensembles.count(logits, placement, truth, jnp.asarray(np.stack(regions)), 32, mean)
        predicted, true = p > 0.5, truth[:30, :28] != 0
        np.testing.assert_array_equal(found.pixels, [(predicted & true).sum(), predicted.sum()])
        entropy = -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
        np.testing.assert_allclose(found.entropy, entropy[6:26, 4:24].mean(), rtol=1e-4)
        wide = np.zeros((30, 28), bool)
        wide[1:31, 0:29] = True  # The box, 20 wide, with 5 more on each side, within the image.
        count, probability, right = np.asarray(found.calibration)
        assert count.sum() == wide.sum() == found.by_entropy.sum()
        np.testing.assert_allclose(probability.sum(), p[wide].sum(), rtol=1e-4)
        assert right.sum() == true[wide].sum()
        assert found.by_entropy[0].sum() == (predicted != true)[wide].sum()


@pytest.mark.parametrize("scale", [0.01, 1, 8])
def test_the_areas_of_unsure_and_of_sharp_models_are_those_by_rank(scale):
    """All entropies of the first model are close to 1; most of the last one's are close to 0."""
    rng = np.random.default_rng(2)
    logits = jnp.asarray(rng.normal(0, scale, (1, 16, 16)), jnp.float32)
    p = 1 / (1 + np.exp(-np.asarray(masks.upsample(logits[None], 32), np.float64)[0, 0]))
    truth = np.zeros((32, 32), np.uint8)
    truth[:] = rng.random((32, 32)) < 1 / (1 + np.exp(-4 * (p - 0.5) / p.std()))
    placement = jnp.asarray([32, 32, 0, 0, 32, 32], jnp.int32)
    regions = jnp.asarray([[0.0, 0, 32, 32]] * 2)
    counts = ensembles.count(logits, placement, truth, regions, 32, "probability")
    sure, wrong = np.abs(p - 0.5), (p > 0.5) != (truth != 0)
    roc, precision = areas(-sure[wrong], -sure[~wrong])
    histograms = np.asarray(counts.by_entropy)
    assert ensembles.area_under_roc(*histograms) == pytest.approx(roc, abs=2e-3)
    assert ensembles.average_precision(*histograms) == pytest.approx(precision, abs=1e-2)


def test_refusing_the_least_sure_masks_leaves_the_others():
    counts = [{"calibration": np.ones((3, 2)), "by_entropy": np.ones((2, 2))}] * 10
    dice, entropy = np.linspace(1, 0.1, 10), np.linspace(0, 0.9, 10)
    found = ensembles.summarise(dice.tolist(), entropy.tolist(), counts)
    assert found["dice_refusing_10"] == pytest.approx(dice[:9].mean())
    assert found["dice_refusing_30"] == pytest.approx(dice[:7].mean())
    assert found["auroc"] == 0.5


def test_names_of_boxes():
    names = ("bbox", "bbox_grow10", "bbox_jitter", "bbox_x5")
    assert protocols.parse(names) == names
    assert [protocols.find(name).count(draws=1) for name in names] == [1, 1, 1, 5]
    titles = ["Bbox", "Bbox +10 %", "Bbox, jittered", "Bbox, mean of 5"]
    assert [protocols.title(name) for name in names] == titles
    for name in ("bbox_x1", "bbox_grow0", "bbox_x", "bboxes"):
        with pytest.raises(ValueError, match=r"bbox_x5 \(or any"):
            protocols.parse([name])
    prompt = MaskPrompt("a.png", tuple(BOX.tolist()), (9.0, 9.0), 7)

    def boxes(name: str, share: float = 0.1) -> np.ndarray:
        found = protocols.find(name).prompts(prompt, np.zeros((64, 64), np.uint8), share, 1)
        return np.stack([each.box for each in found])

    np.testing.assert_array_equal(boxes("bbox_grow10"), [[3, 5, 25, 27]])
    five = boxes("bbox_x5")
    np.testing.assert_array_equal(five[0], BOX)
    assert five.shape == (5, 4) and (boxes("bbox_x5") == five).all()
    assert (boxes("bbox_jitter") != BOX).any()


@pytest.mark.heavy
def test_an_evaluation_with_an_ensemble(tmp_path):
    phantoms.write_phantoms(tmp_path / "data", phantoms.PhantomConfig(2, 3, size=48, seed=1))
    config = models.tiny(peft=models.PeftConfig("none"))
    model = Model(config, Preprocessing(), random_params(config))
    samples = index.load_index(tmp_path / "data", "test")
    plain = evaluator.evaluate(
        model, tmp_path / "data", samples, EvalConfig(protocols=("bbox",)), progress=False
    )
    names = ("bbox", "bbox_grow10", "bbox_jitter", "bbox_x3")
    settings = EvalConfig(protocols=names, jitter=0.0)
    evaluate_and_report(model, tmp_path / "data", samples, tmp_path / "out", settings, "m", {})
    report = json.loads((tmp_path / "out/report.json").read_text())
    dice = {name: report["overall"][name]["dice"] for name in names}
    expected = np.mean([r.scores["bbox"].dice for r in plain.results])
    # Without jitter, all boxes are the tight one.
    for name in ("bbox", "bbox_jitter", "bbox_x3"):
        assert dice[name] == pytest.approx(expected, abs=1e-3), name
    assert dice["bbox_grow10"] != dice["bbox"]
    found = report["uncertainty"]["bbox_x3"]
    assert set(found) == {"ece", "auroc", "auprc", *(f"dice_refusing_{n}" for n in (10, 20, 30))}
    assert "AUROC" in (tmp_path / "out/report.md").read_text()
    assert "entropy_bbox_x3" in (tmp_path / "out/masks.csv").read_text()
    assert (tmp_path / "out/overlays/best.png").is_file()
    single = dataclasses.replace(settings, protocols=("bbox_x3",), ensemble_mean="logit")
    again = evaluator.evaluate(model, tmp_path / "data", samples, single, progress=False)
    assert set(again.results[0].scores) == {"bbox_x3", "filled_box"}
