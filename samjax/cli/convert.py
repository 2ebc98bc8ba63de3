"""`samjax convert` and `python -m convert`: converts checkpoints from and to PyTorch."""

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from samjax import fields
from samjax.cli import preprocessing_flags
from samjax.cli.parser import Parser, name_in_list, specified
from samjax.data import classes
from samjax.models.peft import PeftConfig

if TYPE_CHECKING:
    from samjax.models.directory import Model


def add_arguments(parser: Parser) -> None:
    """Adds the two subcommands and their arguments."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    from_torch = commands.add_parser(
        "from-torch", help="converts a checkpoint to a samjax model directory"
    )
    from_torch.set_defaults(run=_from_torch)
    from_torch.add_argument("source", help=".pth, .pt, .safetensors, or a Hugging Face directory")
    from_torch.add_argument("target", type=Path, help="model directory to write")
    from_torch.add_argument(
        "--base", metavar="SAM", help="SAM's file, for a file without encoder (SAMed, AutoSAM)"
    )
    from_torch.add_argument(
        "--classes",
        nargs="+",
        type=name_in_list,
        metavar="NAME",
        help="names of a semantic head's classes; default: the checkpoint's, or class_1, ...",
    )
    from_torch.add_argument(
        "--image-size",
        type=int,
        metavar="N",
        help="side of the network's input to resize to, pixels; default: the checkpoint's",
    )
    from_torch.add_argument(
        "--adapters", action="store_true", help="add new adapters to a checkpoint without any"
    )
    for name, choices in fields.choices(PeftConfig).items():
        allowed = [choice for choice in choices if choice != "none"]
        text = f"{name} of the adapters; default: {getattr(PeftConfig, name)}"
        from_torch.add_argument(f"--adapter-{name}", choices=allowed, help=text)
    text = f"bottleneck width of the adapters over block width; default: {PeftConfig.ratio}"
    from_torch.add_argument("--adapter-ratio", type=float, metavar="R", help=text)
    text = f"rank of LoRA; default: {PeftConfig.rank}"
    from_torch.add_argument("--adapter-rank", type=int, metavar="N", help=text)
    from_torch.add_argument(
        "--decoder-heads",
        type=int,
        metavar="N",
        help="attention heads of the decoder; default: 8, as in SAM",
    )
    from_torch.add_argument(
        "--seed", type=int, help="seed of the initialised parameters; default: 0"
    )
    from_torch.add_argument(
        "--no-strict",
        dest="strict",
        action="store_false",
        help="leave out unexpected keys; initialise missing ones and those of a wrong shape",
    )
    preprocessing_flags.add(from_torch)
    to_torch = commands.add_parser(
        "to-torch", help="converts a samjax model directory to a .pth file"
    )
    to_torch.set_defaults(run=_to_torch)
    to_torch.add_argument("source", help="model directory, or any checkpoint that can be loaded")
    to_torch.add_argument("target", type=Path, help=".pth file to write")
    to_torch.add_argument(
        "--allow-non-finite", action="store_true", help="accept weights that are NaN or infinite"
    )
    for command in (from_torch, to_torch):
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
    options = convert.ConversionOptions(peft=_peft(arguments), **specified(arguments, names))
    model, report = convert.from_torch(
        arguments.source, options, preprocessing_flags.overrides(arguments)
    )
    if arguments.classes:
        model = _named(model, arguments.classes, arguments.source)
    directory.save(target, model)
    print(report.table())
    print(_input(model))
    print(f"{target}: {models.count_parameters(model.config):,} parameters written")
    if report.is_guess:
        print(f"warning: {arguments.source}: {report.notes[-1]}", file=sys.stderr)


def _named(model: "Model", names: list[str], source: str) -> "Model":
    """Gives the classes of a semantic head these names."""
    if len(names) != model.config.head.classes:
        raise ValueError(
            f"--classes: expected {model.config.head.classes} names, as {source} has so many "
            f"classes besides the background, found {len(names)}"
        )
    with fields.naming("--{}".format):
        return dataclasses.replace(model, classes=classes.with_colors(names))


def _peft(arguments: argparse.Namespace) -> PeftConfig | None:
    """Returns the configuration of the new adapters; None without any."""
    settings = specified(arguments, fields.hints(PeftConfig), "adapter_")
    if settings and not arguments.adapters:
        raise ValueError(f"--adapter-{next(iter(settings))}: expected --adapters beside it")
    return PeftConfig(**settings) if arguments.adapters else None


def _to_torch(arguments: argparse.Namespace) -> None:
    from samjax.conversion import loading, writing

    target = arguments.target
    if target.is_dir() or (target.exists() and not arguments.overwrite):
        raise FileExistsError(f"{target} exists (--overwrite replaces a file)")
    target.parent.mkdir(parents=True, exist_ok=True)
    model = loading.load_or_convert(arguments.source, allow_non_finite=arguments.allow_non_finite)
    written = writing.to_torch(target, model)
    print(_input(model))
    print(
        "these settings travel in the file (the state dict's _metadata), where samjax reads them. "
        "PyTorch ignores them: prepare images so there, too. torch.load and torch.save keep them, "
        "a module's own state_dict() does not"
    )
    if model.config.peft.kind == "lora":
        print("it is a SAMed file, without the image encoder: that stays in SAM's own file")
    elif model.config.peft.kind == "conv_bottleneck":
        print("its adapters are conv_bottleneck, which the published SAM-Med2D code does not have")
    elif model.config.peft.enabled and model.config.peft.layers:
        print("only some blocks have adapters; the published SAM-Med2D code expects them in all")
    print(f"{target}: {written:,} parameters written")


def _input(model: "Model") -> str:
    expected = ", ".join(f"{name} {value}" for name, value in vars(model.preprocessing).items())
    return f"input: {model.config.image_size} pixels, {expected}"
