"""A model on disk: `config.json` and `params/` (Orbax), written whole or not at all."""

import dataclasses
import hashlib
import json
import shutil
import typing
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from samjax.data import inputs
from samjax.models import config as model_config
from samjax.types import Params

FORMAT = 2  # 1 kept the adapters' transposed kernels as (4, 4, in, out).


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """Everything needed to run a network: its architecture, what it expects, its weights.

    Attributes:
        model: Architecture.
        input: How images and mask prompts are prepared for it.
        params: Nested dict of float32 arrays.
    """

    model: model_config.SamConfig
    input: inputs.InputConfig
    params: Params


def save(path: str | Path, pretrained: Pretrained) -> None:
    """Writes a model directory, replacing one of the same name only once the new one is whole.

    Raises:
        FileExistsError: `path` exists and is not a model directory.
    """
    path = Path(path).absolute()
    if path.exists() and not is_model_dir(path):
        raise FileExistsError(f"{path} exists and is not a samjax model directory; not overwritten")
    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    with _checkpointer() as checkpointer:
        checkpointer.save(partial / "params", pretrained.params)
    fields = {
        "format": FORMAT,
        "model": dataclasses.asdict(pretrained.model),
        "input": dataclasses.asdict(pretrained.input),
    }
    (partial / "config.json").write_text(json.dumps(fields, indent=2) + "\n")
    if path.exists():
        shutil.rmtree(path)
    partial.rename(path)


def load(path: str | Path) -> Pretrained:
    """Reads a model directory written by `save`; parameters come as NumPy float32 arrays.

    Raises:
        FileNotFoundError: `path` is not a model directory.
        ValueError: Its `config.json` is not one that this version understands.
    """
    path = Path(path).absolute()
    if not is_model_dir(path):
        raise FileNotFoundError(
            f"{path}: expected a samjax model directory (with config.json and params/)"
        )
    try:
        fields = json.loads((path / "config.json").read_text())
        if fields["format"] != FORMAT:
            raise ValueError(f"format: expected {FORMAT}, found {fields['format']!r}")
        model = from_fields(model_config.SamConfig, fields["model"])
        input_config = from_fields(inputs.InputConfig, fields["input"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path / 'config.json'}: {error}") from error
    with _checkpointer() as checkpointer:
        metadata = checkpointer.metadata(path / "params").item_metadata
        target = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), metadata.tree)
        params = checkpointer.restore(path / "params", target)
    return Pretrained(model, input_config, params)


def digest(pretrained: Pretrained) -> str:
    """What tells a network, and how it is used, from any other: 16 hexadecimal digits."""
    found = hashlib.blake2b(digest_size=8)
    found.update(repr((pretrained.model, pretrained.input)).encode())
    for path, leaf in jax.tree_util.tree_leaves_with_path(pretrained.params):
        found.update(f"{jax.tree_util.keystr(path)} {leaf.shape} {leaf.dtype}".encode())
        found.update(np.ascontiguousarray(leaf).data)
    return found.hexdigest()


def is_model_dir(path: str | Path) -> bool:
    """Whether `path` looks like a directory written by `save`."""
    path = Path(path)
    return (path / "config.json").is_file() and (path / "params").is_dir()


def from_fields(cls: type, fields: dict[str, Any]) -> Any:
    """A dataclass, with sections within sections, from what `asdict` and JSON made of it.

    JSON has no tuples: they come back as lists.
    """
    hints = typing.get_type_hints(cls)
    values = {}
    for name, content in dict(fields).items():
        if dataclasses.is_dataclass(hints.get(name)):
            content = from_fields(hints[name], content)
        elif isinstance(content, list):
            content = tuple(content)
        values[name] = content
    return cls(**values)


def _checkpointer() -> ocp.StandardCheckpointer:
    """One that waits for no other process: whoever calls it reads or writes on its own."""
    own = jax.process_index()
    options = ocp.options.MultiprocessingOptions(
        primary_host=own, active_processes={own}, barrier_sync_key_prefix=f"process_{own}"
    )
    return ocp.StandardCheckpointer(multiprocessing_options=options)
