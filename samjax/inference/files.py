"""Prediction on image files: writes masks, overlays and a manifest."""

import functools
import hashlib
import itertools
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import cv2
import jax
import numpy as np
from tqdm import tqdm

import samjax
from samjax import visualization
from samjax.data import files, fingerprint
from samjax.inference.image_files import ImageFile
from samjax.inference.manifest import Entry, Manifest
from samjax.inference.object_prompt import ObjectPrompt
from samjax.inference.predictor import Predictor
from samjax.inference.prompt_files import Objects
from samjax.models.directory import digest

OVERLAY_SIDE = 768  # Pixels: outlines and clicks look the same on small and large images.
COLORS = (  # Of the first object, the second, ...
    visualization.PREDICTION,
    (80, 200, 255),
    (150, 230, 90),
    (255, 110, 170),
    (255, 225, 80),
    (175, 140, 255),
)
_ALL_IMAGES = "all images"  # Owner of the files that are shared.
_LONGEST_NAME = 100  # Bytes of an object's name in a file's.

# Predicts an image, see `predict_all`.
PredictOne = Callable[[ImageFile, np.ndarray, Callable[[], None]], tuple[np.ndarray, Entry]]
# Encodes a file of all images from their entries in the manifest.
EncodeShared = Callable[[Mapping[str, Entry]], bytes]


def predict_files(
    predictor: Predictor,
    jobs: dict[ImageFile, Objects],
    out: str | Path,
    multimask: bool = False,
    checkpoint: str = "",
    overwrite: bool = False,
    unmatched: Sequence[str] = (),
) -> dict[str, str]:
    """Segments images and writes masks, overlays and `predictions.json`.

    Of the masks predicted for an object, the one with the highest predicted IoU is written. An
    image that cannot be read, or does not fit its prompts, is left out. Results of an earlier run,
    finished or not, with the same model and prompts are kept, and stay in the manifest.

    Args:
        predictor: Predictor with the model.
        jobs: Objects of each image.
        out: Folder to write to.
        multimask: Predict three masks and write them all.
        checkpoint: Path of the checkpoint, for the manifest.
        overwrite: Replace results of earlier runs.
        unmatched: Entries of the prompts file that match no image, for the manifest.

    Returns:
        Error messages by the image's name; empty if there was no error.

    Raises:
        ValueError: Two results would have the same file name, or the folder holds results of
            another model or of other prompts, or files of another program.
        OSError: A result cannot be written.
        KeyboardInterrupt: The run was interrupted; the message has the number of finished images.
    """
    out = Path(out)
    candidates = predictor.model.config.num_multimask if multimask else 0
    names = {image: mask_names(image, objects, candidates) for image, objects in jobs.items()}
    targets = {image: [*itertools.chain(*names[image]), overlay_name(image)] for image in jobs}
    metadata = {"checkpoint": checkpoint, "unmatched": list(unmatched)}

    def predict_one(
        image: ImageFile, pixels: np.ndarray, begin: Callable[[], None]
    ) -> tuple[np.ndarray, Entry]:
        return _predict_objects(predictor, jobs[image], names[image], out, pixels, begin)

    settings = run_settings(predictor, multimask)
    return predict_all(predictor, out, settings, targets, predict_one, metadata, overwrite, jobs)


def predict_all(
    predictor: Predictor,
    out: Path,
    settings: dict[str, Any],
    targets: dict[ImageFile, list[str]],
    predict_one: PredictOne,
    metadata: dict[str, Any],
    overwrite: bool,
    jobs: Mapping[ImageFile, Objects] = MappingProxyType({}),
    shared: Mapping[str, EncodeShared] = MappingProxyType({}),
) -> dict[str, str]:
    """Predicts images one after the other; writes their overlays and the manifest.

    Args:
        predictor: Predictor; the image is set when `predict_one` is called.
        out: Folder to write to.
        settings: Settings that all results of the folder share.
        targets: Names of the files of each image, the overlay's among them.
        predict_one: Function of an image, its pixels (RGB uint8) and a function to call before the
            first file is written: writes all files but the overlay, and returns the overlay and
            the results for the manifest.
        metadata: Further entries of the manifest.
        overwrite: Replace results of earlier runs.
        jobs: Prompts of each image, which must be those of earlier runs.
        shared: Files of all images of the folder, by name; written at the end.

    Returns:
        Error messages by the image's name; empty if there was no error.

    Raises:
        ValueError: Two results would have the same file name, or a file of another program has it.
        OSError: A result cannot be written.
        KeyboardInterrupt: The run was interrupted; the message has the number of finished images.
    """
    by_name = {image.name: names for image, names in targets.items()}
    _check_distinct(by_name)
    with Manifest(out, settings, overwrite) as manifest:
        for image, objects in jobs.items():
            manifest.check_prompts(image.name, [object_entry(*named) for named in objects.items()])
        if not overwrite:
            manifest.check_targets({**by_name, _ALL_IMAGES: [*shared]})

        def predict(image: ImageFile) -> None:
            pixels, order = files.read_image(image.path)
            content = fingerprint.of_array(pixels, order)
            if manifest.is_done(image.name, content):
                return
            predictor.set_image(pixels, order.upper())
            begin = functools.partial(manifest.start, image.name, targets[image])
            rgb = visualization.to_uint8_rgb(pixels, order)
            picture, results = predict_one(image, rgb, begin)
            name = overlay_name(image)
            files.write_whole(out / name, visualization.encode_png(picture))
            entry = {"size": list(predictor.original_size), "content": content, "overlay": name}
            manifest.add(image.name, entry | results)

        failed = _predict_images(manifest, [*targets], predict)
        if shared:
            manifest.start(_ALL_IMAGES, [*shared])
            metadata = {**metadata, "shared": [*shared]}
        for name, encode in shared.items():
            files.write_whole(out / name, encode(manifest.images))
        manifest.write({"samjax": samjax.__version__, **metadata})
        return failed


def _predict_images(
    manifest: Manifest,
    images: list[ImageFile],
    predict: Callable[[ImageFile], None],
) -> dict[str, str]:
    failed: dict[str, str] = {}
    before = sum(image.name in manifest.images for image in images)
    if before:
        print(f"{before} of {len(images)} images are done already", file=sys.stderr)
    bar = tqdm(images, unit="image", disable=None if len(images) > 1 else True)
    try:
        for image in bar:
            try:
                predict(image)
            except (ValueError, MemoryError, cv2.error, jax.errors.JaxRuntimeError) as error:
                reason = str(error).removeprefix(f"{image.path}: ") or type(error).__name__
                manifest.failed[image.name] = failed[image.name] = reason
                tqdm.write(f"{image.name}: {reason}", file=sys.stderr)
    except KeyboardInterrupt as stopped:
        done = sum(image.name in manifest.images for image in images)
        message = f"{done} of {len(images)} images are done; the same command goes on"
        raise type(stopped)(message) from None
    return failed


def overlay(
    image: np.ndarray, objects: Collection[ObjectPrompt], masks: Iterable[np.ndarray]
) -> np.ndarray:
    """Draws masks and prompts over an image.

    Args:
        image: (h, w, 3) uint8, RGB.
        objects: Prompts in the image's pixels.
        masks: Mask of each object, (h, w) bool; may be an iterator.

    Returns:
        RGB picture of `OVERLAY_SIDE` pixels along its longer side, whatever the image's size.
    """
    picture = visualization.resize_longest_side(image, OVERLAY_SIDE)
    scale = np.array(picture.shape[1::-1]) / image.shape[1::-1]
    for mask, color in zip(masks, itertools.cycle(COLORS), strict=False):
        picture = visualization.draw_mask(picture, mask, color, opacity=0.2)
        picture = visualization.draw_contour(picture, mask, color)
    for prompt, color in zip(objects, itertools.cycle(COLORS), strict=False):
        if prompt.box is not None:
            picture = visualization.draw_box(
                picture, prompt.box * np.tile(scale, 2), color, thickness=1
            )
        if prompt.points is not None and prompt.labels is not None:
            picture = visualization.draw_points(
                picture, (prompt.points + 0.5) * scale, prompt.labels
            )
    return picture


def file_names(objects: Iterable[str]) -> dict[str, str]:
    """Returns parts of file names for objects' names, such as "left kidney", of any alphabet.

    A name stays unchanged if it is valid and unique on every system, and is not that of the
    overlay. Other characters become "_". A name that is cut or not unique gets a digest.
    """
    objects = list(objects)
    plain = {name: _plain(name) for name in objects}
    folded = Counter(part.casefold() for part in plain.values())
    taken = {"overlay", *(name for name, count in folded.items() if count > 1)}
    result = {}
    for name, part in plain.items():
        unchanged = part == name
        if part.casefold() in taken or (not unchanged and _cut(part)):
            part = f"{part}-{hashlib.blake2b(name.encode(), digest_size=4).hexdigest()}"
        result[name] = part
    return result


def _plain(name: str) -> str:
    """Replaces all but letters, digits, '.', '-' and '_' in a name by '_', and cuts it."""
    part = re.sub(r"[^\w.-]+", "_", unicodedata.normalize("NFC", name))
    return part.encode()[:_LONGEST_NAME].decode(errors="ignore")


def _cut(part: str) -> bool:
    return len(part.encode()) > _LONGEST_NAME - 4  # A letter has up to four bytes.


def run_settings(predictor: Predictor, multimask: bool = False) -> dict[str, Any]:
    """Returns the settings that all results of a folder share."""
    return {
        "model": digest(predictor.model),
        "image_size": predictor.model.config.image_size,
        "adapters": predictor.adapters,
        "multimask": multimask,
    }


def _predict_objects(
    predictor: Predictor,
    objects: Objects,
    names: list[list[str]],
    out: Path,
    pixels: np.ndarray,
    begin: Callable[[], None],
) -> tuple[np.ndarray, Entry]:
    """Writes the masks of one image, a few objects at a time; returns its overlay and results."""
    all_masks = len(names[0]) > 1
    predictions = predictor.iter_predictions(list(objects.values()), all_masks or None, all_masks)
    entries: list[Entry] = []

    def write_masks() -> Iterator[np.ndarray]:
        for named, files_of, (masks, scores) in zip(
            objects.items(), names, predictions, strict=True
        ):
            for name, mask in zip(files_of, masks, strict=True):
                files.write_whole(out / name, visualization.encode_png(mask.astype(np.uint8) * 255))
            best = int(scores.argmax())
            result = {"masks": files_of, "scores": scores.tolist(), "best": best}
            entries.append(object_entry(*named) | result)
            yield masks[best if all_masks else 0]

    begin()
    return overlay(pixels, objects.values(), write_masks()), {"objects": entries}


def _check_distinct(targets: dict[str, list[str]]) -> None:
    names = Counter(itertools.chain(*targets.values()))
    repeated = [name for name, count in names.items() if count > 1]
    if repeated:
        raise ValueError(
            f"two results would be written to {repeated[0]}: rename an object or an image"
        )


def mask_names(image: ImageFile, objects: Objects, candidates: int) -> list[list[str]]:
    """Returns file names of each object's masks; without a number if there is only one."""
    numbers = [f"_{number}" for number in range(candidates)] or [""]
    parts = file_names(objects)
    return [[f"{image.stem}_{parts[name]}{number}.png" for number in numbers] for name in objects]


def overlay_name(image: ImageFile) -> str:
    """Returns the file name of an image's overlay."""
    return f"{image.stem}_overlay.png"


def object_entry(name: str, prompt: ObjectPrompt) -> Entry:
    """Returns the manifest's entry of an object's prompts."""
    entry: Entry = {"object": name}
    if prompt.box is not None:
        entry["box"] = prompt.box.tolist()
    if prompt.points is not None and prompt.labels is not None:
        rows = zip(prompt.points.tolist(), prompt.labels.tolist(), strict=True)
        entry["points"] = [[*point, label] for point, label in rows]
    return entry
