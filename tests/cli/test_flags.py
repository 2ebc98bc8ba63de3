"""Flags of the commands, and the errors for wrong ones."""

import subprocess
import sys
from pathlib import Path

import pytest

from samjax import cli, recipes
from samjax.cli import overrides
from samjax.cli.parser import Parser
from samjax.evaluation import EvalConfig

ROOT = Path(__file__).parents[2]
EVALUATE = ["--checkpoint", "a", "--data", "b", "--out", "c"]


def error_of(capsys, *words):
    """Returns the error output for a command line that cannot be parsed."""
    with pytest.raises(SystemExit) as ended:
        cli.main(list(words))
    assert ended.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "new"),
    [
        (["evaluate", *EVALUATE, "--batch_size=4"], "--batch-size"),
        (["evaluate", *EVALUATE, "--images_per_batch", "4"], "--images-per-batch"),
        (["evaluate", *EVALUATE, "--noadapters"], "--no-adapters"),
        (["evaluate", *EVALUATE, "--nopoint_prompts"], "--no-point-prompts"),
        (["evaluate", *EVALUATE, "--protocols=bbox,1pt"], "spaces between them"),
        (["convert", "from-torch", "a", "b", "--classes=liver,spleen"], "liver spleen"),
        (["compare", "c", "--methods", "msa,samed"], "msa samed"),
        (["data", "check", "a", "--splits", "train,test"], "train test"),
        (["convert", "from-torch", "a", "b", "--allow-surprises"], "--no-strict"),
        (["predict", "a.png", "--image_size", "9", *EVALUATE[:2], *EVALUATE[4:]], "--image-size"),
        (["data", "check", "a", "--subject_pattern=x"], "--subject-pattern"),
        (["train", "--wrkdir=x"], "perhaps --workdir"),
        (["info", "--config.optim.b1=3"], "no such flag: --config.optim.b1"),
    ],
)
def test_the_error_for_another_spelling_names_the_right_one(capsys, words, new):
    assert new in error_of(capsys, *words)


@pytest.mark.parametrize(
    ("words", "new"),
    [
        (["evaluate", "--batch_size", "3"], "--batch-size"),
        (["predict", "--image_size=9"], "--image-size"),
        (["convert", "from-torch", "--allow-surprises"], "--no-strict"),
        (["data", "check", "--subject_pattern=x"], "--subject-pattern"),
        (["compare", "--dry_run"], "--dry-run"),
    ],
)
def test_an_old_spelling_is_named_before_missing_arguments(capsys, words, new):
    assert f"expected the new spelling {new}" in error_of(capsys, *words)


@pytest.mark.parametrize("words", [["--mean=1,2,3"], ["--mean", "1, 2, 3"], ["--mean", "1,2,3"]])
@pytest.mark.parametrize("command", [["info", "a"], ["evaluate", *EVALUATE]])
def test_the_error_for_values_with_commas_has_them_with_spaces(capsys, command, words):
    message = error_of(capsys, *command, *words)
    assert "--mean: expected 3 values with spaces between them" in message
    assert message.endswith(": --mean 1 2 3\n")


def test_the_help_of_evaluate_has_the_defaults(capsys):
    with pytest.raises(SystemExit):
        cli.main(["evaluate", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    config = EvalConfig()
    for part in (
        f"masks predicted at a time; default: {config.batch_size}",
        f"images encoded at a time; default: {config.images_per_batch}",
        f"seed of the prompts; default: {config.seed}",
        f"largest move of a side over the image's; default: {config.jitter}",
        f"values that are averaged; default: {config.ensemble_mean}",
        f"default: {' '.join(config.protocols)}",
    ):
        assert part in text


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_has_help(capsys, command):
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert ended.value.code == 0 and text.startswith(f"usage: samjax {command} [-h]")


def test_training_points_to_the_list_of_fields(capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    assert "samjax config" in " ".join(capsys.readouterr().out.split())


def test_help_is_quick():
    program = (
        "import sys; from samjax import cli\n"
        "try: cli.main(sys.argv[1:])\n"
        "except SystemExit: print(*sys.modules.keys() & {'jax', 'flax', 'cv2', 'absl'})"
    )
    for words in (["--help"], ["train", "--help"], ["convert", "--version"]):
        command = [sys.executable, "-c", program, *words]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        assert not done.stdout.splitlines()[-1].strip() or words[0] == "convert"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], []),
        (["--config.a.b=1", "--workdir", "x", "--config.c", "-2"], ["a.b=1", "c=-2"]),
        (["--config.run.report", "--noconfig.d"], ["run.report", "noconfig.d"]),
        (["demo", "--config.prompting.point_counts=(1, 2)"], ["prompting.point_counts=(1, 2)"]),
    ],
)
def test_overrides_may_stand_anywhere(words, expected):
    parser = Parser("samjax")
    parser.add_argument("recipe", nargs="?")
    parser.add_argument("--workdir")
    parser.take_overrides()
    found = parser.parse_args(words)
    written = [word.removeprefix("--config.").removeprefix("--") for word in found.overrides]
    assert written == expected
    assert found.recipe == ("demo" if "demo" in words else None)


def test_fields_are_set_by_their_type():
    config = recipes.load("sam_med2d")
    words = ["--config.optim.learning_rate=1", "--noconfig.run.report", "--config.run.phantoms"]
    words += ["--config.prompting.point_counts=(1, 2)", "--config.evaluation.limit=3"]
    overrides.apply(config, words)
    assert isinstance(config.optim.learning_rate, float) and config.optim.learning_rate == 1
    assert (config.run.report, config.run.phantoms, config.evaluation.limit) == (False, True, 3)
    assert config.prompting.point_counts == (1, 2)


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("--config.optim.learningrate=1", ["no such field", "learning_rate"]),
        ("--config.optm.schedule=cosine", ["no such field", '"optim"']),
        (
            "--config.optim.learning_rate=fast",
            ["optim.learning_rate: expected a number, found 'fast'"],
        ),
        (
            "--config.evaluation.limit=few",
            ["evaluation.limit: expected a whole number, found 'few'"],
        ),
        ("--config.run.report=3", ["run.report: expected true or false, found '3'"]),
        ("--config.data.augment=3", ["data.augment: expected fields, found '3'"]),
    ],
)
def test_a_field_that_cannot_be_set_is_named(word, parts):
    with pytest.raises(ValueError) as error:
        overrides.apply(recipes.load("demo"), [word])
    assert all(part in str(error.value) for part in parts)


def test_one_recipe_at_a_time(capsys):
    assert cli.main(["train", "demo", "--config", "full"]) == 2
    assert "--config: expected one recipe" in capsys.readouterr().err


@pytest.mark.parametrize("script", [["train.py"], ["eval.py"], ["-m", "convert"]])
def test_the_scripts_are_the_same_commands(script):
    command = [sys.executable, *script, "--no_such"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    program = "python -m convert" if script[0] == "-m" else script[0]
    assert done.returncode == 2 and done.stderr.startswith(f"usage: {program}")
