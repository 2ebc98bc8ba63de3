"""Prediction: interactively for one image, for batches of images, or for files."""

from samjax.inference.automatic import AutomaticMaskGenerator
from samjax.inference.automatic_config import AutomaticConfig
from samjax.inference.batch import SegmentationResult, decode, encode, restore, segment
from samjax.inference.classes import ClassPrediction
from samjax.inference.decoder_weights import pack_weights
from samjax.inference.object_prompt import ObjectPrompt
from samjax.inference.predictor import Predictor
from samjax.inference.uncertainty import Ensemble, predict_ensemble, uncertainty_maps

__all__ = [
    "AutomaticConfig",
    "AutomaticMaskGenerator",
    "ClassPrediction",
    "Ensemble",
    "ObjectPrompt",
    "Predictor",
    "SegmentationResult",
    "decode",
    "encode",
    "pack_weights",
    "predict_ensemble",
    "restore",
    "segment",
    "uncertainty_maps",
]
