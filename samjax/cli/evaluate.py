"""`samjax evaluate` and `eval.py`: evaluates a model by protocols."""

import argparse
import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from samjax.cli import preprocessing_flags
from samjax.cli.parser import Parser, flag, name_in_list, specified

if TYPE_CHECKING:
    from samjax.data.index import Sample
    from samjax.evaluation import EvalConfig
    from samjax.models.directory import Model

_EPILOG = """`--out` gets `report.html`, `report.md`, `report.json`, `masks.csv`, `scores.csv`,
`prompts.json` and figures; `samjax compare reports` compares two of them.
`--prompts OUT/prompts.json` evaluates another model with exactly the same prompts,
`--no-adapters` the same model without its adapters."""


def add_arguments(parser: Parser) -> None:
    """Adds the command's arguments."""
    parser.set_defaults(run=run)
    parser.epilog = _EPILOG
    add = parser.add_argument
    add("--checkpoint", required=True, help="model directory, .pth or .safetensors")
    add("--data", required=True, metavar="DIR", help="data folder, see docs/data.md")
    add("--out", required=True, metavar="DIR", help="folder to write the report to")
    add("--split", metavar="NAME", help="split of the data folder; default: test")
    add(
        "--datasets",
        nargs="+",
        default=[],
        type=name_in_list,
        metavar="NAME",
        help="datasets; default: all",
    )
    add("--name", help="name of the model in the tables; default: its file's")
    add(
        "--protocols",
        nargs="+",
        type=name_in_list,
        metavar="NAME",
        help="bbox, bbox_growN (sides longer by N %%), bbox_jitter, bbox_xM (mean of M boxes), Npt "
        "(N points), Npt_centre, noc, S1 to S6, S5_shift10-20px, see docs/evaluation.md; default: "
        "bbox 1pt 3pt 5pt, or classes without prompts",
    )
    add(
        "--jitter",
        type=float,
        metavar="SHARE",
        help="bbox_jitter and bbox_xM: largest move of a side over the image's; default: 0.03125",
    )
    add(
        "--ensemble-mean",
        choices=("probability", "logit"),
        help="bbox_xM: values that are averaged; default: probability",
    )
    add("--no-adapters", action="store_true", help="run the network without its adapters")
    add(
        "--select",
        nargs="+",
        type=name_in_list,
        choices=("score", "oracle"),
        help="mask that counts: of the highest predicted IoU (score), and the best by the truth "
        "(oracle); default: score",
    )
    add(
        "--surface",
        nargs="+",
        type=name_in_list,
        choices=("px", "mm", "3d"),
        help="surface metrics (HD, HD95, ASSD, NSD): in pixels, in mm, of volumes; default: none",
    )
    add(
        "--tolerances",
        nargs="+",
        type=float,
        metavar="X",
        help="tolerances of the normalised surface Dice, pixels and mm; default: 2",
    )
    add("--draws", type=int, metavar="N", help="draws of each random prompt; default: 1")
    add(
        "--workers",
        type=int,
        metavar="N",
        help="processes for surface metrics; 0: none besides this one; default: 2, or fewer cores",
    )
    add("--image-size", type=int, metavar="N", help="side of the network's input, pixels")
    add("--seed", type=int, help="seed of the prompts; default: 0")
    add("--prompts", metavar="FILE", help="prompts.json of an earlier evaluation, to replay")
    add(
        "--other-classes",
        choices=("error", "skip"),
        help="semantic models: masks of classes that the model lacks; default: error",
    )
    add("--limit", type=int, metavar="N", help="number of images, spread evenly; default: all")
    add("--batch-size", type=int, metavar="N", help="masks predicted at a time; default: 16")
    add("--images-per-batch", type=int, metavar="N", help="images encoded at a time; default: 8")
    add(
        "--tune-auto",
        action="store_true",
        help="evaluate nothing: choose the thresholds of automatic masks on training images, and "
        "write them to DIR/auto_settings.json",
    )
    add(
        "--auto-settings",
        metavar="FILE",
        help="S1 and everythingN: settings of automatic masks, of --tune-auto; default: SAM's",
    )
    add("--overwrite", action="store_true", help="replace another evaluation in DIR")
    add("--on-bad", choices=("skip", "error"), default="skip", help="unusable files; default: skip")
    preprocessing_flags.add(parser)


def run(arguments: argparse.Namespace) -> int:
    """Evaluates, prints the table, writes the report."""
    from samjax import fields, lock
    from samjax.evaluation import EvalConfig
    from samjax.inference.automatic_config import read_settings

    names = ("protocols", "batch_size", "images_per_batch", "seed", "limit", "other_classes")
    names += ("jitter", "ensemble_mean", "select", "surface", "tolerances", "draws", "workers")
    switches = {"adapters": not arguments.no_adapters}
    workers = {"workers": min(2, os.cpu_count() or 1)}
    with fields.naming(flag):
        config = fields.from_dict(EvalConfig, workers | specified(arguments, names) | switches)
    if arguments.auto_settings:
        chosen = read_settings(arguments.auto_settings)
        config = dataclasses.replace(config, automatic=chosen)
    with lock.exclusive(arguments.out):  # Also shows at once whether it can be written to.
        return (_tune if arguments.tune_auto else _evaluate)(arguments, config)


def _samples(arguments: argparse.Namespace, split: str) -> "Sequence[Sample]":
    from samjax.data import index

    samples = index.load_index(arguments.data, split)
    return index.select_datasets(samples, arguments.datasets)


def _model(arguments: argparse.Namespace) -> "Model":
    from samjax import conversion

    return conversion.load_or_convert(
        arguments.checkpoint, arguments.image_size, **preprocessing_flags.loading(arguments)
    )


def _tune(arguments: argparse.Namespace, config: "EvalConfig") -> int:
    """Chooses and writes settings of automatic masks; prints what they change."""
    from samjax.data.files import write_whole
    from samjax.evaluation import tune_automatic
    from samjax.inference.automatic_config import encode_settings

    split = arguments.split or "train"
    if split == "test":
        raise ValueError("--tune-auto: expected images that are not for the test, found split test")
    samples = _samples(arguments, split)
    tune_automatic.check_apart(arguments.data, samples)
    model = _model(arguments)
    chosen, about = tune_automatic.tune(model, arguments.data, samples, config)
    origin = {"checkpoint": arguments.checkpoint, "data": arguments.data, "split": split}
    target = Path(arguments.out) / tune_automatic.NAME
    write_whole(target, encode_settings(chosen, origin | about))
    print(tune_automatic.table(chosen, about))
    print(f"\nsettings: {target}")
    return 0


def _evaluate(arguments: argparse.Namespace, config: "EvalConfig") -> int:
    """Evaluates, once the flags are checked."""
    from samjax.evaluation import prompt_file, run

    replayed = prompt_file.load(arguments.prompts) if arguments.prompts else None
    split = arguments.split or "test"
    samples, model = _samples(arguments, split), _model(arguments)
    name = arguments.name or Path(arguments.checkpoint).resolve().stem
    origin = {"checkpoint": arguments.checkpoint, "data": arguments.data, "split": split}
    written = run.evaluate_and_report(
        model,
        arguments.data,
        samples,
        arguments.out,
        config,
        name,
        origin,
        replayed,
        arguments.on_bad,
        arguments.overwrite,
    )
    print(f"{written.table}\n\nDice at original resolution, see {arguments.out}")
    for problem in written.problems:
        print(f"left out: {problem}", file=sys.stderr)
    return 1 if written.problems else 0
