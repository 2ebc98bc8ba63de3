"""PyTorch and Hugging Face checkpoints, in and out: the only place that knows their names."""

from samjax.conversion.convert import Options, adapt, from_torch, to_torch
from samjax.conversion.loading import load_any
from samjax.conversion.report import Entry, KeyMismatchError, Report

__all__ = [
    "Entry",
    "KeyMismatchError",
    "Options",
    "Report",
    "adapt",
    "from_torch",
    "load_any",
    "to_torch",
]
