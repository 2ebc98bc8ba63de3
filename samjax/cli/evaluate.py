"""`samjax evaluate` and `eval.py`."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from samjax.cli import preprocessing_flags
from samjax.cli.parser import Parser, flag, given

if TYPE_CHECKING:
    from samjax.evaluation import EvalConfig

_EPILOG = """`--out` gets `report.json`, `report.md`, `masks.csv`, `prompts.json` and pictures;
another model is shown the very same prompts with `--prompts OUT/prompts.json`, the same model
without its adapters with `--no-adapters`."""


def add_arguments(parser: Parser) -> None:
    """Adds what the command takes."""
    parser.set_defaults(run=run)
    parser.epilog = _EPILOG
    add = parser.add_argument
    add("--checkpoint", required=True, help="model directory, .pth or .safetensors")
    add("--data", required=True, metavar="DIR", help="data folder, see docs/data.md")
    add("--out", required=True, metavar="DIR", help="folder to write the report to")
    add("--split", default="test", metavar="NAME", help="images of the data folder; default: test")
    add("--datasets", nargs="+", default=[], type=_name, metavar="NAME", help="only these")
    add("--name", help="what the tables call the model; default: its file's name")
    add(
        "--protocols",
        nargs="+",
        type=_name,
        metavar="NAME",
        help="bbox, or Npt for N points; default: bbox 1pt 3pt 5pt",
    )
    add("--no-adapters", action="store_true", help="drop the adapters")
    add("--oracle", action="store_true", help="also score the best of the three predicted masks")
    add("--image-size", type=int, metavar="N", help="side of the network's input")
    add("--seed", type=int, help="of the prompts")
    add("--prompts", metavar="FILE", help="prompts.json of an earlier evaluation, to replay")
    add("--limit", type=int, metavar="N", help="only so many images, spread evenly")
    add("--batch-size", type=int, metavar="N", help="masks predicted at a time")
    add("--images-per-batch", type=int, metavar="N", help="images encoded at a time")
    add("--overwrite", action="store_true", help="replace what DIR holds of another evaluation")
    add(
        "--on-bad", choices=("skip", "error"), default="skip", help="files of no use; default: skip"
    )
    preprocessing_flags.add(parser)


def run(arguments: argparse.Namespace) -> int:
    """Evaluates, prints the table, writes the report."""
    from samjax import fields, lock
    from samjax.evaluation import EvalConfig

    names = ("protocols", "batch_size", "images_per_batch", "seed", "limit")
    how = {"adapters": not arguments.no_adapters, "oracle": arguments.oracle}
    with fields.naming(flag):
        config = fields.from_dict(EvalConfig, given(arguments, names) | how)
    with lock.exclusive(arguments.out):  # Also shows at once whether it can be written to.
        return _evaluate(arguments, config)


def _evaluate(arguments: argparse.Namespace, config: "EvalConfig") -> int:
    """Evaluates, when nothing is wrong with the flags themselves."""
    from samjax import conversion
    from samjax.data import index
    from samjax.evaluation import prompt_file, run

    replayed = prompt_file.load(arguments.prompts) if arguments.prompts else None
    samples = index.load_index(arguments.data, arguments.split)
    samples = index.of_datasets(samples, arguments.datasets)
    model = conversion.load_or_convert(
        arguments.checkpoint, arguments.image_size, **preprocessing_flags.loading(arguments)
    )
    name = arguments.name or Path(arguments.checkpoint).resolve().stem
    what = (model, arguments.data, samples, arguments.out, config, name)
    origin = {name: getattr(arguments, name) for name in ("checkpoint", "data", "split")}
    how = (origin, replayed, arguments.on_bad, arguments.overwrite)
    written = run.evaluate_and_report(*what, *how)
    print(f"{written.table}\n\nDice at original resolution, see {arguments.out}")
    for problem in written.problems:
        print(f"left out: {problem}", file=sys.stderr)
    return 1 if written.problems else 0


def _name(text: str) -> str:
    """A name of a list, which has no commas in it."""
    if "," in text:
        raise argparse.ArgumentTypeError(
            f"expected names with spaces between them, found {text!r}: {text.replace(',', ' ')}"
        )
    return text
