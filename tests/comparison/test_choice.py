"""Choice among variants of a method, by validation alone."""

import dataclasses
import json

import pytest
import tiny_comparison

from samjax.cli import compare
from samjax.comparison import choice, plan, runner

SCORES = {"low": 0.4, "high": 0.6, "higher": 0.6}


@pytest.fixture
def comparison(monkeypatch):
    """Returns a comparison of a method with a grid and one without."""
    monkeypatch.setenv("TINY_COMPARISON_DATA", "nowhere")
    stage = tiny_comparison.get_comparison().stages[0]
    grid = tuple(dataclasses.replace(stage, name=name) for name in SCORES)
    methods = {"grid": plan.Method("Grid", grid=grid), "plain": plan.Method("Plain", (stage,))}
    return plan.Comparison(data="nowhere", general="general", methods=methods, seeds=(5, 6))


def test_the_best_by_validation_is_used_with_every_seed(comparison, tmp_path, monkeypatch):
    trained = []

    def train(experiment, folder):
        trained.append((folder.parent.name, folder.name, experiment.data.seed))
        folder.mkdir(parents=True)
        rows = [{"step": 1, "loss": 1.0}, {"step": 2, "validation/dice": SCORES[folder.name]}]
        (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)))

    monkeypatch.setattr(runner, "_train", train)
    monkeypatch.setattr(runner, "is_trained", lambda folder: folder.exists())
    monkeypatch.setattr(runner.conversion, "load_or_convert", lambda path, size: path)
    evaluated = []
    monkeypatch.setattr(runner, "_evaluate", lambda *args: evaluated.append(args[1]))
    # The second seed first, as another process may be at work.
    jobs = [job for job in plan.jobs(comparison) if job.name == "grid"]
    for job in reversed(jobs):
        assert job.stages(tmp_path) == () or job.seed == 5
        runner.run(comparison, job, "general", tmp_path)
    first = [("seed_5", name, 5) for name in SCORES]
    assert trained == [*first, ("seed_6", "high", 6)]
    assert evaluated == [str(tmp_path / f"grid/seed_{s}/high/last") for s in (6, 5)]
    assert choice.read(tmp_path / "grid") == choice.Choice("high", SCORES)


def test_without_validation_there_is_no_choice(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 1.0}\n')
    with pytest.raises(ValueError, match="expected a validation to choose by, found none"):
        choice.validation_score(tmp_path)
    assert choice.read(tmp_path) is None


def test_a_method_has_stages_or_a_grid(comparison):
    stages = comparison.methods["grid"].grid
    with pytest.raises(ValueError, match="Both: expected stages or a grid, found both"):
        plan.Method("Both", stages, grid=stages)


def test_shards_keep_the_seeds_of_a_grid_together(comparison):
    jobs = plan.jobs(comparison)
    shards = [compare._of_shard(jobs, number, 2) for number in (1, 2)]
    found = [[(job.name, job.seed) for job in shard] for shard in shards]
    assert found == [[("grid", 5), ("grid", 6), ("plain", 6)], [("plain", 5)]]
