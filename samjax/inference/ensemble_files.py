"""Prediction on image files by ensembles of boxes: masks, uncertainty, overlays, a manifest."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from samjax import visualization
from samjax.data import files
from samjax.inference.files import (
    OVERLAY_SIDE,
    mask_names,
    object_entry,
    overlay,
    overlay_name,
    predict_all,
    run_settings,
)
from samjax.inference.image_files import ImageFile
from samjax.inference.manifest import Entry
from samjax.inference.predictor import Predictor
from samjax.inference.prompt_files import Objects
from samjax.inference.uncertainty import Ensemble, EnsembleConfig, predict_ensemble

SCALE = 2**16 - 1  # Value of one bit in an uncertainty map.


def predict_ensemble_files(
    predictor: Predictor,
    jobs: dict[ImageFile, Objects],
    out: str | Path,
    config: EnsembleConfig,
    checkpoint: str = "",
    overwrite: bool = False,
    unmatched: Sequence[str] = (),
) -> dict[str, str]:
    """Predicts objects by ensembles of boxes, and writes masks, uncertainty and overlays.

    The uncertainty of an object is a PNG of 16 bits: predictive entropy, 65535 for one bit. The
    overlay shows the masks, and beside them the highest entropy of all objects.

    Args:
        predictor: Predictor with the model.
        jobs: Objects of each image, each with a box alone.
        out: Folder to write to.
        config: The ensemble.
        checkpoint: Path of the checkpoint, for the manifest.
        overwrite: Replace results of earlier runs.
        unmatched: Entries of the prompts file that match no image, for the manifest.

    Returns:
        Error messages by the image's name; empty if there was no error.

    Raises:
        ValueError: An object has other prompts than a box, or as `predict_files` raises it.
        OSError: A result cannot be written.
        KeyboardInterrupt: The run was interrupted; the message has the number of finished images.
    """
    for image, objects in jobs.items():
        for name, prompt in objects.items():
            if prompt.box is None or prompt.points is not None:
                raise ValueError(
                    f"{image.name}, {name}: expected a box alone, which an ensemble jitters, found "
                    f"{'points' if prompt.box is None else 'points beside it'}"
                )
    out = Path(out)
    names = {
        image: {name: files_of[0] for name, files_of in zip(objects, every, strict=True)}
        for image, objects in jobs.items()
        for every in [mask_names(image, objects, 0)]
    }
    targets = {
        image: [*masks.values(), *map(_uncertainty_name, masks.values()), overlay_name(image)]
        for image, masks in names.items()
    }

    def predict_one(
        image: ImageFile, pixels: np.ndarray, begin: Callable[[], None]
    ) -> tuple[np.ndarray, Entry]:
        begin()
        entries, masks = [], []
        highest = np.zeros(predictor.original_size, np.float32)
        for name, prompt in jobs[image].items():
            assert prompt.box is not None
            found = predict_ensemble(predictor, prompt.box, **dataclasses.asdict(config))
            entropy = np.asarray(found.maps.predictive_entropy)
            masks.append(found.mask)
            highest = np.maximum(highest, entropy)
            file = names[image][name]
            picture = visualization.encode_png(found.mask.astype(np.uint8) * 255)
            files.write_whole(out / file, picture)
            files.write_whole(out / _uncertainty_name(file), _encode_entropy(entropy))
            entries.append(object_entry(name, prompt) | _result(file, found, entropy))
        drawn = overlay(pixels, jobs[image].values(), masks)
        picture = visualization.grid([[drawn, entropy_picture(pixels, highest)]])
        return picture, {"objects": entries}

    settings = run_settings(predictor) | {"ensemble": dataclasses.asdict(config)}
    metadata = {"checkpoint": checkpoint, "unmatched": list(unmatched)}
    return predict_all(predictor, out, settings, targets, predict_one, metadata, overwrite, jobs)


def entropy_picture(image: np.ndarray, entropy: np.ndarray) -> np.ndarray:
    """Draws predictive entropy over an image, with its scale below: dark 0, bright 1 bit.

    Args:
        image: (h, w, 3) uint8, RGB.
        entropy: Bits, (h, w) float32.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    plain = visualization.resize_longest_side(np.repeat(grey[..., None], 3, axis=-1), OVERLAY_SIDE)
    height, width = plain.shape[:2]
    bits = cv2.resize(entropy, (width, height), interpolation=cv2.INTER_LINEAR)
    opacity = np.minimum(2 * bits, 1)[..., None]
    picture = (1 - opacity) * 0.5 * plain + opacity * _colors(bits)
    ramp = _colors(np.tile(np.linspace(0, 1, width, dtype=np.float32), (12, 1)))
    label = visualization.label_bar("predictive entropy: 0 to 1 bit", width)
    return np.concatenate([picture.astype(np.uint8), ramp, label])


def _colors(bits: np.ndarray) -> np.ndarray:
    values = np.round(255 * np.clip(bits, 0, 1)).astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(values, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)


def _encode_entropy(entropy: np.ndarray) -> bytes:
    values = np.round(SCALE * np.clip(entropy, 0, 1)).astype(np.uint16)
    return cv2.imencode(".png", values)[1].tobytes()


def _result(file: str, found: Ensemble, entropy: np.ndarray) -> Entry:
    """Returns the manifest's entry of an object's results."""
    mask: Any = found.mask
    return {
        "masks": [file],
        "scores": [float(found.scores.mean())],
        "best": 0,
        "uncertainty": _uncertainty_name(file),
        "score_spread": float(found.scores.std()),
        "mean_entropy": float(entropy[mask].mean()) if mask.any() else 0.0,
    }


def _uncertainty_name(mask: str) -> str:
    return f"{mask.removesuffix('.png')}_uncertainty.png"
