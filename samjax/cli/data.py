"""`samjax data`: prepares, checks, counts, visualizes and packs data folders."""

import argparse
import dataclasses
import functools
import json
import shlex
import sys
from pathlib import Path
from typing import Any

from samjax.cli.parser import Parser, name_in_list
from samjax.curation import beam, local, options, prepare, quality_check, rules, show, stats, store
from samjax.curation.options import CurationOptions, Dataset
from samjax.data import index, records
from samjax.data.classes import Overlaps
from samjax.data.files import write_whole
from samjax.extra import MissingLibrary


def add_arguments(parser: Parser) -> None:
    """Adds the subcommands and their arguments."""
    inner = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_prepare(inner)
    for name, run, text in (
        ("check", _check, "Reads every image and mask; lists unusable files and suspicious ones."),
        ("stats", _stats, "Counts images and masks by modality, anatomy and class."),
        ("show", _show, "Draws contact sheets of images with their masks."),
        ("records", _records, "Packs images and masks into ArrayRecord files."),
    ):
        parser = inner.add_parser(name, help=text, description=text)
        parser.set_defaults(run=run)
        parser.add_argument("root", type=Path, metavar="DST", help="data folder")
        parser.add_argument(
            "--splits", nargs="+", type=name_in_list, metavar="NAME", help="splits; default: all"
        )
        if name == "check":
            parser.add_argument(
                "--size",
                type=int,
                default=256,
                help="side of the network's input, pixels; default: 256",
            )
            _add_subject_pattern(parser)
            parser.add_argument("--fix", action="store_true", help="repair what is safe to repair")
        else:
            parser.add_argument(
                "--out", type=Path, metavar="DIR", help=f"folder to write to; default: DST/{name}"
            )
        if name == "show":
            parser.add_argument(
                "--count", type=int, default=16, help="images on a sheet; default: 16"
            )


def _add_subject_pattern(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--subject-pattern", default="", metavar="REGEX",
        help="pattern whose first group, in an image's path, is the subject; default: by layout",
    )  # fmt: skip


def _add_prepare(commands: argparse._SubParsersAction) -> None:
    text = "Makes a data folder from NIfTI, DICOM, image, COCO or nnU-Net files and others."
    parser = commands.add_parser("prepare", help=text, description=text)
    parser.set_defaults(run=_prepare)
    parser.add_argument("source", type=Path, metavar="SRC", help="folder to curate")
    parser.add_argument("target", type=Path, metavar="DST", help="folder to write")
    parser.add_argument(
        "--describe", type=Path, metavar="TOML", help="description of the folders, see docs/data.md"
    )
    parser.add_argument("--modality", default="", help="token of the modality, such as mr_t1")
    parser.add_argument(
        "--format", default="", choices=options.FORMATS, help="format of SRC; default: recognised"
    )
    defaults = CurationOptions()
    parser.add_argument(
        "--axes",
        default=defaults.axes,
        help=f"axes to slice volumes along; default: {defaults.axes}",
    )
    parser.add_argument(
        "--orientation", default=defaults.orientation, choices=options.ORIENTATION,
        help=f"orientation of volumes before they are sliced; default: {defaults.orientation}",
    )  # fmt: skip
    parser.add_argument(
        "--window", nargs="+", metavar="LOW HIGH|NAME",
        help="intensities that become 0..255, or one of "
        f"{', '.join([options.BY_ORGAN, *sorted(rules.WINDOWS)])}",
    )  # fmt: skip
    parser.add_argument(
        "--percentiles", nargs=2, type=float, metavar=("LOW", "HIGH"),
        help="the same, as percentiles of each volume",
    )  # fmt: skip
    parser.add_argument("--test-fraction", type=float, default=defaults.test_fraction, metavar="F",
        help=f"share of the data in the test split; default: {defaults.test_fraction}",
    )  # fmt: skip
    parser.add_argument("--split-by", default=defaults.split_by, choices=options.SPLIT_BY,
        help=f"unit that is never in both splits; default: {defaults.split_by}",
    )  # fmt: skip
    parser.add_argument(
        "--seed",
        type=int,
        default=defaults.seed,
        help=f"seed of the split; default: {defaults.seed}",
    )
    _add_subject_pattern(parser)
    parser.add_argument(
        "--processes", type=int, default=0, help="number of processes; default: one per core"
    )
    parser.add_argument(
        "--beam",
        metavar="OPTIONS",
        help="run on Apache Beam, with its options as one quoted argument",
    )


def _prepare(arguments: argparse.Namespace) -> int:
    described = [*options.read_description(arguments.describe)] if arguments.describe else []
    window = arguments.window
    if window is not None:
        window = window[0] if len(window) == 1 else tuple(map(float, window))
    # Flags apply where the description has no value.
    from_flags: dict[str, Any] = {
        "format": arguments.format,
        "modality": arguments.modality,
        "window": window,
        "percentiles": tuple(arguments.percentiles) if arguments.percentiles else None,
    }
    for number, one in enumerate(described):
        missing = {name: value for name, value in from_flags.items() if not getattr(one, name)}
        described[number] = dataclasses.replace(one, **missing)
    curation = CurationOptions(
        datasets=(*described, Dataset(**from_flags)),
        axes=arguments.axes,
        orientation=arguments.orientation,
        test_fraction=arguments.test_fraction,
        split_by=arguments.split_by,
        seed=arguments.seed,
        subject_pattern=arguments.subject_pattern,
    )
    executor = local.with_processes(arguments.processes)
    if arguments.beam is not None:
        scratch = arguments.target / store.CASES
        executor = beam.with_pipeline(shlex.split(arguments.beam), scratch)
    summary = prepare.prepare(arguments.source, arguments.target, curation, executor, print)
    print(f"{arguments.target}: {summary}")
    return 0 if summary.is_clean else 1


def _check(arguments: argparse.Namespace) -> int:
    splits = _splits(arguments)
    pattern = CurationOptions(
        subject_pattern=arguments.subject_pattern
    ).subject_pattern  # Checks it.
    check = functools.partial(
        quality_check.check_folder, arguments.root, splits, arguments.size, subject_pattern=pattern
    )
    found = check()
    for line in found.subjects:
        print(line)
    print(found)
    if arguments.fix:
        for line in quality_check.fix(arguments.root, found) or ["nothing to repair"]:
            print(line)
        found = check()
        print(f"after the repair: {found}")
    return 0 if found.is_clean else 1


def _stats(arguments: argparse.Namespace) -> int:
    out = arguments.out or arguments.root / "stats"
    found = stats.stats(arguments.root, _splits(arguments))
    write_whole(out / "stats.json", json.dumps(found).encode())
    print(
        ", ".join(
            f"{split}: {count:,} images, {found['masks'][split]:,} masks"
            for split, count in found["images"].items()
        )
    )
    for split, overlaps in found["overlaps"].items():
        print(f"{split}: {Overlaps(**overlaps)}")
    try:
        stats.draw(found, out / "stats.png")
    except MissingLibrary as error:
        print(f"samjax: no picture: {error}", file=sys.stderr)
        return 2
    print(f"see {out}")
    for detail in found["unreadable"]:
        print(f"not counted: {detail}", file=sys.stderr)
    return 1 if found["unreadable"] else 0


def _show(arguments: argparse.Namespace) -> int:
    out = arguments.out or arguments.root / "show"
    for path in show.show(arguments.root, out, _splits(arguments), arguments.count):
        print(path)
    return 0


def _records(arguments: argparse.Namespace) -> int:
    out = arguments.out or arguments.root / "records"
    print(records.write_records(arguments.root, out, _splits(arguments)))
    return 0


def _splits(arguments: argparse.Namespace) -> list[str]:
    return arguments.splits or index.list_splits(arguments.root)
