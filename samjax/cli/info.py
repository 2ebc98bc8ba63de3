"""`samjax info`: shows versions, devices and a model."""

import argparse
import importlib.metadata
import platform

from samjax.cli import preprocessing_flags
from samjax.cli.parser import Parser

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")


def add_arguments(parser: Parser) -> None:
    """Adds the command's arguments."""
    parser.set_defaults(run=run)
    parser.add_argument("checkpoint", nargs="?", help="model directory, .pth or .safetensors")
    preprocessing_flags.add(parser)


def run(arguments: argparse.Namespace) -> None:
    """Prints versions and devices, and a model's settings and parameters."""
    import jax

    import samjax
    from samjax import conversion, models
    from samjax.models import directory

    print(f"samjax {samjax.__version__}, Python {platform.python_version()}, {platform.system()}")
    print(", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES))
    print("devices: " + ", ".join(f"{d.platform}:{d.id} {d.device_kind}" for d in jax.devices()))
    if arguments.checkpoint:
        loaded = conversion.load_or_convert(
            arguments.checkpoint, **preprocessing_flags.loading(arguments)
        )
        print(f"\n{arguments.checkpoint}\n{loaded.config}\n{loaded.preprocessing}\n")
        if loaded.classes:
            names = ", ".join(each.name for each in loaded.classes)
            print(f"head: {loaded.config.head.kind}; classes: {names}\n")
        print(models.parameter_overview(loaded.config))
        if directory.is_model_dir(arguments.checkpoint):
            print(f"\n{directory.verify(arguments.checkpoint)}")
