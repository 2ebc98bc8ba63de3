"""Time to read a random image from few and from very many records.

python -m benchmarks.random_access [--counts 1000 1000000]

Images are 32 x 32 pixels with one mask, so most of the time goes into finding them. The records are
made from links to one image and one mask.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from benchmarks import memory
from samjax.data import index, records
from samjax.data.files import read_image, read_mask
from samjax.data.index import Sample

READS, ROUNDS = 2000, 5
_IMAGES_PER_FOLDER = 10_000  # File systems are slow with more.


def main(argv: list[str] | None = None) -> int:
    """Measures reading and prints the table."""
    parser = argparse.ArgumentParser("python -m benchmarks.random_access", description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[1_000, 1_000_000])
    print("| Records | Written, s | Opened, s | A read, ms | Peak memory, MiB |")
    print("| --: | --: | --: | --: | --: |")
    for count in parser.parse_args(argv).counts:
        with tempfile.TemporaryDirectory() as folder:
            print(_measure(Path(folder), count), flush=True)
    return 0


def _measure(folder: Path, count: int) -> str:
    samples = _write_folder(folder / "files", count)
    start = time.perf_counter()
    root = records.write_records(folder / "files", folder / "records", ("train",))
    written = time.perf_counter() - start
    start = time.perf_counter()
    read_image(root / samples[0].image)
    opened = time.perf_counter() - start
    rng = np.random.default_rng(0)
    rounds = []
    for _ in range(ROUNDS):
        chosen = [samples[i] for i in rng.integers(count, size=READS)]
        start = time.perf_counter()
        for sample in chosen:
            read_image(root / sample.image)
            read_mask(root / sample.masks[0])
        rounds.append((time.perf_counter() - start) / READS * 1e3)
    peak = (memory.peak_bytes() or 0) // 2**20
    return (
        f"| {count:,} | {written:.0f} | {opened:.2f} | {statistics.median(rounds):.3f} | {peak:,} |"
    )


def _write_folder(root: Path, count: int) -> list[Sample]:
    pixels = np.random.default_rng(0).integers(0, 255, (32, 32)).astype(np.uint8)
    mask = np.where(pixels > 127, 255, 0).astype(np.uint8)
    samples = []
    for number in range(count):
        inner = root / f"{number // _IMAGES_PER_FOLDER:04d}"
        names = [f"{inner.name}/{number:08d}_{kind}.png" for kind in ("image", "mask")]
        for name, content in zip(names, (pixels, mask), strict=True):
            first = inner / f"first_{name[-8:]}"  # A file can have only so many links.
            if not first.exists():
                inner.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(first), content)
            os.link(first, root / name)
        samples.append(Sample(names[0], (names[1],)))
    index.write_index(root / "image2label_train.json", samples)
    return samples


if __name__ == "__main__":
    sys.exit(main())
