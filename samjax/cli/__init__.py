"""The command `samjax` and the table of its subcommands, each in a module of its own.

A command's module has `add_arguments(parser)`, which also sets `run`, the function that takes the
parsed arguments and returns an exit code, or None for 0. Heavy modules are imported
only when a command runs, so that help is quick.
"""

import dataclasses
import importlib
import logging
import sys
from collections.abc import Sequence

import samjax
from samjax import runtime, signals
from samjax.cli.parser import Parser


@dataclasses.dataclass(frozen=True)
class Subcommand:
    """A subcommand of `samjax`.

    Attributes:
        summary: Its purpose, in one sentence.
        trains: Whether it trains; large memory pages make that faster.
    """

    summary: str
    trains: bool = False


COMMANDS = {  # By the name of their modules.
    "train": Subcommand("Trains a model by a recipe, or resumes a run.", trains=True),
    "evaluate": Subcommand("Evaluates a model by the protocols of the paper, and writes a report."),
    "predict": Subcommand(
        "Segments objects in images, and writes masks and overlays as PNG files."
    ),
    "convert": Subcommand(
        "Converts PyTorch and Hugging Face checkpoints to samjax models and back."
    ),
    "data": Subcommand("Prepares, checks, counts, visualizes and packs data folders."),
    "config": Subcommand(
        "Shows every setting of a training run: value, default, choices, meaning."
    ),
    "compare": Subcommand(
        "Trains and evaluates several methods with several seeds, and writes a page of results.",
        trains=True,
    ),
    "info": Subcommand("Shows versions and devices, and the settings and parameters of a model."),
}
KINDS = {  # Of a command, by a second word; each in a module of its own, as `compare_cosmos`.
    "compare": {
        "reports": "Compares reports of the same masks: differences with intervals and p.",
        "cosmos": "Asks the eight questions of COSMOS of your data and models, and writes a page.",
    },
}
_terminal = logging.StreamHandler()


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command `samjax`.

    Args:
        argv: Its arguments; default: those of this program.

    Returns:
        Exit code: 0, 1 if some files could not be used, 2 for a mistake in the call, 130 after
        Ctrl-C, 143 after SIGTERM.
    """
    words = sys.argv[1:] if argv is None else argv
    parser = Parser("samjax", description="SAM-Med2D in JAX.")
    parser.add_argument("--version", action="version", version=f"samjax {samjax.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    name, kind, *_ = [word for word in words if not word.startswith("-")] + ["", ""]
    for each, command in COMMANDS.items():
        one = commands.add_parser(each, help=command.summary, description=command.summary)
        if each == name and kind in KINDS.get(name, {}):
            described = {"help": KINDS[name][kind], "description": KINDS[name][kind]}
            one = one.add_subparsers(required=True, metavar="KIND").add_parser(kind, **described)
            _add_arguments(f"{name}_{kind}", one)
        elif each == name:  # The others need not be imported.
            _add_arguments(each, one)
    return _run(parser, name, argv)


def run_alone(name: str, program: str, argv: Sequence[str] | None = None) -> int:
    """Runs one command as a program of its own; returns the exit code.

    Args:
        name: Name of the command.
        program: Name of the program, such as `train.py`.
        argv: Its arguments; default: those of this program.
    """
    parser = Parser(program, description=COMMANDS[name].summary)
    _add_arguments(name, parser)
    return _run(parser, name, argv)


def _add_arguments(name: str, parser: Parser) -> None:
    importlib.import_module(f"samjax.cli.{name}").add_arguments(parser)


def _run(parser: Parser, name: str, argv: Sequence[str] | None) -> int:
    """Parses the arguments of a command, and runs it."""
    arguments = parser.parse_args(sys.argv[1:] if argv is None else argv)
    if argv is None and COMMANDS[name].trains:
        runtime.restart_with_huge_pages()
    runtime.prepare()
    _log_to_terminal(logging.INFO if COMMANDS[name].trains else logging.WARNING)
    return signals.run_command(parser.prog, lambda: arguments.run(arguments))


def _log_to_terminal(level: int) -> None:
    """Shows log messages of samjax from a level on, but none of other libraries."""
    _terminal.stream = sys.stderr
    log = logging.getLogger("samjax")
    log.addHandler(_terminal)
    log.setLevel(level)
    log.propagate = False
