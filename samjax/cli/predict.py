"""`samjax predict`: segments objects in images, or gives every pixel a class."""

import argparse
import sys
from typing import TYPE_CHECKING

from samjax.cli import automatic_flags, preprocessing_flags
from samjax.cli.parser import Parser

if TYPE_CHECKING:
    from samjax.inference import image_files, prompt_files
    from samjax.inference.uncertainty import EnsembleConfig

_PROMPTS = ("box", "point", "prompts", "multimask", "ensemble")


def add_arguments(parser: Parser) -> None:
    """Adds the command's arguments."""
    parser.set_defaults(run=run)
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image files or folders")
    parser.add_argument("--checkpoint", required=True, help="model directory, .pth or .safetensors")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write to")
    parser.add_argument(
        "--box",
        nargs=4,
        type=float,
        action="append",
        default=[],
        metavar=("X0", "Y0", "X1", "Y1"),
        help="box around an object, pixels; each box is one object",
    )
    parser.add_argument(
        "--point",
        nargs=3,
        type=float,
        action="append",
        default=[],
        metavar=("X", "Y", "LABEL"),
        help="point on the object (label 1) or off it (0), pixels; all belong to one object",
    )
    parser.add_argument("--prompts", metavar="FILE", help="CSV or JSON of prompts for each image")
    parser.add_argument(
        "--image-size", type=int, metavar="N", help="side of the network's input, pixels"
    )
    parser.add_argument(
        "--no-adapters", action="store_true", help="run the network without its adapters"
    )
    parser.add_argument(
        "--multimask",
        action="store_true",
        help="write all three candidate masks; default: the best",
    )
    parser.add_argument(
        "--ensemble",
        type=int,
        metavar="M",
        help="mean of M masks, of each box and of jittered ones, and its uncertainty (SAM-U)",
    )
    parser.add_argument(
        "--ensemble-mean",
        choices=("probability", "logit"),
        help="values that an ensemble averages; default: probability",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace results of other models or prompts in DIR"
    )
    automatic_flags.add(parser)
    preprocessing_flags.add(parser, multimask=False)


def run(arguments: argparse.Namespace) -> int:
    """Predicts all readable images."""
    from samjax import lock

    with lock.exclusive(arguments.out):  # Also shows at once whether it can be written to.
        return _predict_into(arguments)


def _predict_into(arguments: argparse.Namespace) -> int:
    from samjax.inference import automatic_files, class_files, ensemble_files, files, image_files
    from samjax.inference.predictor import Predictor

    automatic = automatic_flags.config(arguments)
    ensemble = _ensemble(arguments)
    found = image_files.find_images(arguments.images, arguments.out)
    prompted = bool(arguments.box or arguments.point or arguments.prompts)
    jobs, unmatched = _jobs(arguments, found) if prompted else ({}, [])
    predictor = Predictor.from_pretrained(
        arguments.checkpoint,
        arguments.image_size,
        adapters=not arguments.no_adapters,
        **preprocessing_flags.loading(arguments),
    )
    head = predictor.model.config.head
    note = ""
    given = next((name for name in _PROMPTS if vars(arguments)[name]), None)
    if automatic is not None:
        outcome = automatic_files.predict_automatic_files(
            predictor, found, arguments.out, automatic, arguments.checkpoint, arguments.overwrite
        )
        failed, count = outcome.failed, len(found)
        note = f" ({len(outcome.without_masks)} without any mask)"
    elif head.is_semantic and not (given and head.keeps_masks):
        if given:
            raise ValueError(
                f"--{given}: expected no prompts, as {arguments.checkpoint} (head {head.kind}) "
                "gives every pixel a class; leave it out"
            )
        failed = class_files.predict_class_files(
            predictor, found, arguments.out, arguments.checkpoint, arguments.overwrite
        )
        count = len(found)
    else:
        if not prompted:
            raise ValueError(
                "no prompts: give --box, --point or --prompts, or --auto for all objects"
            )
        target = (arguments.checkpoint, arguments.overwrite, unmatched)
        if ensemble is not None:
            failed = ensemble_files.predict_ensemble_files(
                predictor, jobs, arguments.out, ensemble, *target
            )
        else:
            failed = files.predict_files(
                predictor, jobs, arguments.out, arguments.multimask, *target
            )
        count = len(jobs)
    print(f"{count - len(failed)} of {count} images predicted{note}, see {arguments.out}")
    if failed:
        print(f"samjax: not predicted: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _ensemble(arguments: argparse.Namespace) -> "EnsembleConfig | None":
    from samjax import fields
    from samjax.inference.uncertainty import EnsembleConfig

    if arguments.ensemble is None:
        if arguments.ensemble_mean is not None:
            raise ValueError("--ensemble-mean: expected --ensemble beside it")
        return None
    if arguments.multimask:
        raise ValueError("--ensemble: expected no --multimask, as one mask of each box is averaged")
    with fields.naming({"count": "--ensemble"}.__getitem__):
        return EnsembleConfig(
            count=arguments.ensemble, mean=arguments.ensemble_mean or "probability"
        )


def _jobs(
    arguments: argparse.Namespace, found: "list[image_files.ImageFile]"
) -> "tuple[dict[image_files.ImageFile, prompt_files.Objects], list[str]]":
    """Returns the prompts of every image, and names in the prompt file that match none."""
    from samjax.inference import image_files, prompt_files

    boxes, points = arguments.box, arguments.point
    if arguments.prompts is None:
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
    jobs, unmatched = image_files.assign(prompts, found)
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
    for reason, (names, count) in left_out.items():
        if names:
            print(
                f"left out, {reason}: {len(names)} of {count}, the first {names[0]}",
                file=sys.stderr,
            )
    return jobs, unmatched
