"""Scale of an evaluation: surface metrics of many masks, and the report of a large table.

    python -m benchmarks.evaluation_scale surfaces --masks 10000
    python -m benchmarks.evaluation_scale report --rows 1000000

The first compares pairs of blobs of 256 x 256 pixels in worker processes; the second writes the
report of an evaluation with that many values, and prints its peak memory.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks import memory
from samjax.data.metadata import Metadata
from samjax.evaluation import EvalConfig, Evaluation, MaskPrompt, MaskResult, PromptSet, Score
from samjax.evaluation import report as reports
from samjax.evaluation.metrics.workers import SurfaceWorkers

SIDE = 256
PROTOCOLS = ("bbox", "1pt", "3pt", "5pt")
METRICS = ("dice", "iou", "predicted_iou", "dice_oracle", "iou_oracle", "oracle_gap")
METRICS += ("hd_px", "hd95_px", "assd_px", "nsd2_px")


def disc(rng: np.random.Generator) -> np.ndarray:
    """Returns an ellipse somewhere in the image, (256, 256) bool."""
    y, x = np.mgrid[:SIDE, :SIDE]
    centre, axes = rng.uniform(60, SIDE - 60, 2), rng.uniform(10, 60, 2)
    return ((y - centre[0]) / axes[0]) ** 2 + ((x - centre[1]) / axes[1]) ** 2 < 1


def surfaces(masks: int, workers: int) -> None:
    """Compares `masks` masks with four predictions each, and prints the time."""
    rng = np.random.default_rng(0)
    pool_of = [disc(rng) for _ in range(64)]
    start = time.perf_counter()
    with SurfaceWorkers(workers, (2.0,)) as pool, tqdm(total=masks, unit="mask") as bar:
        for number in range(masks):
            chosen = [pool_of[i] for i in rng.integers(len(pool_of), size=5)]
            pool.submit(number, chosen[0], chosen[1:], (1.0, 1.0))
            bar.update(sum(1 for _ in pool.results()))
        bar.update(sum(1 for _ in pool.results(wait=True)))
    taken = time.perf_counter() - start
    print(
        f"{masks:,} masks with 4 predictions each, {workers} workers: {taken:.1f} s, "
        f"{1000 * taken / masks:.2f} ms a mask"
    )


def report(rows: int) -> None:
    """Writes the report of `rows` values, and prints its time and peak memory."""
    rng = np.random.default_rng(0)
    count = rows // (len(PROTOCOLS) * len(METRICS))
    values = rng.random((count, len(PROTOCOLS), len(METRICS))).tolist()
    results, prompts = [], {}
    for number, of_mask in enumerate(values):
        scores = {
            name: Score(dict(zip(METRICS, row, strict=True)))
            for name, row in zip(PROTOCOLS, of_mask, strict=True)
        } | {"filled_box": Score({"dice": 0.5, "iou": 0.3})}
        metadata = Metadata("ct", f"set{number % 7}", f"case{number // 5}", f"class{number % 30}")
        mask = f"masks/ct_00--set--case_{number:07}--z_0001--0001_000.png"
        image = f"images/ct_00--set--case_{number:07}--z_0001.png"
        results.append(MaskResult(image, mask, metadata, SIDE, SIDE, 900, scores))
        prompts[mask] = MaskPrompt(image, (1.0, 1.0, 9.0, 9.0), (5.0, 5.0), number)
    config = EvalConfig(PROTOCOLS, select=("score", "oracle"), surface=("px",))
    fps = {"bbox": 1.0, "points": 1.0}
    evaluation = Evaluation(config, SIDE, results, PromptSet(0, prompts, {}), fps)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        reports.write(folder, evaluation, "model", {})
        written = sum(1 for _ in (Path(folder) / "scores.csv").open()) - 1
    taken = time.perf_counter() - start
    peak = (memory.peak_bytes() or 0) / 2**30
    print(f"{written:,} rows of {count:,} masks: {taken:.1f} s, peak memory {peak:.2f} GiB")


def main() -> None:
    """Runs one of the measurements."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    of_surfaces = commands.add_parser("surfaces", help=surfaces.__doc__)
    of_surfaces.add_argument("--masks", type=int, default=10_000)
    of_surfaces.add_argument("--workers", type=int, default=2)
    commands.add_parser("report", help=report.__doc__).add_argument(
        "--rows", type=int, default=1_000_000
    )
    arguments = vars(parser.parse_args())
    {"surfaces": surfaces, "report": report}[arguments.pop("command")](**arguments)


if __name__ == "__main__":
    main()
