"""`samjax train` and `train.py`: trains a model by a recipe."""

import argparse
from pathlib import Path

from samjax.cli.parser import Parser


def add_arguments(parser: Parser) -> None:
    """Adds the command's arguments."""
    parser.set_defaults(run=run)
    parser.add_argument(
        "recipe",
        nargs="?",
        help="a name such as demo (the default), sam_med2d or general:fine, or a Python file",
    )
    parser.add_argument("--config", metavar="RECIPE", help="the same as the positional recipe")
    parser.add_argument(
        "--workdir", type=Path, help="folder of the run; the same command resumes it; default: "
        "runs/RECIPE"
    )  # fmt: skip
    parser.take_overrides()


def run(arguments: argparse.Namespace) -> None:
    """Trains, evaluates and reports."""
    import jax

    from samjax import recipes
    from samjax.cli import overrides
    from samjax.training import config as training_config
    from samjax.training import loop, summary

    if arguments.recipe and arguments.config:
        raise ValueError(f"--config: expected one recipe, found {arguments.recipe} as well")
    recipe = arguments.recipe or arguments.config or "demo"
    config = recipes.load(recipe)
    plain = training_config.from_config_dict(config)
    overrides.apply(config, arguments.overrides)
    settings = training_config.from_config_dict(config)
    workdir = arguments.workdir or Path("runs") / recipes.name_of(recipe)
    typed = tuple(overrides.paths(arguments.overrides))
    source = summary.RecipeFile(recipes.name_of(recipe), plain, typed)
    trained = loop.train(settings, workdir, source)
    if settings.run.report and jax.process_index() == 0:
        print(f"{loop.evaluate(settings, trained)}\n\nReport: {workdir / 'report'}")
        print(f"Picture: {workdir / 'report/overlays/median.png'}")
