"""`samjax compare`: trains and tests every method with every seed, and writes the page of results.

    samjax compare comparison_mini --dry-run
    samjax compare comparison_mini

What is done is not done again: a comparison that was stopped, at any point, goes on with the same
command. `--shard 1/2` does every second model, for several processes or machines on one folder.
"""

import argparse
import dataclasses
import logging
import typing
from collections.abc import Sequence
from pathlib import Path

from samjax import recipes
from samjax.cli.parser import Parser

if typing.TYPE_CHECKING:
    from samjax.comparison.plan import Comparison, Job


def run(arguments: argparse.Namespace) -> None:
    """Runs, continues or estimates a comparison, or draws its page alone.

    Raises:
        ValueError: An argument cannot be used, or there is nothing to draw the page from.
        OSError: A file cannot be read or written.
        Interrupted: It was asked to stop; what is done is saved.
    """
    from samjax import lock
    from samjax.comparison import cost, figures, page
    from samjax.comparison.plan import jobs

    logging.basicConfig(format="%(message)s", level=logging.WARNING, force=True)
    logging.getLogger("samjax").setLevel(logging.INFO)
    comparison = _load(arguments)
    workdir = arguments.workdir or _default_workdir(arguments.config)
    first, count = _shard(arguments.shard)
    every = jobs(comparison)
    wanted = [job for job in every if job.name in (arguments.methods or comparison.methods)]
    wanted = wanted[first - 1 :: count]
    if arguments.dry_run:
        for line in cost.estimate(comparison, wanted, workdir):  # Counting takes seconds a line.
            print(line, flush=True)
        return
    figures.figure_class()  # The page needs it, hours later.
    if not arguments.page_only:
        _make([job for job in wanted if job.missing(workdir)], comparison, first, workdir)
    if left := sum(bool(job.missing(workdir)) for job in every):
        print(f"{left} of {len(every)} models are still to be made")
        if not arguments.page and not arguments.page_only:
            return
    target = arguments.page or workdir / "results.md"
    with lock.exclusive(workdir):  # Of two shards, the last ones may end at once.
        drawn = page.write(comparison, workdir, target)
    print(f"{target}: {', '.join(drawn)}")


def add_arguments(parser: Parser) -> None:
    """Adds what the command takes; the parsed arguments have its `run`."""
    parser.set_defaults(run=run)
    parser.add_argument(
        "config", help="a name such as comparison_mini, or a file with a get_comparison()"
    )
    parser.add_argument("--workdir", type=Path, help="folder of the runs; default: runs/CONFIG")
    parser.add_argument(
        "--page",
        type=Path,
        help="page to write, whatever is done; default: WORKDIR/results.md, once all is",
    )
    parser.add_argument(
        "--page-only",
        action="store_true",
        help="train and test nothing: write the page from the reports there are",
    )
    parser.add_argument("--general", help="checkpoint of the general model to start from")
    parser.add_argument("--data", help="data folder to train and test on")
    parser.add_argument(
        "--seeds", type=int, nargs="+", metavar="N", help="train every method with each of these"
    )
    parser.add_argument("--methods", nargs="+", metavar="NAME", help="make only these")
    parser.add_argument("--shard", default="1/1", metavar="I/N", help="every N-th model from I")
    parser.add_argument("--dry-run", action="store_true", help="say what would run, and its cost")


def _make(todo: "Sequence[Job]", comparison: "Comparison", shard: int, workdir: Path) -> None:
    """Trains and tests models, after the general one; where none is missing, not that one either.

    Raises:
        ValueError: Settings contradict each other, or the first shard has the general model to
            make yet.
    """
    if not todo:
        return
    from samjax.comparison import runner

    runner.check(comparison, todo)
    if shard > 1 and not runner.general_is_ready(comparison, workdir):
        raise ValueError(f"{workdir}: the general model is not made yet; that is for --shard 1/N")
    general = runner.prepare_general(comparison, workdir)
    for job in todo:
        runner.run(comparison, job, general, workdir)


def _load(arguments: argparse.Namespace) -> "Comparison":
    """Reads the comparison from its file; the command line replaces fields of it."""
    _check_former_names(Path(arguments.config))
    comparison = recipes.call(arguments.config, "get_comparison")
    given = {"general": arguments.general, "data": arguments.data}
    given |= {"seeds": tuple(arguments.seeds) if arguments.seeds else None}
    changed = {name: value for name, value in given.items() if value is not None}
    for name in arguments.methods or ():
        if name not in comparison.methods:
            raise ValueError(f"--methods: expected some of {[*comparison.methods]}, found {name!r}")
    return dataclasses.replace(comparison, **changed)


def _check_former_names(path: Path) -> None:
    """Checks that a file of one's own does not go by what earlier versions called it.

    Raises:
        ValueError: It does; the message says its name today.
    """
    renamed = path.with_name(path.name.replace("study", "comparison"))
    if renamed != path and renamed.is_file() and not path.is_file():
        raise ValueError(f"{path}: no such file; it is called {renamed} now")
    if path.is_file() and "def get_study(" in path.read_text():
        raise ValueError(
            f"{path}: expected a function get_comparison, found its former name, get_study"
        )


def _default_workdir(config: str) -> Path:
    """Returns `runs/CONFIG`.

    Raises:
        ValueError: There is only the folder that an earlier version wrote under another name:
            hours of training would be done again.
    """
    folder = Path("runs") / recipes.name_of(config)
    former = folder.with_name(folder.name.replace("comparison", "study"))
    if former.is_dir() and not folder.exists():
        raise ValueError(
            f"--workdir: expected {folder}, found {former}, its name in an earlier version; "
            f"go on there with --workdir {former}, or begin anew with --workdir {folder}"
        )
    return folder


def _shard(text: str) -> tuple[int, int]:
    try:
        first, count = map(int, text.split("/"))
    except ValueError:
        first, count = 0, 0
    if not 1 <= first <= count:
        raise ValueError(f"--shard: expected I/N with I from 1 to N, found {text!r}")
    return first, count
