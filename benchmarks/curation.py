"""How fast curation is, and whether its memory grows with the number of cases.

python -m benchmarks.curation

Writes invented volumes as NIfTI, curates few and many of them in a process of its own each, and
prints the throughput of one core, the peak of its memory, and what 4.6 million images would take.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from samjax.curation import extra, local, prepare

SHAPE = (192, 192, 96)
MILLIONS = 4.6


def main(argv: list[str] | None = None) -> int:
    """Runs the measurement."""
    parser = argparse.ArgumentParser("python -m benchmarks.curation", description=__doc__)
    parser.add_argument("--cases", type=int, nargs="+", default=[4, 16])
    parser.add_argument("--one", type=Path, nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.one:
        print(json.dumps(measure(*arguments.one)))
        return 0
    rows = []
    for cases in arguments.cases:
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder) / "source", Path(folder) / "target"
            write_cases(source, cases)
            call = [sys.executable, "-m", "benchmarks.curation", "--one", str(source), str(target)]
            done = subprocess.run(call, capture_output=True, text=True, check=True)
            rows.append({"cases": cases, **json.loads(done.stdout.splitlines()[-1])})
    shape = " x ".join(map(str, SHAPE))
    print(f"Volumes of {shape} voxels with three classes, cut across all axes, one core\n")
    print("| Cases | Images | Masks | Seconds a case | Images/s | Peak memory, MiB |")
    print("| --: | --: | --: | --: | --: | --: |")
    for row in rows:
        each, rate = row["seconds"] / row["cases"], row["images"] / row["seconds"]
        print(f"| {row['cases']} | {row['images']:,} | {row['masks']:,} | {each:.1f} | {rate:.0f} "
              f"| {row['peak'] / 2**20:.0f} |")  # fmt: skip
    hours = MILLIONS * 1e6 / rate / 3600
    print(f"\n{MILLIONS} million images at that rate: {hours:.0f} hours of one core")
    return 0


def measure(source: Path, target: Path) -> dict[str, float]:
    """Curates a folder in this process."""
    start = time.perf_counter()
    summary = prepare.prepare(source, target, each=local.with_processes(1))
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    images = sum(summary.images.values())
    return {"seconds": seconds, "peak": peak, "images": images, "masks": summary.tally.masks}


def write_cases(source: Path, count: int) -> None:
    """Writes volumes of noise with three balls each, and their labels."""
    nibabel = extra.require("nibabel")
    rng = np.random.default_rng(0)
    grid = np.moveaxis(np.indices(SHAPE), 0, -1)
    for folder in ("images", "labels"):
        (source / folder).mkdir(parents=True)
    for case in range(count):
        label = np.zeros(SHAPE, np.uint8)
        for value in (1, 2, 3):
            centre, radius = rng.uniform(0.3, 0.7, 3) * SHAPE, rng.uniform(15, 30)
            label[((grid - centre) ** 2).sum(-1) < radius**2] = value
        image = (rng.normal(0, 40, SHAPE) + 200 * label).astype(np.int16)
        for folder, values in (("images", image), ("labels", label)):
            path = source / folder / f"case{case:03d}.nii.gz"
            nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)


if __name__ == "__main__":
    sys.exit(main())
