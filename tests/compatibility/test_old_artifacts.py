"""Files of earlier versions are read and give the same numbers."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samjax import cli, models, types
from samjax.data import index
from samjax.evaluation import prompt_file, run
from samjax.evaluation.evaluator import EvalConfig
from samjax.models import directory
from samjax.training import config as training_config
from samjax.training import loop

ARTIFACTS = Path(__file__).with_name("artifacts")
TOLERANCE = 2e-5  # Relative to the largest logit: the effect of the order of a sum.
MASK_TOLERANCE = 2e-3  # Of a mean Dice: a pixel on the threshold may change its side.


def check_outputs(path: Path, name: str, tolerance: float = TOLERANCE) -> None:
    """Compares the predictions of a model directory with those of its own version."""
    model = directory.load(path)
    with np.load(ARTIFACTS / "expected.npz") as expected:
        fields = {
            key.removeprefix("prompts_"): jnp.asarray(expected[key])
            for key in expected.files
            if key.startswith("prompts_")
        }
        images, prompts = jnp.asarray(expected["images"]), types.Prompts(**fields)
        params = jax.tree.map(jnp.asarray, model.params)
        embedding = models.encode_image(model.config, params, images)
        found = models.predict_masks(model.config, params, embedding, prompts)
        for kind, now in zip(("logits", "iou"), found, strict=True):
            then = expected[f"{name}_{kind}"]
            np.testing.assert_allclose(now, then, atol=tolerance * np.abs(then).max(), err_msg=kind)


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["adapters", "light", "plain"])
def test_a_model_predicts_the_same(unpacked, name):
    check_outputs(unpacked / "models" / name, name)


@pytest.mark.heavy
def test_the_description_of_a_network_is_kept(unpacked, tmp_path):
    """The description is the same after saving and loading by the current version."""
    for path in sorted((unpacked / "models").iterdir()):
        model = directory.load(path)
        directory.save(tmp_path / path.name, model)
        again = directory.load(tmp_path / path.name)
        assert (again.config, again.preprocessing) == (model.config, model.preprocessing)


def test_the_preprocessing_is_kept(unpacked):
    for path in sorted((unpacked / "models").iterdir()):
        then = json.loads((path / "config.json").read_text())["input"]
        now = directory.load(path).preprocessing
        assert {name: getattr(now, name) for name in ("resize", "mask_prompt", "box_margin")} == {
            name: then[name] for name in ("resize", "mask_prompt", "box_margin")
        }


@pytest.mark.heavy
def test_a_run_resumes_to_the_same_end(old):
    """Resumes a stopped run: settings, data, position in the data, moments, random keys."""
    settings = training_config.from_dict(json.loads((old / "workdir/config.json").read_text()))
    assert loop.train(settings, old / "workdir").steps == 6
    then, now = (
        [json.loads(line) for line in path.read_text().splitlines()]
        for path in (ARTIFACTS / "metrics.jsonl", old / "workdir/metrics.jsonl")
    )
    assert [row["step"] for row in now] == [1, 2, 3, 4, 5, 6]
    for row_then, row_now in zip(then, now, strict=True):
        assert {name: row_now[name] for name in row_then} == pytest.approx(row_then, rel=1e-3)
    check_outputs(old / "workdir/last", "workdir", tolerance=1e-3)


@pytest.mark.heavy
def test_replayed_prompts_give_the_same_scores(old):
    model = directory.load(old / "models/adapters")
    prompts = prompt_file.load(old / "evaluation/prompts.json")
    samples = index.load_index(old / "data", "test")
    run.evaluate_and_report(
        model, old / "data", samples, old / "again", EvalConfig(), "again", {}, prompts
    )
    then, now = (json.loads((old / p / "report.json").read_text()) for p in ("evaluation", "again"))
    assert now["count"] == then["count"]
    for protocol in ("bbox", "1pt", "3pt", "5pt", "filled_box"):
        for kind in ("dice", "iou"):
            expected = pytest.approx(then["overall"][protocol][kind], abs=MASK_TOLERANCE)
            assert now["overall"][protocol][kind] == expected
    assert prompt_file.load(old / "again/prompts.json") == prompts


@pytest.mark.heavy
def test_a_finished_study_is_a_finished_comparison(old):
    """Nothing is trained or evaluated again; the page shows the numbers of the old reports."""
    pytest.importorskip("matplotlib", reason="draws a page of results (extra `comparison`)")
    before = {path: path.read_bytes() for path in (old / "study").rglob("*") if path.is_file()}
    config = Path(__file__).with_name("old_comparison.py")
    assert cli.main(["compare", str(config), "--workdir", "study", "--page", "page.md"]) == 0
    page = (old / "page.md").read_text()
    for folder in ("general/seed_0/tests/test", "tuned/seed_0/tests/test"):
        overall = json.loads((old / "study" / folder / "report.json").read_text())["overall"]
        for protocol in ("bbox", "1pt"):
            assert f"{100 * overall[protocol]['dice']:.1f}" in page
    assert all(path.read_bytes() == content for path, content in before.items())
    check_outputs(old / "study/tuned/seed_0/only/last", "study")
