"""Masks for images: one at a time and interactively, in ragged batches, or from files."""

from samjax.inference.batch import Segmentation, decode, encode, restore, segment
from samjax.inference.objects import ObjectPrompt
from samjax.inference.predictor import Predictor

__all__ = [
    "ObjectPrompt",
    "Predictor",
    "Segmentation",
    "decode",
    "encode",
    "restore",
    "segment",
]
