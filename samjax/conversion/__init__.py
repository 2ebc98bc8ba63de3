"""Conversion of PyTorch and Hugging Face checkpoints to samjax models and back."""

from samjax.conversion.convert import ConversionOptions, adapt, from_torch
from samjax.conversion.loading import load_or_convert
from samjax.conversion.report import ConversionReport, KeyEntry, KeyMismatchError
from samjax.conversion.writing import to_torch

__all__ = [
    "ConversionOptions",
    "ConversionReport",
    "KeyEntry",
    "KeyMismatchError",
    "adapt",
    "from_torch",
    "load_or_convert",
    "to_torch",
]
