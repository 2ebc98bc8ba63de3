"""`samjax config` shows every setting, and writes docs/config.md."""

import json
from pathlib import Path

import pytest

from samjax import cli
from samjax.cli import config
from samjax.training import describe
from samjax.training.config import Experiment

PAGE = Path(__file__).parents[2] / "docs/config.md"


@pytest.fixture
def output_of(capsys):
    """Runs `samjax config`; returns its output."""

    def run(*words):
        assert cli.main(["config", *words]) == 0
        return capsys.readouterr().out

    return run


def test_the_page_is_the_output_of_the_command():
    made = config.as_markdown(describe.sections(Experiment(), Experiment())) + "\n"
    assert made == PAGE.read_text(), "stale: samjax config --markdown > docs/config.md"
    assert max(map(len, made.splitlines())) <= 120


def test_values_that_differ_from_the_default_are_marked(output_of):
    assert not [line for line in output_of().splitlines() if line.startswith("*")]
    marked = [line for line in output_of("--config.optim.b1=0.8").splitlines() if line[:1] == "*"]
    assert len(marked) == 1 and marked[0].startswith("* optim.b1 = 0.8  (float")
    assert "default 0.9" in marked[0]
    assert "- `optim.b1` = **`0.8`** (default `0.9`), float" in output_of(
        "--markdown", "--config.optim.b1=0.8"
    )


def test_json_has_value_default_and_meaning_of_a_recipes_fields(output_of):
    rows = {row["path"]: row for row in json.loads(output_of("sam_med2d", "--json"))}
    flip = rows["data.augment.flip"]
    assert (flip["value"], flip["default"], flip["differs"]) == (0.5, 0.0, True)
    assert flip["meaning"].startswith("Probability of a flip")
    assert not rows["run.steps"]["differs"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["no_such_recipe"], "no_such_recipe: expected"),
        (["--config.optim.no_such=1"], "no such field"),
        (["--config.run.epochs=-1"], "epochs"),
    ],
)
def test_mistakes_are_one_line(capsys, words, message):
    assert cli.main(["config", *words]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
