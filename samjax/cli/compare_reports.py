"""`samjax compare reports`: compares reports of the same masks, with intervals and p.

samjax evaluate --checkpoint A --data DATA --out reports/a
samjax evaluate --checkpoint B --data DATA --out reports/b --prompts reports/a/prompts.json
samjax compare reports reports/a reports/b --out reports/b_less_a
"""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from samjax.cli.parser import Parser, name_in_list

if TYPE_CHECKING:
    from samjax.evaluation.side_by_side.folders import ReportFolder


def add_arguments(parser: Parser) -> None:
    """Adds the command's arguments; the parsed ones have its `run`."""
    parser.set_defaults(run=run)
    parser.epilog = (
        "Every further report is compared with the first. --out gets comparison.md, "
        "comparison.json, and pictures of the masks that differ most."
    )
    add = parser.add_argument
    add("reports", nargs="+", metavar="FOLDER", help="two or more --out folders of samjax evaluate")
    add("--out", type=Path, metavar="DIR", help="folder to write to; default: tables are printed")
    add(
        "--metrics",
        nargs="+",
        type=name_in_list,
        metavar="NAME",
        help="metrics to compare, such as dice hd95_px; default: all; printed: dice",
    )
    add("--no-pictures", action="store_true", help="draw no masks, which takes the models")
    add("--overwrite", action="store_true", help="replace another comparison in DIR")


def run(arguments: argparse.Namespace) -> int:
    """Compares reports, prints their tables, and writes the comparison.

    Raises:
        ValueError: The reports cannot be compared, or DIR has another comparison.
        OSError: A file cannot be read or written.
    """
    from samjax import lock
    from samjax.data.files import write_whole
    from samjax.evaluation.side_by_side import differences, folders, tables

    reports = folders.read(arguments.reports)
    content = differences.content_of(reports, arguments.metrics)
    for pair in content["pairs"]:
        print(tables.overall(pair, arguments.metrics or ["dice"]), tables.counts(pair), sep="\n\n")
    if arguments.out is None:
        return 0
    problems: list[str] = []
    with lock.exclusive(arguments.out):
        path = arguments.out / "comparison.json"
        if not arguments.overwrite:
            _check_same(path, content["reports"])
        write_whole(path, (json.dumps(content, indent=2) + "\n").encode())
        pictures = {} if arguments.no_pictures else _draw(reports, arguments.out, problems)
        page = arguments.out / "comparison.md"
        write_whole(page, tables.page(content, pictures).encode())
    print(f"\n{page}, {path}")
    for problem in problems:
        print(f"left out: {problem}", file=sys.stderr)
    return 1 if problems else 0


def _draw(reports: "list[ReportFolder]", out: Path, problems: list[str]) -> dict[str, str]:
    """Writes the pictures; returns their captions, by their path from the page."""
    from samjax import visualization
    from samjax.data.files import write_whole
    from samjax.evaluation.side_by_side import pictures

    captions = {}
    try:
        for name, (caption, picture) in pictures.draw(reports).items():
            path = f"differences/{name}.png"
            write_whole(out / path, visualization.encode_png(picture))
            captions[path] = caption
    except Exception as error:  # Whatever fails here, the numbers are written.
        problems.append(f"pictures: {str(error) or type(error).__name__}")
    return captions


def _check_same(path: Path, reports: list[dict]) -> None:
    """Checks that a comparison on disk is of the same reports.

    Raises:
        DataError: It is of others.
    """
    from samjax.data.files import DataError
    from samjax.data.metadata import read_json

    if not path.exists():
        return
    then = [one.get("folder") for one in read_json(path).get("reports", [])]
    now = [one["folder"] for one in reports]
    if then != now:
        raise DataError(
            f"{path}: expected a comparison of {' '.join(now)}, found one of "
            f"{' '.join(map(str, then))}. Take another --out, or --overwrite to replace it"
        )
