"""`samjax compare`: trains and evaluates every method with every seed, and writes their results.

    samjax compare comparison_mini --dry-run
    samjax compare comparison_mini

The same command resumes a comparison that was stopped, at any point; finished models are kept.
`--shard 1/2` trains every second model, for several processes or machines on one folder.
"""

import argparse
import dataclasses
import typing
from collections.abc import Sequence
from pathlib import Path

from samjax import recipes
from samjax.cli.parser import Parser, name_in_list

if typing.TYPE_CHECKING:
    from samjax.comparison.plan import Comparison, Job


def run(arguments: argparse.Namespace) -> None:
    """Runs, resumes or estimates a comparison, or only writes its page.

    Raises:
        ValueError: An argument cannot be used, or there are no results for the page.
        OSError: A file cannot be read or written.
        Interrupted: The comparison was interrupted; finished models are saved.
    """
    from samjax import lock
    from samjax.comparison import cost, figures, measure, page
    from samjax.comparison.plan import jobs

    comparison = _load(arguments)
    workdir = arguments.workdir or _default_workdir(arguments.config)
    first, count = _shard(arguments.shard)
    all_jobs = jobs(comparison)
    selected = [job for job in all_jobs if job.name in (arguments.methods or comparison.methods)]
    selected = _of_shard(selected, first, count)
    if arguments.dry_run:
        for line in cost.estimate(comparison, selected, workdir):  # Counting takes seconds a line.
            print(line, flush=True)
        return
    figures.figure_class()  # The page needs it, hours later.
    if not arguments.page_only:
        _make([job for job in selected if job.missing(workdir)], comparison, first, workdir)
    if left := sum(bool(job.missing(workdir)) for job in all_jobs):
        print(f"{left} of {len(all_jobs)} models are still to be made")
        if not arguments.page and not arguments.page_only:
            return
    target = arguments.page or workdir / "results.md"
    with lock.exclusive(workdir):  # Of two shards, the last ones may end at once.
        if comparison.side_by_side and not arguments.page_only:
            measure.write(comparison, workdir)
        drawn = page.write(comparison, workdir, target)
    print(f"{target}: {', '.join(drawn)}")


def add_arguments(parser: Parser) -> None:
    """Adds the command's arguments; the parsed ones have its `run`."""
    parser.set_defaults(run=run)
    parser.epilog = (
        "`samjax compare cosmos --help`: the study of COSMOS on your data and models. "
        "`samjax compare reports --help`: reports of samjax evaluate against each other."
    )
    parser.add_argument(
        "config", help="a name such as comparison_mini, or a file with a get_comparison()"
    )
    parser.add_argument("--workdir", type=Path, help="folder of the runs; default: runs/CONFIG")
    parser.add_argument(
        "--page",
        type=Path,
        help="page to write, also if models are missing; default: WORKDIR/results.md, at the end",
    )
    parser.add_argument(
        "--page-only",
        action="store_true",
        help="train and evaluate nothing: write the page from the existing reports",
    )
    parser.add_argument("--general", help="checkpoint of the general model to start from")
    parser.add_argument("--data", help="data folder to train and evaluate on")
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        metavar="N",
        help="seeds to train every method with; default: the comparison's",
    )
    parser.add_argument(
        "--methods",
        nargs="+",
        type=name_in_list,
        metavar="NAME",
        help="methods to train; default: all",
    )
    parser.add_argument(
        "--shard",
        default="1/1",
        metavar="I/N",
        help="train every N-th model from the I-th; default: all",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print the models that would be trained, and their cost",
    )


def _make(todo: "Sequence[Job]", comparison: "Comparison", shard: int, workdir: Path) -> None:
    """Trains and evaluates models, after the general one; nothing where no model is missing.

    Raises:
        ValueError: Settings contradict each other, or the first shard has not trained the
            general model yet.
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
    settings = {"general": arguments.general, "data": arguments.data}
    settings |= {"seeds": tuple(arguments.seeds) if arguments.seeds else None}
    changed = {name: value for name, value in settings.items() if value is not None}
    for name in arguments.methods or ():
        if name not in comparison.methods:
            raise ValueError(f"--methods: expected some of {[*comparison.methods]}, found {name!r}")
    return dataclasses.replace(comparison, **changed)


def _check_former_names(path: Path) -> None:
    """Checks that a user's file does not use the names of earlier versions.

    Raises:
        ValueError: It does; the message gives the new name.
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
        ValueError: There is only a folder with the name that earlier versions gave it: hours of
            training would be repeated.
    """
    folder = Path("runs") / recipes.name_of(config)
    former = folder.with_name(folder.name.replace("comparison", "study"))
    if former.is_dir() and not folder.exists():
        raise ValueError(
            f"--workdir: expected {folder}, found {former}, its name in an earlier version; "
            f"go on there with --workdir {former}, or begin anew with --workdir {folder}"
        )
    return folder


def _of_shard(selected: "Sequence[Job]", first: int, count: int) -> "list[Job]":
    """Returns every N-th job; the seeds of a method with a grid stay together, as they share it."""
    unit_of = {id(job): job.name if job.method.grid else (job.name, job.seed) for job in selected}
    units = list(dict.fromkeys(unit_of.values()))[first - 1 :: count]
    return [job for job in selected if unit_of[id(job)] in units]


def _shard(text: str) -> tuple[int, int]:
    try:
        first, count = map(int, text.split("/"))
    except ValueError:
        first, count = 0, 0
    if not 1 <= first <= count:
        raise ValueError(f"--shard: expected I/N with I from 1 to N, found {text!r}")
    return first, count
