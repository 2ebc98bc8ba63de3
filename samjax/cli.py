"""The console script `samjax`: data, convert, predict, info."""

import argparse
import importlib.metadata
import platform
import sys
from collections.abc import Sequence
from typing import Any

import jax

import samjax
from samjax import conversion, interruption, lock, models, pretrained, process
from samjax.conversion import cli as conversion_cli
from samjax.conversion import flags as input_flags
from samjax.curation import cli as curation_cli
from samjax.inference import files, images, prompt_files
from samjax.inference.predictor import Predictor

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command.

    Returns:
        Exit code: 0, 1 if some images could not be predicted, 2 for a mistake in the call, 130
        after Ctrl-C, 143 after SIGTERM.
    """
    arguments = _parser().parse_args(argv)
    process.prepare()
    return interruption.exit_code("samjax", lambda: arguments.run(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("samjax", description="SAM-Med2D in JAX.")
    parser.add_argument("--version", action="version", version=f"samjax {samjax.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_predict(commands)
    conversion_cli.add_parser(commands)
    curation_cli.add_parser(commands)
    description = "Shows versions, devices and, if given, what a model is."
    info = commands.add_parser("info", help=description, description=description)
    info.add_argument("checkpoint", nargs="?", help="model directory, .pth or .safetensors")
    input_flags.add(info)
    info.set_defaults(run=_info)
    return parser


def _add_predict(commands: argparse._SubParsersAction) -> None:
    description = "Segments objects in images; writes masks (0 and 255) and overlays as PNG."
    predict = commands.add_parser("predict", help=description, description=description)
    predict.set_defaults(run=_predict)
    predict.add_argument("images", nargs="+", metavar="IMAGE", help="image files or folders")
    predict.add_argument("--checkpoint", required=True, help="model directory, .pth, .safetensors")
    predict.add_argument("--out", required=True, metavar="DIR", help="folder to write to")
    predict.add_argument(
        "--box",
        nargs=4,
        type=float,
        action="append",
        default=[],
        metavar=("X0", "Y0", "X1", "Y1"),
        help="box around an object, in pixels; each box is one object",
    )
    predict.add_argument(
        "--point",
        nargs=3,
        type=float,
        action="append",
        default=[],
        metavar=("X", "Y", "LABEL"),
        help="click on the object (label 1) or beside it (0); all belong to one object",
    )
    predict.add_argument("--prompts", metavar="FILE", help="CSV or JSON of prompts for each image")
    predict.add_argument("--image-size", type=int, metavar="N", help="side of the network's input")
    predict.add_argument("--no-adapters", action="store_true", help="drop the adapters")
    predict.add_argument("--multimask", action="store_true", help="write all three masks")
    predict.add_argument(
        "--overwrite", action="store_true", help="replace what DIR holds of other models or prompts"
    )
    input_flags.add(predict, multimask=False)


def _predict(arguments: argparse.Namespace) -> int:
    with lock.exclusive(arguments.out):  # Also shows at once whether it can be written to.
        return _predict_into(arguments)


def _predict_into(arguments: argparse.Namespace) -> int:
    found = images.find_images(arguments.images, arguments.out)
    jobs, unmatched = _jobs(arguments, found)
    predictor = Predictor.from_pretrained(
        arguments.checkpoint,
        arguments.image_size,
        adapters=not arguments.no_adapters,
        **_loading(arguments),
    )
    failed = files.predict_files(
        predictor,
        jobs,
        arguments.out,
        arguments.multimask,
        arguments.checkpoint,
        arguments.overwrite,
        unmatched,
    )
    print(f"{len(jobs) - len(failed)} of {len(jobs)} images predicted, see {arguments.out}")
    if failed:
        print(f"samjax: not predicted: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _jobs(
    arguments: argparse.Namespace, found: list[images.Image]
) -> tuple[dict[images.Image, prompt_files.Objects], list[str]]:
    """The objects of every image, from the command line or a file, and its entries of no use."""
    boxes, points = arguments.box, arguments.point
    if arguments.prompts is None:
        if not boxes and not points:
            raise ValueError("no prompts: give --box, --point or --prompts")
        if points and len(boxes) > 1:
            raise ValueError(
                "several boxes and points: say which belong together in a file, with --prompts"
            )
        objects = {
            str(index): prompt_files.from_clicks(box, points)
            for index, box in enumerate(boxes or [None])
        }
        return {image: objects for image in found}, []
    if boxes or points:
        raise ValueError("give either --prompts or --box and --point, not both")
    prompts = prompt_files.read_prompts(arguments.prompts)
    jobs, unmatched = images.assign(prompts, found)
    if not jobs:
        raise ValueError(
            f"{arguments.prompts}: none of its prompts is for the images given, expected some as "
            f"{found[0].name}, found {unmatched[0]}"
        )
    without = [image.name for image in found if image not in jobs]
    left_out = {
        f"images without prompts in {arguments.prompts}": (without, len(found)),
        f"entries of {arguments.prompts} for none of the images given": (unmatched, len(prompts)),
    }
    for what, (names, count) in left_out.items():
        if names:
            print(
                f"left out, {what}: {len(names)} of {count}, the first {names[0]}", file=sys.stderr
            )
    return jobs, unmatched


def _info(arguments: argparse.Namespace) -> int:
    print(f"samjax {samjax.__version__}, Python {platform.python_version()}, {platform.system()}")
    print(", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES))
    print("devices: " + ", ".join(f"{d.platform}:{d.id} {d.device_kind}" for d in jax.devices()))
    if arguments.checkpoint:
        loaded = conversion.load_any(arguments.checkpoint, **_loading(arguments))
        print(f"\n{arguments.checkpoint}\n{loaded.model}\n{loaded.input}\n")
        print(models.parameter_overview(loaded.params))
        if pretrained.is_model_dir(arguments.checkpoint):
            print(f"\n{pretrained.verify(arguments.checkpoint)}")
    return 0


def _loading(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the flags say about loading a model."""
    return {
        "family": arguments.family,
        "input_overrides": input_flags.overrides(arguments),
        "allow_non_finite": arguments.allow_non_finite,
    }


if __name__ == "__main__":
    sys.exit(main())
