"""Throughput of batches from a data folder and from its records.

python -m benchmarks.records --data DATA [--threads 1]

Writes the records, times both in turns, and checks that batches are equal bit for bit.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from absl import flags

from samjax.data import index, pipeline, records
from samjax.data.config import DataConfig
from samjax.data.inputs import Preprocessing

ROUNDS, BATCHES = 7, 25


def main(argv: list[str] | None = None) -> int:
    """Measures both and prints the rates."""
    parser = argparse.ArgumentParser("python -m benchmarks.records", description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args(argv)
    if not flags.FLAGS.is_parsed():  # Grain reads absl flags.
        flags.FLAGS.mark_as_parsed()
    with tempfile.TemporaryDirectory() as folder:
        packed = records.write_records(arguments.data, Path(folder), ("train",))
        roots = {"files": arguments.data, "records": str(packed)}
        streams = {}
        for name, root in roots.items():
            config = DataConfig(root, threads=arguments.threads, prefetch=1)
            samples = index.load_index(root, "train")
            streams[name] = pipeline.training_iterator(
                samples, config, Preprocessing(), arguments.size
            )
        rates: dict[str, list[float]] = {name: [] for name in roots}
        for _ in range(ROUNDS):
            batches = {}
            for name, stream in streams.items():
                start = time.perf_counter()
                batches[name] = [next(stream) for _ in range(BATCHES)]
                seconds = time.perf_counter() - start
                rates[name].append(BATCHES * len(batches[name][0]["image"]) / seconds)
            for one, other in zip(batches["files"], batches["records"], strict=True):
                for key, values in one.items():
                    np.testing.assert_array_equal(values, other[key])
        ratios = [b / a for a, b in zip(rates["files"], rates["records"], strict=True)]
    print(f"{ROUNDS * BATCHES} batches equal bit for bit")
    for name, values in rates.items():
        print(f"{name}: {statistics.median(values):.0f} images/s")
    print(f"records over files: {statistics.median(ratios):.2f} "
          f"({min(ratios):.2f} to {max(ratios):.2f})")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
