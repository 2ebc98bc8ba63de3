"""The command `samjax`: one table of commands, each in a module of its own.

A command's module has `add_arguments(parser)`, which also sets `run`, the function that takes the
parsed arguments and returns an exit code, or None for 0. Modules import what is heavy when they
run, so that help is quick.
"""

import dataclasses
import importlib
import sys
from collections.abc import Sequence

import samjax
from samjax import runtime, signals
from samjax.cli.parser import Parser


@dataclasses.dataclass(frozen=True)
class Command:
    """A command of the table.

    Attributes:
        summary: What it does, in one sentence.
        trains: Whether it takes many training steps, which large memory pages make faster.
    """

    summary: str
    trains: bool = False


COMMANDS = {  # Each is the module of that name.
    "train": Command("Trains by a recipe, or goes on with a run that was stopped.", trains=True),
    "evaluate": Command("Evaluates a model by the paper's protocols, and writes a report."),
    "predict": Command("Segments objects in images; writes masks and overlays as PNG."),
    "convert": Command("Brings PyTorch and Hugging Face checkpoints in and out."),
    "data": Command("Prepares, checks, counts, shows and packs data folders."),
    "config": Command("Shows every setting of a training run: value, default, choices, meaning."),
    "compare": Command(
        "Trains and tests several methods with several seeds; writes a page of results.",
        trains=True,
    ),
    "info": Command("Shows versions, devices and, if given, what a model is."),
}


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
    name = next((word for word in words if not word.startswith("-")), "")
    for each, command in COMMANDS.items():
        one = commands.add_parser(each, help=command.summary, description=command.summary)
        if each == name:  # The others need not be imported.
            _add_arguments(each, one)
    return _run(parser, name, argv)


def run_alone(name: str, program: str, argv: Sequence[str] | None = None) -> int:
    """Runs one command as a program of its own; returns the exit code.

    Args:
        name: The command.
        program: What the program is called, such as `train.py`.
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
    return signals.exit_code(parser.prog, lambda: arguments.run(arguments))
