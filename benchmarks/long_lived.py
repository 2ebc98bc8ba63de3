"""Memory mappings and memory of a long-lived process.

python -m benchmarks.long_lived predictor [--images 2000] [--shapes 50]
python -m benchmarks.long_lived comparison [--seeds 2]

Every program that JAX compiles stays mapped while it is kept, and Linux ends a process with more
than 65,530 mappings (`vm.max_map_count`) by a segmentation fault. `predictor` predicts one,
three or the best mask for images of many shapes, with one to nine clicks on one to twelve objects.
`comparison` trains and evaluates each method of configs/comparison.py with several seeds, with a
small network on phantoms. Mappings and memory must level off.
"""

import argparse
import contextlib
import dataclasses
import io
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import ml_collections
import numpy as np

import samjax
from benchmarks import memory
from configs import comparison as comparison_config
from configs import demo, sam_med2d
from samjax import models, runtime
from samjax.comparison import plan, runner
from samjax.data import inputs, phantoms
from samjax.models.directory import Model
from samjax.training import config as training_config

ROWS = 10  # Rows of the table.
SIDES = 40, 1200  # Shortest and longest side of an image, pixels.
# The number of programs is the same for any network.
NETWORK = training_config.from_config_dict(demo.get_config()).model


def main(argv: list[str] | None = None) -> int:
    """Runs the measurement and prints a row for each step."""
    parser = argparse.ArgumentParser("python -m benchmarks.long_lived", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="PROGRAM")
    predictor_parser = commands.add_parser("predictor", help="one Predictor, many images")
    predictor_parser.add_argument("--images", type=int, default=2000)
    predictor_parser.add_argument("--shapes", type=int, default=50)
    predictor_parser.set_defaults(run=lambda args: predictor(args.images, args.shapes))
    comparison_parser = commands.add_parser("comparison", help="all methods, trained and evaluated")
    comparison_parser.add_argument("--seeds", type=int, default=2)
    comparison_parser.set_defaults(run=lambda args: comparison(args.seeds))
    arguments = parser.parse_args(argv)
    runtime.prepare()
    print("| Done | Mappings | Resident, MiB | Seconds |")
    print("| ---: | ---: | ---: | ---: |")
    start = time.perf_counter()
    for done in arguments.run(arguments):
        resident = (memory.resident_bytes() or 0) // 2**20
        seconds = time.perf_counter() - start
        print(f"| {done} | {memory.mappings():,} | {resident:,} | {seconds:.0f} |", flush=True)
    return 0


def predictor(images: int, shapes: int) -> Iterator[str]:
    """Predicts masks of many images with one `Predictor`; yields after each tenth of them."""
    rng = np.random.default_rng(0)
    params = models.init(NETWORK, jax.random.key(0))
    sam_predictor = samjax.Predictor(Model(NETWORK, inputs.Preprocessing(), params))
    extents = rng.integers(*SIDES, (shapes, 2))
    for number in range(images):
        height, width = extents[number % shapes]
        sam_predictor.set_image(rng.integers(0, 256, (height, width, 3), np.uint8))
        objects, points = rng.integers(1, 13), rng.integers(1, 10)
        low_res = None
        for multimask, best in ((True, False), (True, True), (False, False)):
            low_res = sam_predictor.predict(
                point_coords=rng.uniform(0, (width, height), (objects, points, 2)),
                point_labels=np.ones((objects, points)),
                mask_input=low_res,
                multimask_output=multimask,
                best=best,
            )[2][:, :1]
        if (number + 1) % max(images // ROWS, 1) == 0:
            yield f"{number + 1} images"


def comparison(seeds: int) -> Iterator[str]:
    """Trains and evaluates every model of a comparison in this process; yields after each."""
    with tempfile.TemporaryDirectory() as folder:
        root, workdir = Path(folder) / "data", Path(folder) / "runs"
        phantoms.write_phantoms(root, phantoms.PhantomConfig(16, 4, size=NETWORK.image_size))
        whole = dataclasses.replace(_small(str(root)), seeds=tuple(range(seeds)))
        with contextlib.redirect_stdout(io.StringIO()):  # Tables of scores.
            general = runner.prepare_general(whole, workdir)
        yield "general"
        for job in plan.jobs(whole):
            with contextlib.redirect_stdout(io.StringIO()):
                runner.run(whole, job, general, workdir)
            yield f"{job.name}, seed {job.seed}"


def _small(root: str) -> plan.Comparison:
    """Returns the methods of configs/comparison.py, with two batches each."""

    def prepare(recipe: ml_collections.ConfigDict) -> None:
        recipe.data.update(root=root, batch_size=4, masks_per_image=2, validation_fraction=0.0)
        recipe.prompting.update(iterations=2, point_counts=(1,), mask_only=False)
        recipe.run.update(steps=2, report=False)
        recipe.validation.every = 0
        recipe.log.update(every=1, picture_every=0)

    recipe = sam_med2d.get_config()
    network = training_config.to_config_dict(NETWORK)
    recipe.model.update(network)
    recipe.model.peft.kind = "none"
    recipe.trainable.encoder = "full"
    prepare(recipe)
    first = plan.TrainingStage("only", training_config.from_config_dict(recipe))
    return comparison_config.paper_comparison(
        prepare,
        large=2 * NETWORK.image_size,
        unseen=(),
        network=network,
        stage_changes=lambda recipe: {"only": {}},
        data=root,
        stages=(first,),
    )


if __name__ == "__main__":
    sys.exit(main())
