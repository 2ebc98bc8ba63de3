"""Recipes by their names and by their files."""

import subprocess
import sys
from pathlib import Path

import pytest

from samjax import recipes

ROOT = Path(__file__).parents[1]


def test_a_name_is_a_file_of_configs():
    by_name, by_file = recipes.load("full"), recipes.load(str(ROOT / "configs/full.py"))
    assert by_name == by_file and by_name.is_locked
    assert recipes.load("full") is not by_name
    assert recipes.load("general:coarse").model.image_size == 128
    assert recipes.load(f"{ROOT}/configs/general.py:fine").model.image_size == 256


def test_a_recipe_of_ones_own_begins_from_another_wherever_it_lies(tmp_path):
    own = tmp_path / "own.py"
    own.write_text(
        "from configs import sam_med2d\n\n"
        "def get_config():\n    config = sam_med2d.get_config()\n"
        "    config.run.steps = 7\n    return config\n"
    )
    program = "import sys; from samjax import recipes; print(recipes.load(sys.argv[1]).run.steps)"
    command = [sys.executable, "-c", program, "own.py"]
    environment = {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    )
    assert done.stdout == "7\n"


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("dmeo", "dmeo: expected a Python file or one of .*demo, .*; perhaps demo"),
        ("nowhere/own.py", "nowhere/own.py: no such file"),
        ("demo:x", "demo:x: expected no argument, found 'x'"),
        ("general:fin", "expected one of .*, found 'fin'"),
        ("comparison", "expected a function get_config, found none"),
    ],
)
def test_what_is_no_recipe_is_told_those_that_are(recipe, message):
    with pytest.raises(ValueError, match=message):
        recipes.load(recipe)


@pytest.mark.parametrize("recipe", ["demo", "configs/demo.py", "a/demo.py:x"])
def test_the_name_of_a_recipe(recipe):
    assert recipes.name_of(recipe) == "demo"
