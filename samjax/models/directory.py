"""Model directories: `config.json` and `params/` (Orbax), written whole or not at all."""

import dataclasses
import hashlib
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np

from samjax import array_files, digests, fields, models, renames
from samjax.data import inputs
from samjax.data.classes import SemanticClass, check_names
from samjax.models import config as model_config
from samjax.models import finite_check, shape_check
from samjax.types import Params

FORMAT = 4  # 2 and 3 had earlier names of settings (`samjax.renames`).
_READABLE = (2, 3, FORMAT)  # 1 kept the adapters' transposed kernels as (4, 4, in, out).
# Fields added without a new format: where they are missing, defaults hold.
_OPTIONAL = {
    *("encoder", "tiny_vit", "head", "unet_widths", "window_padding", "two_way", "pos_embed_size"),
    *("normalise", "coordinates", "multimask", "box_margin", "point_prompts"),
}

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Model:
    """Everything needed to run a network: architecture, preprocessing and weights.

    Attributes:
        config: Architecture.
        preprocessing: Preparation of images and mask prompts.
        params: Nested dict of float32 arrays.
        classes: Classes of a semantic head, without the background; empty for masks from prompts.

    Raises:
        ValueError: The number of classes is not that of the head, or two have the same name.
    """

    config: model_config.SamConfig
    preprocessing: inputs.Preprocessing
    params: Params
    classes: tuple[SemanticClass, ...] = ()

    def __post_init__(self) -> None:
        if len(self.classes) != self.config.head.classes:
            raise ValueError(
                f"classes: expected {self.config.head.classes}, as model.head.classes, found "
                f"{len(self.classes)}"
            )
        check_names([each.name for each in self.classes])


def save(path: str | Path, model: Model) -> None:
    """Writes a model directory, replacing one of the same name only once the new one is whole.

    It contains digests of all its files (`samjax.digests`), which `load` checks.

    Args:
        path: The directory.
        model: The model.

    Raises:
        FileExistsError: `path` exists and is not a model directory.
        OSError: It cannot be written; no part of it is left.
    """
    path = Path(path).absolute()
    if path.exists() and not is_model_dir(path):
        raise FileExistsError(f"{path} exists and is not a samjax model directory; not overwritten")
    partial, old = (path.with_name(path.name + end) for end in (".partial", ".old"))
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        array_files.write(partial / "params", model.params)
        content = {"format": FORMAT, **settings(model)}
        (partial / "config.json").write_text(json.dumps(content, indent=2) + "\n")
        digests.write(partial)
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
            path.rename(old)
        partial.rename(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(error.errno, f"model not written: {reason}", str(path)) from error
    finally:
        if old.exists() and not path.exists():
            old.rename(path)
        for leftover in (partial, old):
            shutil.rmtree(leftover, ignore_errors=True)


def load(path: str | Path, allow_non_finite: bool = False) -> Model:
    """Reads a model directory written by `save`; parameters come as NumPy float32 arrays.

    Args:
        path: The directory.
        allow_non_finite: Whether to accept weights that are NaN or infinite.

    Raises:
        FileNotFoundError: `path` is not a model directory.
        ValueError: A file of it is missing or damaged, its `config.json` is not one that this
            version understands or does not belong to the arrays, or weights are not finite.
    """
    path = Path(path).absolute()
    if not is_model_dir(path):
        absent = " and ".join(n for n in ("config.json", "params") if not (path / n).exists())
        raise FileNotFoundError(
            f"{path}: expected a samjax model directory (with config.json and params/), "
            f"found no {absent or 'such ones'}"
        )
    config_path = path / "config.json"
    try:
        content = json.loads(config_path.read_text())
        if not isinstance(content, dict):
            raise ValueError(f"expected fields, found a {type(content).__name__}")
        if content.get("format") not in _READABLE:
            expected = ", ".join(map(str, _READABLE))
            raise ValueError(f"format: expected one of {expected}, found {content.get('format')!r}")
        config, preprocessing, classes = read_settings(content)
    except ValueError as error:
        raise ValueError(f"{config_path}: {error}") from error
    if not digests.check(path, "params/"):
        _log.warning("%s: no digests, written by an older samjax: damage would not be seen", path)

    arrays = array_files.read_shapes(path / "params")
    try:
        shape_check.check(config, {name: leaf.shape for name, leaf in models.named_leaves(arrays)})
    except ValueError as error:
        raise ValueError(f"{config_path}: {error}") from error
    digests.check(path, "config.json")
    params = array_files.read(path / "params", arrays)
    if not allow_non_finite:
        finite_check.check(str(path), models.named_leaves(params))
    return Model(config, preprocessing, params, classes)


def digest(model: Model) -> str:
    """Returns a digest of weights and settings: 16 hexadecimal digits."""
    hashed = hashlib.blake2b(digest_size=8)
    hashed.update(json.dumps(settings(model)).encode())
    for path, leaf in jax.tree_util.tree_leaves_with_path(model.params):
        hashed.update(f"{jax.tree_util.keystr(path)} {leaf.shape} {leaf.dtype}".encode())
        hashed.update(np.ascontiguousarray(leaf).data)
    return hashed.hexdigest()


def verify(path: str | Path) -> str:
    """Checks every file of a model directory against its digest; returns a line for the user.

    Raises:
        ValueError: A file is missing or was changed; the message names it.
    """
    count = digests.check(Path(path))
    if not count:
        return f"{path}: no digests, written by an older samjax; saved again it gets them"
    return f"{path}: {count} files, all as they were written (SHA-256)"


def settings(model: Model) -> dict[str, Any]:
    """Returns a model's settings, in the form that JSON holds; `read_settings` reads it back."""
    found: dict[str, Any] = {
        "model": dataclasses.asdict(model.config),
        "preprocessing": dataclasses.asdict(model.preprocessing),
    }
    if model.classes:
        found["classes"] = [dataclasses.asdict(each) for each in model.classes]
    return found


def read_settings(
    content: Any,
) -> tuple[model_config.SamConfig, inputs.Preprocessing, tuple[SemanticClass, ...]]:
    """Reads the result of `settings`, also with earlier names.

    Raises:
        ValueError: A field is unknown, missing or invalid.
    """
    sections = {"model": model_config.SamConfig, "preprocessing": inputs.Preprocessing}
    content = renames.translate(content) if isinstance(content, dict) else {}
    found = []
    for name, cls in sections.items():
        section = content.get(name)
        if not isinstance(section, dict):
            raise ValueError(f"{name}: expected fields, found {section!r}")
        known = {field.name for field in dataclasses.fields(cls)}
        for missing in sorted(known - section.keys() - _OPTIONAL):
            raise ValueError(f"{name}.{missing}: expected a field of this name, found none")
        with fields.naming(f"{name}.{{}}".format):
            found.append(fields.from_dict(cls, section))
    with fields.naming("classes.{}".format):
        classes = tuple(fields.from_dict(SemanticClass, c) for c in content.get("classes", ()))
    return found[0], found[1], classes


def is_model_dir(path: str | Path) -> bool:
    """Whether `path` looks like a directory written by `save`."""
    path = Path(path)
    return (path / "config.json").is_file() and (path / "params").is_dir()
