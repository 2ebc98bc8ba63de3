"""PyTorch and Hugging Face checkpoints, in and out: the only place that knows their names."""

from samjax.conversion.convert import Options, adapt, from_torch, to_torch
from samjax.conversion.loading import load_any
from samjax.conversion.report import Entry, Report, SurpriseError

__all__ = [
    "Entry",
    "Options",
    "Report",
    "SurpriseError",
    "adapt",
    "from_torch",
    "load_any",
    "to_torch",
]
