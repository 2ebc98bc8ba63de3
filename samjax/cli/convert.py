"""`samjax convert` and `python -m convert`: checkpoints in and out."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from samjax import fields
from samjax.cli import preprocessing_flags
from samjax.cli.parser import Parser, given
from samjax.models.config import PeftConfig

if TYPE_CHECKING:
    from samjax.models.directory import Model


def add_arguments(parser: Parser) -> None:
    """Adds its two commands and what they take."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    bring = commands.add_parser("from-torch", help="checkpoint to samjax model directory")
    bring.set_defaults(run=_from_torch)
    bring.add_argument("source", help=".pth, .pt, .safetensors, or a Hugging Face directory")
    bring.add_argument("target", type=Path, help="model directory to write")
    bring.add_argument("--image-size", type=int, metavar="N", help="resize to this input size")
    bring.add_argument(
        "--adapters", action="store_true", help="initialise adapters if the checkpoint has none"
    )
    for name, choices in fields.choices(PeftConfig).items():
        allowed = [choice for choice in choices if choice != "none"]
        text = f"default: {getattr(PeftConfig, name)}"
        bring.add_argument(f"--adapter-{name}", choices=allowed, help=text)
    text = f"width of their bottleneck over that of a block; default: {PeftConfig.ratio}"
    bring.add_argument("--adapter-ratio", type=float, metavar="R", help=text)
    bring.add_argument("--decoder-heads", type=int, metavar="N", help="if other than SAM's 8")
    bring.add_argument("--seed", type=int, default=0, help="of what is initialised")
    bring.add_argument(
        "--no-strict",
        dest="strict",
        action="store_false",
        help="leave out unexpected keys; initialise missing ones and those of a wrong shape",
    )
    preprocessing_flags.add(bring)
    give = commands.add_parser("to-torch", help="samjax model directory to .pth")
    give.set_defaults(run=_to_torch)
    give.add_argument("source", help="model directory, or any checkpoint that can be loaded")
    give.add_argument("target", type=Path, help=".pth file to write")
    give.add_argument(
        "--allow-non-finite", action="store_true", help="take weights that are NaN or infinite"
    )
    for command in (bring, give):
        command.add_argument("--overwrite", action="store_true", help="replace an existing target")


def _from_torch(arguments: argparse.Namespace) -> None:
    from samjax import models
    from samjax.conversion import convert
    from samjax.models import directory

    target = arguments.target
    if target.exists() and not (arguments.overwrite and directory.is_model_dir(target)):
        advice = " (--overwrite replaces it)" if directory.is_model_dir(target) else ""
        raise FileExistsError(f"{target} exists{advice}")
    names = fields.hints(convert.ConversionOptions).keys() - {"peft"}
    options = convert.ConversionOptions(peft=_peft(arguments), **given(arguments, names))
    model, report = convert.from_torch(
        arguments.source, options, preprocessing_flags.overrides(arguments)
    )
    directory.save(target, model)
    print(report.table())
    print(_input(model))
    print(f"{target}: {models.count_parameters(model.params):,} parameters written")
    if report.is_guess:
        print(f"warning: {arguments.source}: {report.notes[-1]}", file=sys.stderr)


def _peft(arguments: argparse.Namespace) -> PeftConfig | None:
    """The fresh adapters that are asked for."""
    found = given(arguments, fields.hints(PeftConfig), "adapter_")
    if found and not arguments.adapters:
        raise ValueError(f"--adapter-{next(iter(found))}: expected --adapters beside it")
    return PeftConfig(**found) if arguments.adapters else None


def _to_torch(arguments: argparse.Namespace) -> None:
    from samjax import models
    from samjax.conversion import convert, loading

    target = arguments.target
    if target.is_dir() or (target.exists() and not arguments.overwrite):
        raise FileExistsError(f"{target} exists (--overwrite replaces a file)")
    target.parent.mkdir(parents=True, exist_ok=True)
    model = loading.load_or_convert(arguments.source, allow_non_finite=arguments.allow_non_finite)
    convert.to_torch(target, model)
    print(_input(model))
    print(
        "these settings travel in the file (the state dict's _metadata) and samjax takes them from "
        "there; PyTorch takes no notice of them: prepare images so there, too. torch.load and "
        "torch.save keep them, a module's own state_dict() does not"
    )
    if model.config.peft.kind == "conv_bottleneck":
        print("its adapters are conv_bottleneck, which the published SAM-Med2D code does not have")
    print(f"{target}: {models.count_parameters(model.params):,} parameters written")


def _input(model: "Model") -> str:
    expected = ", ".join(f"{name} {value}" for name, value in vars(model.preprocessing).items())
    return f"input: {model.config.image_size} pixels, {expected}"
