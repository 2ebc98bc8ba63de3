"""Masks for images: one at a time and interactively, in ragged batches, or from files."""

from samjax.inference.batch import Segmentation, decode, encode, restore, segment
from samjax.inference.objects import ObjectPrompt
from samjax.inference.predictor import Predictor
from samjax.inference.weights import pack_weights

__all__ = [
    "ObjectPrompt",
    "Predictor",
    "Segmentation",
    "decode",
    "encode",
    "pack_weights",
    "restore",
    "segment",
]
