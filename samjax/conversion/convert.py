"""Conversion of a PyTorch checkpoint to a samjax model and back, with a report of every key."""

import dataclasses
import re
from collections.abc import Mapping
from concurrent import futures
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from samjax import fields, models
from samjax.conversion import autosam, families, naming, resizing, sources
from samjax.conversion.checkpoint_file import CheckpointContents
from samjax.conversion.families import LITE_MEDSAM_PREPROCESSING as LITE_MEDSAM_PREPROCESSING
from samjax.conversion.families import SAM_MED2D_PREPROCESSING as SAM_MED2D_PREPROCESSING
from samjax.conversion.families import SAM_PREPROCESSING as SAM_PREPROCESSING
from samjax.conversion.report import MISMATCHES, ConversionReport, KeyEntry, KeyMismatchError
from samjax.data.classes import SemanticClass, numbered
from samjax.models import finite_check
from samjax.models.config import SamConfig
from samjax.models.directory import Model
from samjax.models.heads import HeadConfig
from samjax.models.peft import PeftConfig
from samjax.types import Params


@dataclasses.dataclass(frozen=True)
class ConversionOptions:
    """Settings of a conversion.

    Attributes:
        image_size: Side of the network's input, pixels; None keeps the checkpoint's own.
        pos_embed_size: Side of a position embedding that keeps its size, see `SamConfig`; 0 keeps
            the checkpoint's rule.
        peft: New adapters for a checkpoint without any; None and kind `none` add none.
        decoder_heads: Number of attention heads in the decoder, which the tensors do not show;
            None takes the number in the checkpoint's settings, or SAM's 8.
        strict: Raise `KeyMismatchError` for missing keys, unexpected keys and keys of a wrong
            shape; otherwise unexpected keys are left out and the others are initialised.
        seed: Seed of the initialised parameters; None is 0, but does not replace what only the
            file should have (AutoSAM's positional matrix).
        head: Semantic head for a checkpoint of masks, with its classes; None and kind `masks` keep
            the checkpoint's own.
        fresh: Regular expression of parameters, `a/b/c`, that are initialised all the same.
        family: Family whose preprocessing to use, one of `families.FAMILIES`; None uses the
            settings that travel with the file, or else infers the family from the tensors.
        allow_non_finite: Accept weights that are NaN or infinite.
        base: Checkpoint with the image encoder, for a file without: of SAMed, or of AutoSAM's head.

    Raises:
        ValueError: `fresh` is not a regular expression.
    """

    image_size: int | None = None
    peft: PeftConfig | None = None
    decoder_heads: int | None = None
    strict: bool = True
    seed: int | None = None
    head: tuple[HeadConfig, tuple[SemanticClass, ...]] = (HeadConfig(), ())
    fresh: fields.Pattern = ""
    pos_embed_size: int = 0
    family: str | None = None
    allow_non_finite: bool = False
    base: str | Path | None = None

    def __post_init__(self) -> None:
        fields.check(self, "fresh")

    def extended(self, config: SamConfig) -> SamConfig:
        """Returns an architecture with the new adapters and the new head, if it has none."""
        if self.peft is not None and self.peft.enabled and not config.peft.enabled:
            config = dataclasses.replace(config, peft=self.peft)
        if self.head[0].is_semantic and not config.head.is_semantic:
            config = dataclasses.replace(config, head=self.head[0])
        return config


def from_torch(
    path: str | Path,
    options: ConversionOptions = ConversionOptions(),
    preprocessing_overrides: Mapping[str, Any] | None = None,
) -> tuple[Model, ConversionReport]:
    """Converts a SAM, SAM-Med2D, MedSAM, SAMed, MobileSAM, LiteMedSAM or Hugging Face checkpoint.

    The preprocessing of images is read from the settings that travel with the file: samjax's own,
    or Hugging Face's configuration. Without them, it is that of the published family that has such
    tensors. Where several families have them, the report says that this is a guess.

    Args:
        path: A `.pth`, `.pt`, `.ckpt`, `.bin` or `.safetensors` file, an index of sharded ones, or
            a directory with them.
        options: Settings of the conversion.
        preprocessing_overrides: Fields of `Preprocessing` to set otherwise.

    Returns:
        The model and the report of every key.

    Raises:
        FileNotFoundError: There is no checkpoint at `path`.
        KeyMismatchError: Keys are unexpected, missing or of a wrong shape; it lists them all.
        ValueError: The file cannot be read, is no SAM, holds weights that are not finite, or
            does not determine the architecture.
    """
    has_seed = options.seed is not None
    source = sources.read(path, options.base, options.decoder_heads, has_seed)
    contents, config = source.contents, source.config
    if options.image_size is None:
        options = dataclasses.replace(options, image_size=source.image_size)
    decision = _decide(contents, config, options)
    decision = families.override(decision, preprocessing_overrides or {})
    config, params, report = _assemble(str(path), contents, config, options)
    if not options.allow_non_finite:
        finite_check.check(str(path), contents.tensors.items())
    report = dataclasses.replace(report, notes=(*contents.notes, decision.describe()))
    report = dataclasses.replace(report, is_guess=decision.is_guess)
    classes = contents.settings[2] if contents.settings else ()
    if config.head.is_semantic and not classes:
        classes = options.head[1] or numbered(config.head.classes)
        if len(classes) != config.head.classes:
            raise ValueError(
                f"{path}: expected {config.head.classes} classes beside the background, as its "
                f"head has, found {', '.join(each.name for each in classes)}"
            )
    return Model(config, decision.preprocessing, params, classes), report


def adapt(model: Model, options: ConversionOptions, name: str) -> tuple[Model, ConversionReport]:
    """Resizes a samjax model, or adds adapters or a semantic head, as `from_torch` does.

    Args:
        model: The model.
        options: Settings of the conversion.
        name: Name of the model in the report.
    """
    tensors = naming.state_dict(model.params)
    contents = CheckpointContents(tensors, {key: key for key in tensors}, {})
    config, params, report = _assemble(name, contents, model.config, options)
    classes = model.classes or options.head[1]
    return dataclasses.replace(model, config=config, params=params, classes=classes), report


def _decide(
    contents: CheckpointContents, config: SamConfig, options: ConversionOptions
) -> families.PreprocessingDecision:
    """Returns the preprocessing, from the most reliable source that there is."""
    if options.family is not None:
        return families.named(options.family)
    if contents.settings is not None:
        return families.PreprocessingDecision(
            contents.settings[1], "the settings that travel with the file"
        )
    beside = contents.beside
    if beside is not None and beside.preprocessing is not None:
        return families.PreprocessingDecision(
            beside.preprocessing, f"{beside.preprocessing_file} beside it"
        )
    return families.infer(config)


def _assemble(
    name: str, contents: CheckpointContents, config: SamConfig, options: ConversionOptions
) -> tuple[SamConfig, Params, ConversionReport]:
    """Fills the architecture's parameters from the tensors.

    Raises:
        KeyMismatchError: Keys do not match, and the options are strict.
        ValueError: `fresh` matches no parameter.
    """
    before, config, seed = config, options.extended(config), options.seed or 0
    added, new_head = config.peft != before.peft, config.head != before.head
    made = {}
    if new_head:
        made = autosam.from_sam(contents.tensors, config, seed)
        contents = contents.with_tensors({key: tensor for key, (tensor, _) in made.items()})
    shapes = models.shapes(config)
    if options.fresh and not any(re.fullmatch(options.fresh, path) for path in shapes):
        raise ValueError(
            f"{name}: expected parameters to initialise, such as {next(iter(shapes))}, found none "
            f"that {options.fresh!r} matches"
        )
    paths = {naming.torch_name(path): path for path in shapes}
    entries = {name: _entry(contents, path, shapes[path], added) for name, path in paths.items()}
    for key, (_, origin) in made.items():
        entries[key] = entries[key].become(entries[key].status, f"made of {origin}")
    for key, path in paths.items():
        replaced = new_head and path.startswith(("mask_decoder/", "prompt_head/"))
        if new_head and autosam.is_drawn(key, config):
            entries[key] = entries[key].become("initialised", "as published")
        elif key == autosam.POSITIONS and entries[key].status == "missing":
            entries[key] = entries[key].become("initialised", "in place of the file's own")
        elif (replaced and entries[key].status in MISMATCHES) or re.fullmatch(options.fresh, path):
            entries[key] = KeyEntry(key, "initialised", naming.torch_shape(path, shapes[path]))
    report = _report(name, contents, entries, new_head)
    if report.mismatches and options.strict:
        raise KeyMismatchError(report)

    usable = {key: contents.tensors[key] for key in paths if entries[key].status == "loaded"}
    size = config.image_size if options.image_size is None else options.image_size
    config = resizing.keep_positions(config, options.pos_embed_size)
    resized, config = resizing.resize(usable, config, size)
    for key, tensor in resized.items():
        entries[key] = entries[key].become("resized", f"to {tensor.shape}")
    usable |= resized
    ours = {paths[key]: tensor for key, tensor in usable.items()}
    with futures.ThreadPoolExecutor() as pool:  # NumPy copies in several threads at once.
        copies = pool.map(_from_torch, ours, ours.values())
        leaves = dict(zip(ours, copies, strict=True))
    absent = paths.keys() - usable.keys()
    leaves |= _draw(config, {paths[key] for key in absent}, seed)
    for key in absent:
        was = entries[key].status
        note = f"seed {seed}" if was == "initialised" else f"{was}, seed {seed}"
        entries[key] = entries[key].become("initialised", note)
    report = _report(name, contents, entries, new_head)
    return config, traverse_util.unflatten_dict(leaves, sep="/"), report


def _draw(config: SamConfig, paths: set[str], seed: int) -> dict[str, np.ndarray]:
    """Initialises the parameters at these paths; the others are never computed."""
    if not paths:
        return {}

    def draw(key: jax.Array) -> dict[str, jax.Array]:
        fresh = models.named_leaves(models.init(config, key))
        return {path: leaf for path, leaf in fresh if path in paths}

    return jax.tree.map(np.asarray, jax.jit(draw)(jax.random.key(seed)))


def _entry(
    contents: CheckpointContents, path: str, shape: tuple[int, ...], added: bool
) -> KeyEntry:
    """Returns the report's entry for the parameter at `path`."""
    name = naming.torch_name(path)
    expected = naming.torch_shape(path, shape)
    if name not in contents.tensors:
        status = "initialised" if added and "/adapter/" in path else "missing"
        return KeyEntry(name, status, expected)
    key, found = contents.keys[name], contents.tensors[name]
    if found.shape != expected:
        return KeyEntry(key, "wrong shape", found.shape, f"expected {expected}")
    note = "" if found.dtype == np.float32 else f"from {found.dtype}"
    return KeyEntry(key, "loaded", found.shape, note)


def _from_torch(path: str, tensor: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(naming.from_torch(path, tensor), np.float32)


def _report(
    name: str, contents: CheckpointContents, entries: Mapping[str, KeyEntry], new_head: bool
) -> ConversionReport:
    """Reports all keys in the checkpoint's order, then the missing and the ignored ones.

    Prompt encoder and decoder may have tensors that a new head has no use for.
    """

    def unused(key: str) -> str:
        replaced = new_head and not key.startswith("image_encoder.")
        return "ignored" if replaced else "unexpected"

    found = [
        entries.get(key) or KeyEntry(contents.keys[key], unused(key), tensor.shape)
        for key, tensor in contents.tensors.items()
    ]
    absent = [entry for key, entry in entries.items() if key not in contents.tensors]
    ignored = [KeyEntry(key, "ignored", note=why) for key, why in contents.ignored.items()]
    return ConversionReport(name, (*found, *absent, *ignored))
