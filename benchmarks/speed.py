"""Speed of samjax, compared with the published PyTorch code and Hugging Face's `SamModel`.

    python -m benchmarks.speed --reference CHECKOUT --json speed.json

CHECKOUT is a clone of https://github.com/OpenGVLab/SAM-Med2D. Without it, or without PyTorch, only
samjax is measured. All networks are ViT-B at 256 x 256 with the same random weights. Each
competitor runs in its own process, they take turns, and the table has medians.

Columns:
- seconds of both sides, and how many times faster samjax is;
- operations of the calculated matrix products divided by samjax's time, and the share of the
  fastest matrix product on this machine;
- peak memory of each side;
- the largest difference of their results, divided by the largest result.

On a GPU, the peer is measured in float32, TF32 and bfloat16 autocast, and the fastest counts.
"""

import argparse
import functools
import importlib.metadata
import json
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import cases, harness, hugging_face, peak, published, pytorch, samjax_impl, table
from samjax.data import phantoms
from samjax.data.files import write_whole

# Command-line name: key in the JSON file, and the case.
CASES = {
    "encoder": ("encoder", cases.encoder),
    "train_step": ("train_step", cases.train_step),
    "prompt": ("prompt", cases.prompt),
    "evaluation": ("evaluation", cases.evaluation),
    "compile": ("compile_s", cases.compile_s),
    "loader": ("loader", cases.loader),
    "hugging_face": ("hugging_face", cases.hugging_face_model),
}
PHANTOMS = phantoms.PhantomConfig(count_train=64, count_test=6, size=256)

_VERSIONS = ("jax", "jaxlib", "flax", "numpy", "torch", "transformers")


def main(argv: Sequence[str] | None = None) -> None:
    """Measures the requested cases, prints the table, and writes the JSON file."""
    arguments = _parse(argv)
    with tempfile.TemporaryDirectory(prefix="samjax_speed_") as folder:
        config = _prepare(arguments, Path(folder))
        report = _metadata(config)
        peak_rate = config.machine["flops_per_s"][config.dtype] / 1e9
        print(f"{config.machine['device']}, {peak_rate:.0f} GFLOP/s in {config.dtype}")
        print("\n".join([*_missing_competitors(config.reference), table.header()]), flush=True)
        for name in arguments.only:
            key, case = CASES[name]
            report[key] = case(config, report)
            print("\n".join(_format_rows(key, report[key])), flush=True)
            if arguments.json:  # After each case, so that a stopped run keeps its results.
                write_whole(arguments.json, (json.dumps(report, indent=2) + "\n").encode())


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )

    def names(text: str) -> list[str]:
        chosen = text.split(",")
        if unknown := [name for name in chosen if name not in CASES]:
            expected = ", ".join(CASES)
            raise argparse.ArgumentTypeError(f"expected some of {expected}, found {unknown}")
        return [
            name for name in CASES if name in chosen
        ]  # In order: the loader uses the result of the training step.

    def checkout(path: str) -> str:
        try:
            return published.checkout_at(path)
        except FileNotFoundError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    def positive(text: str) -> int:
        if not text.isdecimal() or int(text) < 1:
            raise argparse.ArgumentTypeError(f"expected a number from 1, found {text!r}")
        return int(text)

    parser.add_argument("--reference", type=checkout, help="checkout of OpenGVLab/SAM-Med2D")
    parser.add_argument("--json", type=Path, help="file to write all numbers to")
    parser.add_argument("--repeats", type=positive, default=5, help="number of timed runs (5)")
    parser.add_argument(
        "--only", type=names, default=list(CASES), help="cases, separated by commas"
    )
    parser.add_argument("--data", help="data folder to evaluate and load (six phantoms)")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    return parser.parse_args(argv)


def _prepare(arguments: argparse.Namespace, folder: Path) -> cases.BenchmarkConfig:
    """Writes the checkpoint and the data, and measures the peak of the machine."""
    checkpoint = str(folder / "vit_b.pth")
    harness.run_isolated(functools.partial(samjax_impl.write_checkpoint, checkpoint))
    data = arguments.data
    if data is None:
        data = str(folder / "phantoms")
        phantoms.write_phantoms(data, PHANTOMS)
    return cases.BenchmarkConfig(
        folder=folder,
        checkpoint=checkpoint,
        data=data,
        reference=arguments.reference,
        dtype=arguments.dtype,
        repeats=arguments.repeats,
        machine=harness.run_isolated(functools.partial(peak.measure, arguments.dtype)),
    )


def _metadata(config: cases.BenchmarkConfig) -> dict[str, Any]:
    """Returns the machine, the versions and the settings of the measurement."""
    versions: dict[str, str | None] = {}
    for name in _VERSIONS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return {
        "machine": {**config.machine, "cores": _cores()},
        "dtype": config.dtype,
        "repeats": config.repeats,
        "versions": versions,
    }


def _cores() -> int | None:
    """Returns the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Only on Linux.
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _missing_competitors(reference: str | None) -> list[str]:
    """Lists the peers that cannot be measured, and what they need."""
    needs: dict[str, Sequence[str]] = {"Hugging Face": hugging_face.NEEDS}
    if reference:
        needs["the published code"] = published.NEEDS
        needs["its evaluation"] = published.EVALUATION_NEEDS
    lines = [] if reference else ["the published code is left out: it needs --reference CHECKOUT"]
    for name, packages in needs.items():
        if missing := pytorch.missing_packages(packages):
            lines.append(f"{name} is left out: it needs pip install {' '.join(missing)}")
    return lines


def _format_rows(key: str, row: table.Row) -> list[str]:
    """Formats the rows of the table for a case."""
    match key:
        case "train_step":
            default = {
                "ours_s": row["ours_default_s"],
                "share_of_peak": row["ours_default_share_of_peak"],
            }
            return [table.line(key, row), table.line("  by our default recipe", default)]
        case "compile_s":
            cached = {"ours_s": row["cached_s"]}
            return [table.line("first step, cold", row), table.line("  compile cache", cached)]
        case "hugging_face":
            return [table.line(f"HF {name}", part) for name, part in row.items() if part]
        case "loader":
            needed = row["eaten_per_s"]
            rate = f"loader: {row['images_per_s']:.0f} images/s"
            return [rate + (f"; a training step takes {needed:.1f}" if needed else "")]
        case _:
            return [table.line(key, row)]


if __name__ == "__main__":
    # Exits as on an error, so that the temporary folder of gigabytes is deleted.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    main()
