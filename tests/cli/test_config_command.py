"""`samjax config` shows every setting; docs/config.md is what it makes."""

import json
from pathlib import Path

import pytest

from samjax import cli
from samjax.cli import config
from samjax.training import describe
from samjax.training.config import Experiment

PAGE = Path(__file__).parents[2] / "docs/config.md"


@pytest.fixture
def shown(capsys):
    """Runs `samjax config`; returns what it prints."""

    def run(*words):
        assert cli.main(["config", *words]) == 0
        return capsys.readouterr().out

    return run


def test_page_is_what_the_command_makes():
    made = config.as_markdown(describe.sections(Experiment(), Experiment())) + "\n"
    assert made == PAGE.read_text(), "stale: samjax config --markdown > docs/config.md"
    assert max(map(len, made.splitlines())) <= 120


def test_what_differs_from_the_default_is_marked(shown):
    assert not [line for line in shown().splitlines() if line.startswith("*")]
    marked = [line for line in shown("--config.optim.b1=0.8").splitlines() if line[:1] == "*"]
    assert len(marked) == 1 and marked[0].startswith("* optim.b1 = 0.8  (float")
    assert "default 0.9" in marked[0]
    assert "- `optim.b1` = **`0.8`** (default `0.9`), float" in shown(
        "--markdown", "--config.optim.b1=0.8"
    )


def test_json_has_value_default_and_meaning_of_a_recipes_fields(shown):
    rows = {row["path"]: row for row in json.loads(shown("sam_med2d", "--json"))}
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
