"""Prediction of classes on image files: class maps, overlays with a legend, and a manifest."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from samjax import visualization
from samjax.data import files
from samjax.data.classes import SemanticClass
from samjax.inference.files import OVERLAY_SIDE, overlay_name, predict_all, run_settings
from samjax.inference.image_files import ImageFile
from samjax.inference.manifest import Entry
from samjax.inference.predictor import Predictor


def predict_class_files(
    predictor: Predictor,
    images: Sequence[ImageFile],
    out: str | Path,
    checkpoint: str = "",
    overwrite: bool = False,
) -> dict[str, str]:
    """Predicts the classes of images and writes class maps, overlays and `predictions.json`.

    A class map is an indexed PNG whose values are the labels: 0 for the background, `i` for the
    model's class `i`, as `predictions.json` lists them. Pillow reads the labels, OpenCV the
    colours. An image that cannot be read is left out. Results of an earlier run of the same model,
    finished or not, are kept.

    Args:
        predictor: Predictor with a semantic model.
        images: The images.
        out: Folder to write to.
        checkpoint: Path of the checkpoint, for the manifest.
        overwrite: Replace results of earlier runs.

    Returns:
        Error messages by the image's name; empty if there was no error.

    Raises:
        ValueError: The folder holds results of another model, or files of another program.
        OSError: A result cannot be written.
        KeyboardInterrupt: The run was interrupted; the message has the number of finished images.
    """
    out = Path(out)
    classes = predictor.model.classes
    legend = [{"label": i, **dataclasses.asdict(each)} for i, each in enumerate(classes, 1)]
    colors = [each.color for each in classes]
    targets = {image: [_map_name(image), overlay_name(image)] for image in images}

    def predict_one(
        image: ImageFile, pixels: np.ndarray, begin: Callable[[], None]
    ) -> tuple[np.ndarray, Entry]:
        found = predictor.predict_classes().class_map
        begin()
        files.write_whole(out / _map_name(image), visualization.encode_labels(found, colors))
        counts = np.bincount(found.ravel(), minlength=len(classes) + 1).tolist()
        results = {
            "class_map": _map_name(image),
            "pixels": {each.name: counts[i] for i, each in enumerate(classes, 1) if counts[i]},
            "objects": [],
        }
        return class_overlay(pixels, found, classes), results

    settings, metadata = run_settings(predictor), {"checkpoint": checkpoint, "classes": legend}
    return predict_all(predictor, out, settings, targets, predict_one, metadata, overwrite)


def class_overlay(
    image: np.ndarray, class_map: np.ndarray, classes: Sequence[SemanticClass]
) -> np.ndarray:
    """Draws a class map over an image, with a legend of the classes in it.

    Args:
        image: (h, w, 3) uint8, RGB.
        class_map: Labels, (h, w) uint8.
        classes: Class of each label, from 1.

    Returns:
        RGB picture of `OVERLAY_SIDE` pixels along the image's longer side, the legend below it.
    """
    picture = visualization.resize_longest_side(image, OVERLAY_SIDE)
    picture = visualization.draw_classes(picture, class_map, [each.color for each in classes])
    shares = [(class_map == label).mean() for label in range(1, len(classes) + 1)]
    entries = [
        (f"{each.name} ({share:.1%})", each.color)
        for each, share in zip(classes, shares, strict=True)
        if share
    ]
    return np.concatenate([picture, visualization.legend(entries, picture.shape[1])])


def _map_name(image: ImageFile) -> str:
    return f"{image.stem}_classes.png"
