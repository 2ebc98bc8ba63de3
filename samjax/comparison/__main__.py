"""Runs a comparison: trains and tests every method with every seed, and writes the page of results.

    python -m samjax.comparison configs/comparison_mini.py --dry-run
    python -m samjax.comparison configs/comparison_mini.py

What is done is not done again: a comparison that was stopped, at any point, goes on with the same
command. `--shard 1/2` does every second model, for several processes or machines on one folder.
"""

import argparse
import dataclasses
import logging
import runpy
import sys
from pathlib import Path

from samjax import interruption, lock, process
from samjax.comparison import cost, figures, page, runner
from samjax.comparison.plan import Comparison, jobs


def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns the exit code."""
    parser = argparse.ArgumentParser(
        "python -m samjax.comparison", description=__doc__.split("\n")[0]
    )
    parser.add_argument("config", type=Path, help="file with a get_comparison()")
    parser.add_argument("--workdir", type=Path, help="folder of the runs; default: runs/CONFIG")
    parser.add_argument(
        "--page",
        type=Path,
        help="page to write, whatever is done; default: WORKDIR/results.md, once all is",
    )
    parser.add_argument("--general", help="checkpoint of the general model to start from")
    parser.add_argument("--data", help="data folder to train and test on")
    parser.add_argument("--seeds", type=int, nargs="+", metavar="N")
    parser.add_argument("--methods", nargs="+", metavar="NAME", help="only these")
    parser.add_argument("--shard", default="1/1", metavar="I/N", help="every N-th model from I")
    parser.add_argument("--dry-run", action="store_true", help="say what would run, and its cost")
    arguments = parser.parse_args(argv)
    logging.basicConfig(format="%(message)s", level=logging.WARNING, force=True)
    logging.getLogger("samjax").setLevel(logging.INFO)
    workdir = arguments.workdir or Path("runs") / arguments.config.stem
    process.prepare()
    return interruption.exit_code("samjax.comparison", lambda: run(arguments, workdir))


def run(arguments: argparse.Namespace, workdir: Path) -> None:
    """Does what is asked of a comparison."""
    comparison = _load(arguments)
    first, count = _shard(arguments.shard)
    everything = jobs(comparison)
    wanted = [job for job in everything if job.name in (arguments.methods or comparison.methods)]
    wanted = wanted[first - 1 :: count]
    if arguments.dry_run:
        for line in cost.estimate(comparison, wanted, workdir):  # Counting takes seconds a line.
            print(line, flush=True)
        return
    runner.check(comparison, wanted)
    figures.figure_class()  # The page needs it, hours later.
    if first > 1 and not runner.general_is_made(comparison, workdir):
        raise ValueError(f"{workdir}: the general model is not made yet; that is for --shard 1/N")
    general = runner.make_general(comparison, workdir)
    for job in wanted:
        runner.run(comparison, job, general, workdir)
    if left := sum(bool(job.missing(workdir)) for job in everything):
        print(f"{left} of {len(everything)} models are still to be made")
        if not arguments.page:
            return
    target = arguments.page or workdir / "results.md"
    with lock.exclusive(workdir):  # Of two shards, the last ones may end at once.
        drawn = page.write(comparison, workdir, target)
    print(f"{target}: {', '.join(drawn)}")


def _load(arguments: argparse.Namespace) -> Comparison:
    """The comparison of the file, with what the command line says."""
    if not arguments.config.is_file():
        raise FileNotFoundError(f"{arguments.config}: no such file")
    content = runpy.run_path(str(arguments.config))
    if "get_study" in content:
        raise ValueError(
            f"{arguments.config}: expected get_comparison, found its old name get_study"
        )
    if "get_comparison" not in content:
        raise ValueError(f"{arguments.config}: expected a function get_comparison, found none")
    comparison = content["get_comparison"]()
    given = {"general": arguments.general, "data": arguments.data}
    given |= {"seeds": tuple(arguments.seeds) if arguments.seeds else None}
    changed = {name: value for name, value in given.items() if value is not None}
    for name in arguments.methods or ():
        if name not in comparison.methods:
            raise ValueError(f"--methods: expected some of {[*comparison.methods]}, found {name!r}")
    return dataclasses.replace(comparison, **changed)


def _shard(text: str) -> tuple[int, int]:
    try:
        first, count = map(int, text.split("/"))
    except ValueError:
        first, count = 0, 0
    if not 1 <= first <= count:
        raise ValueError(f"--shard: expected I/N with I from 1 to N, found {text!r}")
    return first, count


if __name__ == "__main__":
    process.restart_with_huge_pages()
    sys.exit(main())
