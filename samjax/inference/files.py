"""Images on disk in, masks and overlays on disk out."""

import dataclasses
import json
import os
import sys
from collections import Counter
from collections.abc import Collection, Sequence
from itertools import chain, cycle
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import samjax
from samjax import drawing
from samjax.data import files
from samjax.inference.objects import ObjectPrompt
from samjax.inference.predictor import Predictor
from samjax.inference.prompt_files import Objects

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
OVERLAY_SIDE = 768  # Pixels: outlines and clicks look the same on small and large images.
COLORS = (  # Of the first object, the second, ...
    drawing.PREDICTION,
    (80, 200, 255),
    (150, 230, 90),
    (255, 110, 170),
    (255, 225, 80),
    (175, 140, 255),
)


@dataclasses.dataclass(frozen=True)
class Image:
    """An image to predict on.

    Attributes:
        path: The file.
        name: Its path from the folder that all the images lie in, with forward slashes.
        stem: What its output files begin with: `name` without suffix, if that is unique.
    """

    path: Path
    name: str
    stem: str


def find_images(paths: Sequence[str | Path], out: str | Path) -> list[Image]:
    """Lists image files, those in folders and their subfolders included.

    Args:
        paths: Files and folders; a file need not exist, it fails when it is read.
        out: Where results go; what lies there is no input.

    Raises:
        ValueError: A folder holds no image.
    """
    out = Path(os.path.abspath(out))
    found: dict[Path, None] = {}  # In order, each once.
    roots = []
    for path in (Path(os.path.abspath(path)) for path in paths):
        roots.append(path if path.is_dir() else path.parent)
        inside = [path]
        if path.is_dir():
            candidates = (p for p in sorted(path.rglob("*")) if p.suffix.lower() in SUFFIXES)
            inside = [p for p in candidates if p.is_file() and out not in p.parents]
            if not inside:
                raise ValueError(f"{path}: expected images ({' '.join(SUFFIXES)}), found none")
        found.update(dict.fromkeys(inside))
    root = _common(roots)
    names = [path.relative_to(root) for path in found]
    stems = Counter(name.with_suffix("") for name in names)
    images = []
    for path, name in zip(found, names, strict=True):
        unique = stems[name.with_suffix("")] == 1
        stem = name.with_suffix("") if unique else name.with_name(name.name.replace(".", "_"))
        images.append(Image(path, name.as_posix(), stem.as_posix()))
    return images


def assign(prompts: dict[str, Objects], images: Sequence[Image]) -> dict[Image, Objects]:
    """Finds the image that each entry of a prompts file is about.

    An entry names an image by its path, by its path from the folder given, or by its file name
    where that is unique. Entries about other images are left out.

    Raises:
        ValueError: An entry may mean several images, or two entries mean the same.
    """
    exact = {image.name: image for image in images} | {str(i.path): i for i in images}
    by_file_name: dict[str, list[Image]] = {}
    for image in images:
        by_file_name.setdefault(image.path.name, []).append(image)
    assigned: dict[Image, Objects] = {}
    for key, objects in prompts.items():
        image = exact.get(Path(key).as_posix()) or exact.get(os.path.abspath(key))
        matches = [image] if image else by_file_name.get(key, [])
        if len(matches) > 1:
            found = " and ".join(match.name for match in matches)
            raise ValueError(f"prompts: {key} may be {found}; write the folder as well")
        if matches and matches[0] in assigned:
            raise ValueError(f"prompts: {matches[0].name} is named in two ways")
        assigned.update({match: objects for match in matches})
    return assigned


def predict_files(
    predictor: Predictor,
    jobs: dict[Image, Objects],
    out: str | Path,
    multimask: bool = False,
    checkpoint: str = "",
) -> dict[str, str]:
    """Segments images and writes masks, overlays and `predictions.json`.

    Of the masks predicted for an object, the one of highest predicted IoU is written. An image
    that cannot be read, or that its prompts do not fit, is left out.

    Args:
        predictor: The network.
        jobs: Objects of every image.
        out: Folder to write to.
        multimask: Predict three masks and write them all.
        checkpoint: Where the network came from, for the record.

    Returns:
        What went wrong, by image; empty if nothing did.

    Raises:
        ValueError: Two results would have the same file name.
        OSError: A result cannot be written.
    """
    out = Path(out)
    candidates = predictor.pretrained.model.num_multimask if multimask else 0
    _check_distinct(jobs, candidates)
    done: dict[str, Any] = {}
    failed: dict[str, str] = {}
    bar = tqdm(jobs.items(), unit="image", disable=None if len(jobs) > 1 else True)
    for image, objects in bar:
        try:
            done[image.name] = _predict_one(predictor, image, objects, out, candidates)
        except ValueError as error:
            failed[image.name] = str(error).removeprefix(f"{image.path}: ")
            tqdm.write(f"{image.name}: {failed[image.name]}", file=sys.stderr)
    report = {
        "samjax": samjax.__version__,
        "checkpoint": checkpoint,
        "images": done,
        "failed": failed,
    }
    files.write_whole(out / "predictions.json", json.dumps(report, indent=1).encode() + b"\n")
    return failed


def overlay(
    image: np.ndarray, objects: Collection[ObjectPrompt], masks: Collection[np.ndarray]
) -> np.ndarray:
    """Draws masks and prompts over an image.

    Args:
        image: (h, w, 3) uint8, RGB.
        objects: Prompts in the image's pixels.
        masks: Mask of each object, (h, w) bool.

    Returns:
        RGB picture of `OVERLAY_SIDE` pixels along its longer side, whatever the image's size.
    """
    picture = drawing.fit(image, OVERLAY_SIDE)
    scale = np.array(picture.shape[1::-1]) / image.shape[1::-1]
    for mask, color in zip(masks, cycle(COLORS), strict=False):
        picture = drawing.draw_mask(picture, mask, color, opacity=0.2)
        picture = drawing.draw_contour(picture, mask, color)
    for prompt, color in zip(objects, cycle(COLORS), strict=False):
        if prompt.box is not None:
            picture = drawing.draw_box(picture, prompt.box * np.tile(scale, 2), color, thickness=1)
        if prompt.points is not None and prompt.labels is not None:
            picture = drawing.draw_points(picture, (prompt.points + 0.5) * scale, prompt.labels)
    return picture


def _predict_one(
    predictor: Predictor, image: Image, objects: Objects, out: Path, candidates: int
) -> dict[str, Any]:
    """Writes the masks and the overlay of one image; returns its entry of `predictions.json`."""
    pixels, order = files.read_image(image.path)
    predictor.set_image(pixels, order.upper())
    asked = True if candidates else None
    (result,) = predictor.predict_batch([list(objects.values())], asked)
    chosen = result.masks[np.arange(len(objects)), result.best]
    names = _mask_names(image, objects, candidates)
    written = result.masks if candidates else chosen[:, None]
    for name, mask in zip(chain(*names), np.concatenate(written), strict=True):
        files.write_whole(out / name, drawing.encode_png(mask.astype(np.uint8) * 255))
    picture = overlay(drawing.to_uint8_rgb(pixels, order), objects.values(), chosen)
    files.write_whole(out / _overlay_name(image), drawing.encode_png(picture))
    entries = zip(objects.items(), names, result.scores, result.best, strict=True)
    return {
        "size": list(predictor.original_size),
        "overlay": _overlay_name(image),
        "objects": [_record(*entry) for entry in entries],
    }


def _common(folders: Sequence[Path]) -> Path:
    """The innermost folder that holds, or is, each of the folders."""
    first = folders[0]
    return next(p for p in (first, *first.parents) if all(f.is_relative_to(p) for f in folders))


def _check_distinct(jobs: dict[Image, Objects], candidates: int) -> None:
    names = [
        name
        for image, objects in jobs.items()
        for name in [*chain(*_mask_names(image, objects, candidates)), _overlay_name(image)]
    ]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(
            f"two results would be written to {twice[0]}: rename an object or an image"
        )


def _mask_names(image: Image, objects: Objects, candidates: int) -> list[list[str]]:
    """File names of each object's masks; a mask has no number if there is just one."""
    numbers = [f"_{number}" for number in range(candidates)] or [""]
    return [[f"{image.stem}_{name}{number}.png" for number in numbers] for name in objects]


def _overlay_name(image: Image) -> str:
    return f"{image.stem}_overlay.png"


def _record(
    named: tuple[str, ObjectPrompt], masks: list[str], scores: np.ndarray, best: int
) -> dict[str, Any]:
    """What `predictions.json` says of an object."""
    name, prompt = named
    record: dict[str, Any] = {"object": name}
    if prompt.box is not None:
        record["box"] = prompt.box.tolist()
    if prompt.points is not None and prompt.labels is not None:
        rows = zip(prompt.points.tolist(), prompt.labels.tolist(), strict=True)
        record["points"] = [[*point, label] for point, label in rows]
    return record | {"masks": masks, "scores": scores.tolist(), "best": int(best)}
