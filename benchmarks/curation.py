"""Throughput of curation, and its memory by the number of cases.

python -m benchmarks.curation

Writes synthetic volumes as NIfTI and curates few and many of them, each number in its own process.
Prints the throughput of one core, its peak memory, and the hours for 4.6 million images.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from benchmarks import memory
from samjax import extra
from samjax.curation import local, prepare

SHAPE = (192, 192, 96)
SIDE = 32
MILLIONS = 4.6


def main(argv: list[str] | None = None) -> int:
    """Measures curation and prints the table."""
    parser = argparse.ArgumentParser("python -m benchmarks.curation", description=__doc__)
    parser.add_argument("--volumes", type=int, nargs="*", default=[4, 16])
    parser.add_argument("--pictures", type=int, nargs="*", default=[2_000, 20_000])
    parser.add_argument("--one", type=Path, nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.one:
        print(json.dumps(measure(*arguments.one)))
        return 0
    print("| Cases | Images | Masks | ms a case | Images/s | Peak memory, MiB |")
    print("| --- | --: | --: | --: | --: | --: |")
    shape, side = " x ".join(map(str, SHAPE)), f"{SIDE} x {SIDE}"
    rate = _rows(f"volumes of {shape}", write_volumes, arguments.volumes)
    _rows(f"pictures of {side}", write_pictures, arguments.pictures)
    if rate:
        hours = MILLIONS * 1e6 / rate / 3600
        print(f"\n{MILLIONS} million images of volumes at that rate: {hours:.0f} hours of one core")
    return 0


def _rows(title: str, write: Callable[[Path, int], None], counts: Sequence[int]) -> float:
    """Prints a row for each number of cases; returns the images a second of the last row."""
    rate = 0.0
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder) / "source", Path(folder) / "target"
            for inner in ("images", "labels"):
                (source / inner).mkdir(parents=True)
            write(source, count)
            call = [sys.executable, "-m", "benchmarks.curation", "--one", str(source), str(target)]
            done = subprocess.run(call, capture_output=True, text=True, check=True)
        row = json.loads(done.stdout.splitlines()[-1])
        each, rate = row["seconds"] / count * 1e3, row["images"] / row["seconds"]
        print(f"| {count:,} {title} | {row['images']:,} | {row['masks']:,} | {each:.1f} "
              f"| {rate:.0f} | {row['peak'] / 2**20:.0f} |", flush=True)  # fmt: skip
    return rate


def measure(source: Path, target: Path) -> dict[str, float]:
    """Curates a folder in this process; returns seconds, peak memory and counts."""
    start = time.perf_counter()
    summary = prepare.prepare(source, target, executor=local.with_processes(1))
    seconds = time.perf_counter() - start
    peak = memory.peak_bytes() or 0
    images = sum(summary.images.values())
    return {"seconds": seconds, "peak": peak, "images": images, "masks": summary.counts.masks}


def write_volumes(source: Path, count: int) -> None:
    """Writes volumes of noise with three balls in each, and their labels."""
    nibabel = extra.require("nibabel", "data")
    rng = np.random.default_rng(0)
    grid = np.moveaxis(np.indices(SHAPE), 0, -1)
    for case in range(count):
        label = np.zeros(SHAPE, np.uint8)
        for value in (1, 2, 3):
            centre, radius = rng.uniform(0.3, 0.7, 3) * SHAPE, rng.uniform(15, 30)
            label[((grid - centre) ** 2).sum(-1) < radius**2] = value
        image = (rng.normal(0, 40, SHAPE) + 200 * label).astype(np.int16)
        for folder, values in (("images", image), ("labels", label)):
            path = source / folder / f"case{case:03d}.nii.gz"
            nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)


def write_pictures(source: Path, count: int) -> None:
    """Writes tiny pictures with one square each, so that time depends on their number alone."""
    image = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE)).astype(np.uint8)
    label = np.zeros((SIDE, SIDE), np.uint8)
    label[5:20, 5:20] = 255
    for case in range(count):
        for folder, values in (("images", image), ("labels", label)):
            cv2.imwrite(str(source / folder / f"case{case:06d}_0001.png"), values)


if __name__ == "__main__":
    sys.exit(main())
