"""`samjax compare cosmos`: the study of COSMOS on one's own data and models.

    samjax compare cosmos --data DATA --checkpoint SMALL LARGE --page cosmos.md

The same command goes on with a study that was stopped; finished evaluations are kept.
"""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from samjax.cli.parser import Parser, flag, name_in_list, specified

if TYPE_CHECKING:
    from samjax.comparison.cosmos.plan import CosmosStudy

_GENERIC = ("last", "best")  # Names of folders that every run has.


def add_arguments(parser: Parser) -> None:
    """Adds the command's arguments; the parsed ones have its `run`."""
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("--data", required=True, metavar="DIR", help="data folder, see docs/data.md")
    add(
        "--checkpoint",
        required=True,
        nargs="+",
        metavar="PATH",
        help="model directories, .pth or .safetensors; each is compared with the first",
    )
    add("--names", nargs="+", type=name_in_list, metavar="NAME", help="names of the models")
    add("--split", metavar="NAME", help="split of the data folder; default: test")
    add(
        "--strategies",
        nargs="+",
        type=name_in_list,
        metavar="S",
        help="of S1 (everything), S2 (one point) to S6 (box and point); default: all",
    )
    add(
        "--grids",
        nargs="*",
        type=int,
        metavar="N",
        help="further grids of N x N points for everything; default: 8 16",
    )
    add(
        "--jitter",
        nargs="*",
        metavar="RANGE",
        help="distances by which prompts are moved; default: 0-10px 10-20px 20-30px",
    )
    add("--repeats", type=int, metavar="N", help="draws of every random move; default: 3")
    add("--clicks", type=int, metavar="N", help="clicks of the curves, 0 for none; default: 20")
    add("--limit", type=int, metavar="N", help="number of images, spread evenly; default: all")
    add("--tune", action="store_true", help="also tune the first model's decoder, on train")
    add("--out", type=Path, metavar="DIR", help="folder of the study; default: runs/cosmos")
    add("--page", type=Path, metavar="FILE", help="page to write; default: OUT/cosmos.md")


def run(arguments: argparse.Namespace) -> None:
    """Runs or resumes a study, and writes its page.

    Raises:
        ValueError: An argument cannot be used.
        DataError: The data cannot be used, or the folder has another study.
        OSError: A file cannot be read or written.
    """
    from samjax import lock
    from samjax.comparison.cosmos import page, results
    from samjax.comparison.cosmos import run as runs
    from samjax.comparison.figures import figure_class

    study = _study(arguments)
    out = arguments.out or Path("runs/cosmos")
    target = arguments.page or out / "cosmos.md"
    figure_class()  # The page needs it, hours later.
    with lock.exclusive(out):
        runs.run(study, out)
        page.write(results.load(study, out), out, target, _command(arguments))
    print(f"{target}, {out / page.NUMBERS}")


def _study(arguments: argparse.Namespace) -> "CosmosStudy":
    from samjax import fields
    from samjax.comparison.cosmos.plan import CosmosStudy

    names = arguments.names or names_of(arguments.checkpoint)
    if len(names) != len(arguments.checkpoint) or len(set(names)) < len(names):
        raise ValueError(
            f"--names: expected {len(arguments.checkpoint)} different ones, one for each "
            f"checkpoint, found {' '.join(names)}"
        )
    wanted = ("data", "split", "strategies", "grids", "jitter", "repeats", "clicks", "limit")
    settings = specified(arguments, wanted)
    for name in ("strategies", "grids", "jitter"):
        if name in settings:
            settings[name] = tuple(settings[name])
    checkpoints = dict(zip(names, arguments.checkpoint, strict=True))
    with fields.naming(flag):
        return CosmosStudy(checkpoints=checkpoints, tune=arguments.tune, **settings)


def names_of(checkpoints: Sequence[str]) -> list[str]:
    """Returns a name for each checkpoint: its file's, or that of the run whose folder it is in."""
    paths = [Path(checkpoint) for checkpoint in checkpoints]
    return [path.parent.name if path.name in _GENERIC else path.stem for path in paths]


def _command(arguments: argparse.Namespace) -> str:
    """Returns the command as one would type it again."""
    words = ["samjax compare cosmos"]
    for name in ("data", "checkpoint", "names", "split", "strategies", "grids", "jitter"):
        if (value := getattr(arguments, name)) is not None:
            values = value if isinstance(value, list) else [value]
            words.append(" ".join([flag(name), *(shlex.quote(str(each)) for each in values)]))
    for name in ("repeats", "clicks", "limit", "out", "page"):
        if (value := getattr(arguments, name)) is not None:
            words.append(f"{flag(name)} {shlex.quote(str(value))}")
    if arguments.tune:
        words.append("--tune")
    return " \\\n    ".join(words)
