"""How fast samjax is, beside the published PyTorch code and Hugging Face's `SamModel`.

    python -m benchmarks.speed --reference CHECKOUT --json speed.json

CHECKOUT is a clone of https://github.com/OpenGVLab/SAM-Med2D; without it, or without PyTorch,
samjax is measured alone. All networks are ViT-B at 256 x 256 with the same random weights. Every
contender has a process of its own, they take turns, and medians of the seconds count.

The columns: seconds of both sides and how many times samjax is faster; the products that the work
takes on paper by the time that samjax takes, and what share that is of the fastest matrix product
on this machine; the most memory that each side held; the largest difference of their answers over
the largest answer. On a GPU the peer counts in the fastest of float32, TF32 and bfloat16 autocast.
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

# Command-line name: key of the JSON file, and the case.
CASES = {
    "encoder": ("encoder", cases.encoder),
    "train_step": ("train_step", cases.train_step),
    "prompt": ("prompt", cases.prompt),
    "evaluation": ("evaluation", cases.evaluation),
    "compile": ("compile_s", cases.compile_s),
    "loader": ("loader", cases.loader),
    "hugging_face": ("hugging_face", cases.against_hugging_face),
}
PHANTOMS = phantoms.PhantomConfig(count_train=64, count_test=6, size=256)

_VERSIONS = ("jax", "jaxlib", "flax", "numpy", "torch", "transformers")


def main(argv: Sequence[str] | None = None) -> None:
    """Measures what the command line asks for."""
    arguments = _parse(argv)
    with tempfile.TemporaryDirectory(prefix="samjax_speed_") as folder:
        setting = _prepare(arguments, Path(folder))
        report = _about(setting)
        peak_rate = setting.machine["flops_per_s"][setting.dtype] / 1e9
        print(f"{setting.machine['device']}, {peak_rate:.0f} GFLOP/s in {setting.dtype}")
        print("\n".join([*_left_out(setting.reference), table.header()]), flush=True)
        for name in arguments.only:
            key, case = CASES[name]
            report[key] = case(setting, report)
            print("\n".join(_lines(key, report[key])), flush=True)
            if arguments.json:  # After each: a run that is stopped keeps what it has.
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
        return [name for name in CASES if name in chosen]  # The loader looks at others.

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
    parser.add_argument("--repeats", type=positive, default=5, help="timed runs of each (5)")
    parser.add_argument("--only", type=names, default=list(CASES), help="cases, by commas")
    parser.add_argument("--data", help="data folder to evaluate and load (six phantoms)")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    return parser.parse_args(argv)


def _prepare(arguments: argparse.Namespace, folder: Path) -> cases.Setting:
    """Writes what the contenders load, and measures the machine."""
    checkpoint = str(folder / "vit_b.pth")
    harness.alone(functools.partial(samjax_impl.write_checkpoint, checkpoint))
    data = arguments.data
    if data is None:
        data = str(folder / "phantoms")
        phantoms.write_phantoms(data, PHANTOMS)
    return cases.Setting(
        folder=folder,
        checkpoint=checkpoint,
        data=data,
        reference=arguments.reference,
        dtype=arguments.dtype,
        repeats=arguments.repeats,
        machine=harness.alone(functools.partial(peak.measure, arguments.dtype)),
    )


def _about(setting: cases.Setting) -> dict[str, Any]:
    """What the numbers were measured with."""
    versions: dict[str, str | None] = {}
    for name in _VERSIONS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return {
        "machine": {**setting.machine, "cores": _cores()},
        "dtype": setting.dtype,
        "repeats": setting.repeats,
        "versions": versions,
    }


def _cores() -> int | None:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux alone.
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _left_out(reference: str | None) -> list[str]:
    """Says which peers cannot be measured, and what they need."""
    needs: dict[str, Sequence[str]] = {"Hugging Face": hugging_face.NEEDS}
    if reference:
        needs["the published code"] = published.NEEDS
        needs["its evaluation"] = published.EVALUATION_NEEDS
    told = [] if reference else ["the published code is left out: it needs --reference CHECKOUT"]
    for name, packages in needs.items():
        if lacking := pytorch.lacking(packages):
            told.append(f"{name} is left out: it needs pip install {' '.join(lacking)}")
    return told


def _lines(key: str, row: table.Row) -> list[str]:
    """Lines of the table for a case."""
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
            eaten = row["eaten_per_s"]
            told = f"loader: {row['images_per_s']:.0f} images/s"
            return [told + (f"; a training step takes {eaten:.1f}" if eaten else "")]
        case _:
            return [table.line(key, row)]


if __name__ == "__main__":
    # Ends as an error does, so that the folder of gigabytes goes too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    main()
