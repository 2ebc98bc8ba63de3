"""Loads a model directory, or converts a checkpoint of another program on the fly."""

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from samjax.conversion import convert, families
from samjax.data.classes import SemanticClass
from samjax.models import directory
from samjax.models.directory import Model
from samjax.models.heads import HeadConfig
from samjax.models.peft import PeftConfig

_log = logging.getLogger(__name__)


def load_or_convert(
    path: str | Path,
    image_size: int | None = None,
    peft: PeftConfig | None = None,
    *,
    head: tuple[HeadConfig, tuple[SemanticClass, ...]] = (HeadConfig(), ()),
    pos_embed_size: int = 0,
    fresh: str = "",
    seed: int | None = None,
    family: str | None = None,
    preprocessing_overrides: Mapping[str, Any] | None = None,
    allow_non_finite: bool = False,
) -> Model:
    """Loads a samjax model directory, or converts a PyTorch or Hugging Face checkpoint.

    The preprocessing is part of the checkpoint. Where its file does not determine it, a warning
    names the family that was assumed.

    Args:
        path: A samjax model directory, a `.pth`, `.pt` or `.safetensors` file, or a Hugging Face
            directory with `model.safetensors`.
        image_size: Side of the network's input to resize to, pixels; None keeps the model's own.
        peft: New adapters for a model without any. None and kind `none` take the model as it is:
            adapters are dropped when the model is run, not when it is loaded.
        head: Semantic head for a model of masks, with its classes; kind `masks` keeps the model's.
        pos_embed_size: Side of a position embedding that keeps its size, see `SamConfig`; 0 keeps
            the model's rule.
        fresh: Regular expression of parameters, `a/b/c`, to initialise in place of the model's.
        seed: Seed of the initialised parameters, see `ConversionOptions`.
        family: Family whose preprocessing replaces that of the checkpoint, one of
            `families.FAMILIES`.
        preprocessing_overrides: Fields of `Preprocessing` to set otherwise.
        allow_non_finite: Accept weights that are NaN or infinite.

    Raises:
        FileNotFoundError: There is no model at `path`.
        ValueError: It cannot be read, or has missing or unexpected keys.
    """
    options = convert.ConversionOptions(
        image_size,
        peft,
        head=head,
        pos_embed_size=pos_embed_size,
        fresh=fresh,
        seed=seed,
        family=family,
        allow_non_finite=allow_non_finite,
    )
    if not directory.is_model_dir(path):
        model, report = convert.from_torch(path, options, preprocessing_overrides)
        _log.info(report.summary())
        if report.is_guess:
            _log.warning("%s: %s", path, report.notes[-1])
        return model
    model = directory.load(path, allow_non_finite)
    expected = families.named(family).preprocessing if family else model.preprocessing
    expected = dataclasses.replace(expected, **(preprocessing_overrides or {}))
    model = dataclasses.replace(model, preprocessing=expected)
    resized = image_size not in (None, model.config.image_size)
    extended = options.extended(model.config) != model.config
    if resized or extended or fresh:
        model, report = convert.adapt(model, options, str(path))
        _log.info(report.summary())
    return model
