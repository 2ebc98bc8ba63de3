"""Tests a model by the protocols of the SAM-Med2D paper, and writes a report.

    python eval.py --checkpoint runs/demo/best --data runs/demo/phantoms --out runs/demo/test

`--checkpoint` is a model directory, or a PyTorch or Hugging Face file. `--out` gets `report.json`,
`report.md`, `masks.csv`, `prompts.json` and pictures; another model is shown the very same prompts
with `--prompts OUT/prompts.json`, the same model without its adapters with `--noadapters`.
"""

import sys
from pathlib import Path

from absl import app, flags, logging

from samjax import conversion, process
from samjax.data import index
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
flags.DEFINE_integer("image_size", None, "Side of the input to resize the network to.")
flags.DEFINE_integer("seed", 0, "Seed of the prompts.")
flags.DEFINE_string("prompts", None, "Prompts to replay, a prompts.json of an earlier test.")
flags.DEFINE_integer("limit", None, "Test only so many images, spread evenly.")
flags.DEFINE_integer("batch_size", 16, "Masks answered at a time.")
flags.DEFINE_integer("images_per_batch", 8, "Images encoded at a time.")
flags.DEFINE_enum("on_bad", "skip", ["skip", "error"], "What to do about files of no use.")


def main(argv: list[str]) -> int:
    """Tests, prints the table, writes the report."""
    logging.set_verbosity(logging.WARNING)
    process.prepare()
    try:
        if len(argv) > 1:
            raise ValueError(f"expected only flags, found {argv[1]!r}")
        for name in ("checkpoint", "data", "out"):
            if not FLAGS[name].value:
                raise ValueError(f"--{name} is missing")
        run()
    except (OSError, ValueError) as error:
        print(f"eval.py: {error}", file=sys.stderr)
        return 2
    return 0


def run() -> None:
    """Tests the model as the flags say."""
    config = EvalConfig(
        protocols=tuple(FLAGS.protocols),
        batch_size=FLAGS.batch_size,
        images_per_batch=FLAGS.images_per_batch,
        seed=FLAGS.seed,
        adapters=FLAGS.adapters,
        oracle=FLAGS.oracle,
        limit=FLAGS.limit,
    )
    replayed = prompt_file.load(FLAGS.prompts) if FLAGS.prompts else None
    pretrained = conversion.load_any(FLAGS.checkpoint, FLAGS.image_size)
    name = FLAGS.name or Path(FLAGS.checkpoint).resolve().stem
    samples = index.of_datasets(index.load_index(FLAGS.data, FLAGS.split), FLAGS.datasets)
    what = (pretrained, FLAGS.data, samples, FLAGS.out, config, name)
    origin = {"checkpoint": FLAGS.checkpoint, "data": FLAGS.data, "split": FLAGS.split}
    table = testing.test_and_report(*what, origin, replayed, FLAGS.on_bad)
    print(f"{table}\n\nDice at original resolution, see {FLAGS.out}")


if __name__ == "__main__":
    app.run(main)
