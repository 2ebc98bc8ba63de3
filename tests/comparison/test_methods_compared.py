"""Methods with different prompts side by side: measured, tabulated, drawn."""

import dataclasses
import json

import jax.numpy as jnp
import pytest
import tiny_comparison

from samjax import cli
from samjax.comparison import choice, measure, method_tables, page, plan
from samjax.comparison.reports import MethodResults
from samjax.data.phantoms import PhantomConfig, write_phantoms
from samjax.models import HeadConfig
from samjax.tasks import TrainableConfig
from samjax.training.config import RunConfig, ValidationConfig


def compared(root):
    """Returns a comparison of the general model with a prompted and a semantic method."""
    tiny = tiny_comparison.get_comparison()
    general = tiny.stages[0].experiment
    evaluation = dataclasses.replace(general.validation.evaluation, protocols=("bbox",))
    validated = dataclasses.replace(
        general,
        data=dataclasses.replace(general.data, validation_fraction=0.3, check="none"),
        run=RunConfig(steps=2, report=False),
        validation=ValidationConfig(every=2, evaluation=evaluation),
        trainable=TrainableConfig(encoder="frozen"),
        log=dataclasses.replace(general.log, every=1),
    )
    classes = dataclasses.replace(evaluation, protocols=("classes",))
    semantic = dataclasses.replace(
        validated,
        model=dataclasses.replace(general.model, head=HeadConfig("semantic")),
        validation=ValidationConfig(every=2, evaluation=classes),
    )
    grid = tuple(
        plan.TrainingStage(
            name,
            dataclasses.replace(
                validated, optim=dataclasses.replace(general.optim, learning_rate=rate)
            ),
        )
        for name, rate in (("rate_low", 1e-4), ("rate_high", 1e-2))
    )
    boxes = {"test": plan.EvalSetting(protocols=("bbox", "bbox_x2", "1pt"))}
    methods = {
        "general": plan.Method("General", settings=boxes),
        "prompted": plan.Method("Prompted", settings=boxes, grid=grid),
        "semantic": plan.Method(
            "Semantic",
            settings={"test": plan.EvalSetting(protocols=("classes",))},
            grid=(plan.TrainingStage("rate_low", semantic),),
        ),
    }
    return plan.Comparison(
        data=str(root),
        methods=methods,
        seeds=(0, 1),
        stages=tiny.stages,
        protocols=("bbox", "1pt"),
        side_by_side=tuple((one.title, name, "test") for name, one in methods.items()),
    )


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    """Returns a comparison, with its data."""
    root = tmp_path_factory.mktemp("methods")
    write_phantoms(root / "data", PhantomConfig(count_train=12, count_test=3, size=64))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINY_COMPARISON_DATA", str(root / "data"))
        yield compared(root / "data")


@pytest.mark.heavy
def test_methods_with_different_prompts_are_compared(comparison, tmp_path, monkeypatch):
    monkeypatch.setattr("samjax.cli.compare._load", lambda _: comparison)
    arguments = ["compare", "any", "--workdir", str(tmp_path / "runs")]
    assert cli.main(arguments) == 0
    text = (tmp_path / "runs/results.md").read_text()
    assert "| Prompted | click or box | - |" in text and "| Semantic | none |" in text
    assert "![methods](results/methods.jpg)" in text
    chosen = choice.read(tmp_path / "runs/prompted")
    assert chosen.scores.keys() == {"rate_low", "rate_high"}
    best = max(chosen.scores, key=chosen.scores.get)
    assert f"| {best.replace('_', ' ')} |" in text
    measured = measure.read(tmp_path / "runs")
    assert measured["general"]["kept_bytes"] == 0 and "trained" not in measured["general"]
    for name in ("prompted", "semantic"):
        assert 0 < measured[name]["trained"] < measured[name]["parameters"]
        # All that is trained is kept; what has no gradient, such as an unused token, is not.
        assert 0 < measured[name]["kept_bytes"] <= 4 * measured[name]["parameters"]
        assert measured[name]["training_bytes"] > 4 * measured[name]["parameters"]
        assert measured[name]["images_per_s"] > 0
    seconds = json.loads((tmp_path / "runs/prompted/seed_1" / best / "seconds.json").read_text())
    assert seconds["core"] > 0
    # Again, without a model: only the figure stays.
    monkeypatch.setattr(measure, "speeds", lambda *_: pytest.fail("measured again"))
    for folder in (tmp_path / "runs").rglob("last"):
        folder.rename(folder.with_name("moved"))
    assert cli.main([*arguments, "--page-only"]) == 0
    assert (tmp_path / "runs/results.md").read_text() == text


def test_what_is_kept_are_the_parameters_that_changed():
    general = {"a": {"kernel": jnp.ones((2, 3))}, "b": {"kernel": jnp.ones(4)}}
    tuned = {"a": {"kernel": jnp.ones((2, 3))}, "b": {"kernel": jnp.zeros(4)}}
    assert measure.kept_bytes(general, general) == 0
    assert measure.kept_bytes(tuned, general) == 16
    assert measure.kept_bytes(tuned | {"new": {"bias": jnp.ones(5)}}, general) == 36
    # Another shape of the same name, such as tokens for more classes.
    assert measure.kept_bytes({"a": {"kernel": jnp.ones((2, 4))}}, general) == 32


def test_tables_tell_scores_by_prompts_apart(comparison, tmp_path):
    def results(protocol, scores, **content):
        own = {protocol: {"dice_ci": None}, "filled_box": {"dice": 0.5, "dice_ci": None}}
        reports = tuple(
            {
                "overall": {**own, protocol: {"dice": score, "dice_ci": None}},
                "by_modality": {"ct": {**own, protocol: {"dice": score, "dice_ci": None}}},
                **content,
            }
            for score in scores
        )
        for report in reports:
            report["by_modality"]["ct"]["count"] = 7
        many = len(reports)
        return MethodResults(
            (0, 1), reports, (tmp_path,) * many, (9.0,) * many, ("",) * many, (4.0,) * many
        )

    counted = {"a": {"false_images": 2, "dice": 0.2}, "b": {"false_images": 4, "dice": 0.4}}
    found = {
        ("prompted", "test"): results("bbox", (0.6, 0.8)),
        ("semantic", "test"): results(
            "classes", (0.2, 0.4), classes={"dice": 0.3, "by_class": counted}
        ),
    }
    (tmp_path / measure.NAME).write_text(
        json.dumps({"prompted": {"trained": 12_345, "kept_bytes": 2_500_000, "images_per_s": 30.4}})
    )
    tables = method_tables.contents(comparison, found, tmp_path)
    assert "| Prompted | box | - | - | 70.0 ± 14.1 | 12 | 2.5 | 30 | - |" in tables["methods"]
    assert "| Semantic | none | 30.0 ± 14.1 | - | - | - | - | - | - |" in tables["methods"]
    assert "| Filled box | box | - | - | 50.0 | - | - | - | - |" in tables["methods"]
    assert "Semantic" not in tables["boxes"] and "Prompted" not in tables["semantic"]
    assert "| Semantic | 30.0 ± 14.1 | 30.0 ± 0.0 | 2 | 3.0 ± 0.0 |" in tables["semantic"]
    assert "| Prompted | box | 70.0 |" in tables["by modality"]
    assert "| Prompted | 2 | 4 4 | 9 9 |" in tables["budget"]
    assert "| Prompted | - | - | - |" in tables["choices"]  # Not chosen yet.
    choice.write(tmp_path / "prompted", {"rate_low": 0.5, "rate_high": 0.25})
    tables = method_tables.contents(comparison, found, tmp_path)
    assert "| Prompted | 50.0 | 25.0 | rate low |" in tables["choices"]


def test_a_page_of_methods_needs_no_results_of_the_paper(comparison, tmp_path):
    with pytest.raises(ValueError, match="expected reports of the comparison, found none"):
        page.write(comparison, tmp_path, tmp_path / "page.md")
