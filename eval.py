"""Tests a model by the protocols of the SAM-Med2D paper, and writes a report.

    python eval.py --checkpoint runs/demo/best --data runs/demo/phantoms --out runs/demo/test

`--checkpoint` is a model directory, or a PyTorch or Hugging Face file. `--out` gets `report.json`,
`report.md`, `masks.csv`, `prompts.json` and pictures; another model is shown the very same prompts
with `--prompts OUT/prompts.json`, the same model without its adapters with `--noadapters`. Where a
file leaves open how its images are prepared, a warning says what was assumed; `--family` or single
settings change it.
"""

import functools
import sys
from pathlib import Path

from absl import app, flags, logging

from samjax import conversion, interruption, lock, process
from samjax.conversion import families
from samjax.data import index, inputs
from samjax.evaluation import EvalConfig, prompt_file, testing

FLAGS = flags.FLAGS
flags.DEFINE_string("checkpoint", None, "Model directory, .pth or .safetensors file.")
flags.DEFINE_string("data", None, "Data folder, see docs/data.md.")
flags.DEFINE_string("out", None, "Folder to write the report to.")
flags.DEFINE_string("split", "test", "Which images of the data folder.")
flags.DEFINE_list("datasets", [], "Test only on these datasets, as the files' names have them.")
flags.DEFINE_string("name", None, "What the tables call the model; default: its file's name.")
flags.DEFINE_list("protocols", ["bbox", "1pt", "3pt", "5pt"], "bbox, or Npt for N points.")
flags.DEFINE_bool("adapters", True, "Whether the adapters take part, if the network has any.")
flags.DEFINE_bool("oracle", False, "Also score the best of the three answered masks.")
flags.DEFINE_enum("family", None, list(families.FAMILIES), "Prepare images as this family's.")
NUMBERS = ("mean", "std")
SETTINGS = (*inputs.CHOICES, "box_margin", "multimask", "point_prompts")
for setting in NUMBERS:
    flags.DEFINE_list(setting, None, "Three numbers with commas between them, if other.")
for setting, choices in inputs.CHOICES.items():
    flags.DEFINE_enum(setting, None, choices, "If other than the checkpoint tells or its kind has.")
flags.DEFINE_float("box_margin", None, "Pixels that boxes are drawn wider, if other.")
flags.DEFINE_bool("multimask", None, "Whether three candidate masks answer, if other.")
flags.DEFINE_bool("point_prompts", None, "Whether the network knows points, if other.")
flags.DEFINE_bool("allow_non_finite", False, "Take weights that are NaN or infinite.")
flags.DEFINE_integer("image_size", None, "Side of the input to resize the network to.")
flags.DEFINE_integer("seed", 0, "Seed of the prompts.")
flags.DEFINE_string("prompts", None, "Prompts to replay, a prompts.json of an earlier test.")
flags.DEFINE_integer("limit", None, "Test only so many images, spread evenly.")
flags.DEFINE_integer("batch_size", 16, "Masks answered at a time.")
flags.DEFINE_integer("images_per_batch", 8, "Images encoded at a time.")
flags.DEFINE_bool("overwrite", False, "Replace the report of another test in OUT.")
flags.DEFINE_enum("on_bad", "skip", ["skip", "error"], "What to do about files of no use.")


def main(argv: list[str]) -> int:
    """Tests, prints the table, writes the report.

    Returns:
        Exit code: 0, 1 if some files could not be used, 2 for a mistake in the call, 130 after
        Ctrl-C, 143 after SIGTERM.
    """
    logging.set_verbosity(logging.WARNING)
    process.prepare()
    return interruption.exit_code("eval.py", functools.partial(run, argv))


def run(argv: list[str]) -> int:
    """Tests the model as the flags say: first all that a mistake can be found in, then the rest."""
    if len(argv) > 1:
        raise ValueError(f"expected only flags, found {argv[1]!r}")
    for name in ("checkpoint", "data", "out"):
        if not FLAGS[name].value:
            raise ValueError(f"--{name} is missing")
    config = EvalConfig(
        protocols=tuple(FLAGS.protocols),
        batch_size=FLAGS.batch_size,
        images_per_batch=FLAGS.images_per_batch,
        seed=FLAGS.seed,
        adapters=FLAGS.adapters,
        oracle=FLAGS.oracle,
        limit=FLAGS.limit,
    )
    with lock.exclusive(FLAGS.out):  # Also shows at once whether it can be written to.
        return test(config)


def test(config: EvalConfig) -> int:
    """Tests the model, when nothing is wrong with the flags themselves."""
    replayed = prompt_file.load(FLAGS.prompts) if FLAGS.prompts else None
    samples = index.of_datasets(index.load_index(FLAGS.data, FLAGS.split), FLAGS.datasets)
    single = {name: FLAGS[name].value for name in SETTINGS}
    single |= {name: numbers(name) for name in NUMBERS}
    pretrained = conversion.load_any(
        FLAGS.checkpoint,
        FLAGS.image_size,
        family=FLAGS.family,
        input_overrides={name: value for name, value in single.items() if value is not None},
        allow_non_finite=FLAGS.allow_non_finite,
    )
    name = FLAGS.name or Path(FLAGS.checkpoint).resolve().stem
    what = (pretrained, FLAGS.data, samples, FLAGS.out, config, name)
    origin = {"checkpoint": FLAGS.checkpoint, "data": FLAGS.data, "split": FLAGS.split}
    tested = testing.test_and_report(*what, origin, replayed, FLAGS.on_bad, FLAGS.overwrite)
    print(f"{tested.table}\n\nDice at original resolution, see {FLAGS.out}")
    for problem in tested.problems:
        print(f"left out: {problem}", file=sys.stderr)
    return 1 if tested.problems else 0


def numbers(name: str) -> tuple[float, ...] | None:
    """The values of a flag, if it was given."""
    texts = FLAGS[name].value
    if not texts:
        return None
    try:
        return tuple(float(text) for text in texts)
    except ValueError:
        raise ValueError(f"--{name}: expected three numbers, found {','.join(texts)}") from None


if __name__ == "__main__":
    app.run(main)
