"""A whole comparison on phantoms: trained, evaluated, drawn, stopped and resumed."""

import dataclasses
import json
import re
import sys
import types
from pathlib import Path

import cv2
import pytest
import tiny_comparison

from samjax import cli, lock
from samjax.comparison import page, plan, runner
from samjax.data.phantoms import PhantomConfig, write_phantoms
from samjax.training.config import ValidationConfig

HEAVY = pytest.mark.heavy
CONFIG = str(Path(__file__).with_name("tiny_comparison.py"))


def main(arguments):
    return cli.main(["compare", *arguments])


@pytest.fixture(autouse=True, scope="module")
def root(tmp_path_factory):
    """Returns a folder with the comparison's data."""
    root = tmp_path_factory.mktemp("comparison")
    write_phantoms(root / "data", PhantomConfig(count_train=12, count_test=3, size=64))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINY_COMPARISON_DATA", str(root / "data"))
        yield root


@pytest.fixture(scope="module")
def workdir(root):
    """Returns the folder of a finished comparison."""
    assert main([CONFIG, "--workdir", str(root / "runs")]) == 0
    return root / "runs"


@HEAVY
def test_every_method_seed_and_setting_has_its_report(workdir):
    found = {str(p.parent.relative_to(workdir)) for p in workdir.rglob("report.json")}
    seeded = {f"tuned/seed_{s}/tests/{t}" for s in (0, 1) for t in ("test", "dropped")}
    seeded |= {f"scratch/seed_{s}/tests/test" for s in (0, 1)}
    once = {"general/test", "general/seed_0/tests/test"}
    assert found == seeded | once


@HEAVY
def test_models_have_the_settings_of_the_comparison(workdir):
    def config(job):
        return json.loads((workdir / job / "config.json").read_text())

    assert config("scratch/seed_1/only")["init_from"] == ""
    assert config("tuned/seed_1/coarse")["init_from"] == str(workdir / "general/only/last")
    assert config("tuned/seed_1/fine")["init_from"] == str(workdir / "tuned/seed_1/coarse/last")
    seeds = [config(f"tuned/seed_{s}/fine") for s in (0, 1)]
    assert [c["run"]["seed"] for c in seeds] == [c["data"]["seed"] for c in seeds] == [0, 1]
    dropped = json.loads((workdir / "tuned/seed_0/tests/dropped/report.json").read_text())
    assert dropped["config"]["adapters"] is False


@HEAVY
def test_a_setting_decides_the_evaluation(workdir, tmp_path, monkeypatch):
    """Input size, splits and adapters; the evaluation itself is that of `samjax evaluate`."""
    seen = {}

    def evaluate_and_report(model, root, samples, out, config, *_):
        seen.update(size=model.config.image_size, images=len(samples), adapters=config.adapters)
        seen.update(resize=model.preprocessing.resize)
        return types.SimpleNamespace(table="", problems=())

    monkeypatch.setattr(runner, "evaluate_and_report", evaluate_and_report)
    setting = plan.EvalSetting(False, image_size=64, resize="stretch", splits=("train", "test"))
    checkpoint = workdir / "general/only/last"
    comparison = plan.Comparison(
        data=str(workdir.parent / "data"),
        general=str(checkpoint),
        methods={"general": plan.Method("General", settings={"large": setting})},
    )
    runner.run(comparison, plan.jobs(comparison)[0], comparison.general, tmp_path)
    assert seen == {"size": 64, "images": 15, "adapters": False, "resize": "stretch"}


@HEAVY
def test_the_tables_have_the_scores_of_the_reports(workdir):
    page = (workdir / "results.md").read_text()
    tuned = [
        100
        * json.loads((workdir / f"tuned/seed_{s}/tests/test/report.json").read_text())["overall"][
            "bbox"
        ]["dice"]
        for s in (0, 1)
    ]
    mean, spread = sum(tuned) / 2, abs(tuned[0] - tuned[1]) / 2**0.5
    assert f"| Tuned | 32 x 32 | {mean:.1f} ± {spread:.1f} |" in page
    assert re.search(r"\| Filled box \| - \| \d+\.\d \| - \| - \| - \|", page)
    assert re.search(r"\| Start \| general \| fresh \| [+-]\d+\.\d ± \d+\.\d \|", page)
    assert "| SAM-Med2D | 256 x 256 | 79.30 | 70.01 | 76.35 | 78.68 |" in page


@HEAVY
def test_figures_are_drawn(workdir):
    for name in ("bars.png", "classes.png", "prompts.jpg", "fused.jpg"):
        picture = cv2.imread(str(workdir / "results" / name))
        assert picture is not None
        assert picture.std() > 10


@HEAVY
def test_finished_models_are_not_trained_again(workdir, monkeypatch):
    """Only the page is written again, into the sections of an existing page."""
    monkeypatch.setattr(runner, "_train", lambda *_: pytest.fail("trained again"))
    monkeypatch.setattr(runner, "_evaluate", lambda *_: pytest.fail("tested again"))
    page = workdir.parent / "mine.md"
    page.write_text("Words.\n\n<!-- overall -->\nold\n<!-- /overall -->\n\nMore words.\n")
    assert main([CONFIG, "--workdir", str(workdir), "--page", str(page)]) == 0
    text = page.read_text()
    assert text.startswith("Words.\n\n<!-- overall -->\n| Model |")
    assert text.endswith("<!-- /overall -->\n\nMore words.\n")
    assert "old" not in text


@HEAVY
def test_a_page_without_models_lacks_only_replayed_predictions(workdir, tmp_path):
    """The reports of a comparison from another machine."""
    for report in workdir.rglob("report.json"):
        copy = tmp_path / "runs" / report.relative_to(workdir)
        copy.parent.mkdir(parents=True)
        content = json.loads(report.read_text()) | {"checkpoint": "elsewhere/last"}
        copy.write_text(json.dumps(content))
    comparison = tiny_comparison.get_comparison()
    drawn = page.write(comparison, tmp_path / "runs", tmp_path / "results.md")
    assert {"overall", "ablations", "figure bars", "figure classes"} <= {*drawn}
    assert not {"figure prompts", "figure fused"} & {*drawn}
    assert "| Tuned | 32 x 32 |" in (tmp_path / "results.md").read_text()


@HEAVY
def test_a_lost_report_is_written_again_unchanged(workdir):
    report = workdir / "tuned/seed_1/tests/test/report.json"
    before = json.loads(report.read_text())
    report.unlink()
    assert main([CONFIG, "--workdir", str(workdir), "--methods", "tuned"]) == 0
    assert json.loads(report.read_text())["overall"] == before["overall"]


@pytest.mark.heavy
def test_a_dry_run_lists_what_is_left(tmp_path, capsys):
    assert main([CONFIG, "--workdir", str(tmp_path / "new"), "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.match(r"general, only +2 batches, 2 updates, \d\.\d\d PFLOP, about 0\.0 h", lines[0])
    assert sum("0 of 2 evaluations done" in line for line in lines) == 2
    assert lines[2].startswith("tuned, seed 0, coarse")
    assert lines[-1].startswith("5 models; about 0.0 h of training to do")
    assert not (tmp_path / "new").exists()


@HEAVY
def test_a_dry_run_lists_what_is_done(workdir, capsys):
    assert main([CONFIG, "--workdir", str(workdir), "--dry-run"]) == 0
    output = capsys.readouterr().out
    assert "2 batches, 2 updates, trained" in output
    assert "2 of 2 evaluations done" in output


def test_shards_run_every_job_once(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(runner, "general_is_ready", lambda *_: True)
    monkeypatch.setattr(runner, "prepare_general", lambda *_: "general")
    monkeypatch.setattr(runner, "run", lambda _, job, *__: done.append((job.name, job.seed)))
    shards = []
    for shard in ("1/2", "2/2"):
        assert main([CONFIG, "--workdir", str(tmp_path), "--shard", shard]) == 0
        shards.append(len(done))
    assert shards == [3, 5]
    once = {("general", 0), *((name, s) for name in ("tuned", "scratch") for s in (0, 1))}
    assert len(done) == len(once)
    assert set(done) == once


def test_a_model_in_use_by_another_process_is_an_error(tmp_path):
    one = plan.Comparison(data="", general="x", methods={"a": plan.Method("A")})
    job = plan.jobs(one)[0]
    in_use = pytest.raises(ValueError, match=r"a/seed_0 is in use by process")
    with lock.exclusive(job.folder(tmp_path)), in_use:
        runner.run(one, job, "x", tmp_path)


def test_contradictions_are_reported_before_training(tmp_path, monkeypatch, capsys):
    tiny = tiny_comparison.get_comparison()
    every = dataclasses.replace(tiny.stages[0].experiment, validation=ValidationConfig(every=5))
    stages = (plan.TrainingStage("only", every),)
    no_tables = {name: () for name in ("overall", "by_modality", "unseen", "ablations")}
    changed = dataclasses.replace(tiny, methods={"a": plan.Method("A", stages)}, **no_tables)
    monkeypatch.setattr("samjax.cli.compare._load", lambda _: changed)
    assert main([CONFIG, "--workdir", str(tmp_path / "runs")]) == 2
    assert "a, only: validation.every: expected 0 where" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_missing_matplotlib_is_reported_before_training(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main([CONFIG, "--workdir", str(tmp_path / "runs")]) == 2
    assert "pip install 'samjax[comparison]'" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_methods_without_training_have_one_seed():
    comparison = plan.Comparison(
        data="", general="x", methods={"a": plan.Method("A"), "b": plan.Method("B")}, seeds=(3, 4)
    )
    assert [(job.name, job.seed) for job in plan.jobs(comparison)] == [("a", 3), ("b", 3)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.py"], "nowhere.py: no such file"),
        ([__file__], "expected a function get_comparison"),
        ([CONFIG, "--shard", "3/2"], "--shard: expected I/N with I from 1 to N, found '3/2'"),
        ([CONFIG, "--shard", "2/2"], "the general model is not made yet"),
        ([CONFIG, "--methods", "other"], "found 'other'"),
        ([CONFIG, "--data", "nowhere", "--dry-run"], "nowhere"),
    ],
)
def test_mistakes_are_one_clear_line(arguments, message, tmp_path, capsys):
    assert main([*arguments, "--workdir", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("samjax: error: ")
    assert message in error


def test_a_table_needs_methods_and_settings_that_are_run():
    with pytest.raises(ValueError, match="'b', 'test', which is not run"):
        plan.Comparison(
            data="", general="x", methods={"a": plan.Method("A")}, overall=(("B", "b", "test"),)
        )
    with pytest.raises(ValueError, match="expected a general model or stages"):
        plan.Comparison(data="", methods={})
