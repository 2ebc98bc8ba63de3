"""Loads a model directory, or converts a checkpoint of another program on the fly."""

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from samjax.conversion import convert, families
from samjax.models import directory
from samjax.models.directory import Model
from samjax.models.peft import PeftConfig

_log = logging.getLogger(__name__)


def load_or_convert(
    path: str | Path,
    image_size: int | None = None,
    peft: PeftConfig | None = None,
    *,
    preprocessing_overrides: Mapping[str, Any] | None = None,
    **others: Any,
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
        preprocessing_overrides: Fields of `Preprocessing` to set otherwise.
        others: Other fields of `ConversionOptions`, such as `family`.

    Raises:
        FileNotFoundError: There is no model at `path`.
        ValueError: It cannot be read, or has missing or unexpected keys.
    """
    options = convert.ConversionOptions(image_size, peft, **others)
    if not directory.is_model_dir(path):
        model, report = convert.from_torch(path, options, preprocessing_overrides)
        _log.info(report.summary())
        if report.is_guess:
            _log.warning("%s: %s", path, report.notes[-1])
        return model
    model = directory.load(path, options.allow_non_finite)
    expected = model.preprocessing
    if options.family:
        expected = families.named(options.family).preprocessing
    expected = dataclasses.replace(expected, **(preprocessing_overrides or {}))
    model = dataclasses.replace(model, preprocessing=expected)
    resized = image_size not in (None, model.config.image_size)
    extended = options.extended(model.config) != model.config
    if resized or extended or options.fresh:
        model, report = convert.adapt(model, options, str(path))
        _log.info(report.summary())
    return model
