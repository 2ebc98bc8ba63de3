"""Automatic masks of image files: label maps, overlays, a manifest, and COCO's annotations."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from samjax import visualization
from samjax.data import files, run_lengths
from samjax.inference.automatic import AutomaticMaskGenerator
from samjax.inference.automatic_config import AutomaticConfig
from samjax.inference.files import OVERLAY_SIDE, overlay_name, predict_all, run_settings
from samjax.inference.image_files import ImageFile
from samjax.inference.manifest import Entry
from samjax.inference.predictor import Predictor

ANNOTATIONS = "annotations.json"
MAX_MASKS = 2**16 - 1  # Labels of 16 bits.
_WITHOUT_EFFECT = ("points_per_batch", "output_mode")  # On the files, so they may change.


@dataclasses.dataclass(frozen=True)
class AutomaticOutcome:
    """Outcome of automatic masks on image files.

    Attributes:
        failed: Error messages by the image's name.
        without_masks: Names of the images in which no mask was found.
    """

    failed: dict[str, str]
    without_masks: list[str]


def predict_automatic_files(
    predictor: Predictor,
    images: Sequence[ImageFile],
    out: str | Path,
    config: AutomaticConfig,
    checkpoint: str = "",
    overwrite: bool = False,
) -> AutomaticOutcome:
    """Finds masks in images and writes label maps, overlays, annotations and `predictions.json`.

    The masks of all images of the folder are in `annotations.json`, in COCO's format. A label map
    is a PNG of 16 bits: 0 where there is no mask, else the number of the mask among those of its
    image, from 1 in the order of `annotations.json`, where it stands as `label`. Where masks
    overlap, the smallest is seen; of equal ones that with the higher predicted IoU. So a label map
    may lack a mask that smaller ones cover. An image that cannot be read is left out. Results of an
    earlier run of the same model with the same settings, finished or not, are kept.

    Args:
        predictor: Predictor with the model.
        images: The images.
        out: Folder to write to.
        config: Settings of the masks.
        checkpoint: Path of the checkpoint, for the manifest.
        overwrite: Replace results of earlier runs.

    Raises:
        ValueError: The model takes no points, a setting cannot work, or the folder holds results
            of another model or of other settings, or files of another program.
        OSError: A result cannot be written.
        KeyboardInterrupt: The run was interrupted; the message has the number of finished images.
    """
    out = Path(out)
    generator = AutomaticMaskGenerator(predictor, config, output_mode="uncompressed_rle")
    targets = {image: [_map_name(image), overlay_name(image)] for image in images}
    without_masks: list[str] = []

    def predict_one(
        image: ImageFile, pixels: np.ndarray, begin: Callable[[], None]
    ) -> tuple[np.ndarray, Entry]:
        found = generator.generate(pixels, embedded=predictor.embeddings)
        found = [record for record in found if record["area"]]
        labels = label_map([record["segmentation"] for record in found], predictor.original_size)
        begin()
        files.write_whole(out / _map_name(image), cv2.imencode(".png", labels)[1].tobytes())
        masks = [_annotation(record, label) for label, record in enumerate(found, 1)]
        results = {"label_map": _map_name(image), "objects": [], "automatic_masks": masks}
        return labels_overlay(pixels, labels), results

    def encode(entries: Mapping[str, Entry]) -> bytes:
        known = [image.name for image in images if image.name in entries]
        without_masks[:] = [name for name in known if not entries[name]["automatic_masks"]]
        return json.dumps(coco_annotations(entries), ensure_ascii=False).encode() + b"\n"

    settings = dataclasses.asdict(config)
    settings = {name: value for name, value in settings.items() if name not in _WITHOUT_EFFECT}
    run = run_settings(predictor) | {"automatic": settings}
    failed = predict_all(
        predictor,
        out,
        run,
        targets,
        predict_one,
        {"checkpoint": checkpoint},
        overwrite,
        shared={ANNOTATIONS: encode},
    )
    return AutomaticOutcome(failed, without_masks)


def label_map(masks: Sequence[Mapping[str, Any]], size: tuple[int, int]) -> np.ndarray:
    """Draws masks into one map, the smaller over the larger, (h, w) uint16.

    Args:
        masks: Run lengths as lists of counts; mask i has the label i + 1.
        size: Height and width of the image.

    Raises:
        ValueError: There are more masks than labels.
    """
    if len(masks) > MAX_MASKS:
        raise ValueError(f"expected at most {MAX_MASKS} masks in an image, found {len(masks)}")
    labels = np.zeros(size, np.uint16)
    areas = np.array([run_lengths.area(mask) for mask in masks])
    for i in np.lexsort((-np.arange(len(masks)), -areas)):  # Of equal ones, the first comes last.
        labels[run_lengths.decode(masks[i])] = i + 1
    return labels


def labels_overlay(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Draws a label map over an image, in colours that repeat.

    Args:
        image: (h, w, 3) uint8, RGB.
        labels: (h, w) uint16.

    Returns:
        RGB picture of `OVERLAY_SIDE` pixels along the image's longer side.
    """
    picture = visualization.resize_longest_side(image, OVERLAY_SIDE)
    return visualization.draw_labels(picture, labels, visualization.COLORS)


def coco_annotations(entries: Mapping[str, Entry]) -> dict[str, Any]:
    """Returns COCO's annotations of images, by the images' names, from entries of a manifest."""
    images, annotations = [], []
    for image_id, (name, entry) in enumerate(sorted(entries.items()), 1):
        height, width = entry["size"]
        images.append({"id": image_id, "file_name": name, "height": height, "width": width})
        for mask in entry["automatic_masks"]:
            keys = {"id": len(annotations) + 1, "image_id": image_id, "category_id": 1}
            annotations.append(keys | mask | {"iscrowd": 0})
    return {
        "info": {"description": "automatic masks of samjax"},
        "images": images,
        "categories": [{"id": 1, "name": "object"}],
        "annotations": annotations,
    }


def _annotation(record: Mapping[str, Any], label: int) -> dict[str, Any]:
    """Returns the fields of a mask, of one or more pixels, in COCO's form.

    The box is COCO's, (x, y, width, height) whose pixels have a width of 1; the generator's is
    SAM's, smaller by 1.
    """
    mask = record["segmentation"]
    return {
        "segmentation": run_lengths.compressed(mask),
        "bbox": list(cv2.boundingRect(run_lengths.decode(mask).astype(np.uint8))),
        "area": record["area"],
        "label": label,
        **{
            name: record[name]
            for name in ("predicted_iou", "stability_score", "point_coords", "crop_box")
        },
    }


def _map_name(image: ImageFile) -> str:
    return f"{image.stem}_labels.png"
