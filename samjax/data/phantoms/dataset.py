"""Writes a data folder of phantoms, in the layout of SA-Med2D-20M."""

import csv
import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
from tqdm import tqdm

from samjax import fields
from samjax.data import metadata
from samjax.data.files import DataError
from samjax.data.index import FOLDER
from samjax.data.phantoms import anatomy, rendering

CONFIG = "phantoms.json"
DATASET = "phantom"
CLASS_NUMBERS = {kind: number for number, kind in enumerate(sorted(anatomy.KINDS), start=1)}


@dataclasses.dataclass(frozen=True)
class PhantomConfig:
    """Settings of the phantoms.

    Attributes:
        count_train: Images to train on.
        count_test: Images to evaluate on.
        size: Side of an image, pixels.
        seed: The same seed gives the same images.

    Raises:
        ValueError: A field has a value that cannot work.
    """

    count_train: fields.PositiveInt = 1200
    count_test: fields.PositiveInt = 150
    size: Annotated[int, fields.Range(48)] = 128
    seed: fields.Seed = 0

    def __post_init__(self) -> None:
        fields.check(self)


def draw_phantom(
    modality: str, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, list[tuple[str, int, np.ndarray]]]:
    """Draws one synthetic scan.

    Args:
        modality: One of `samjax.data.phantoms.rendering.MODALITIES`.
        size: Side of the image, pixels.
        rng: Source of randomness.

    Returns:
        The image, (size, size) uint8, and its masks as (class, component, (size, size) uint8 0/1).
    """
    draw_body = anatomy.draw_sector if modality.startswith("ultrasound") else anatomy.draw_body
    scene = anatomy.draw_scene(rng, size, draw_body(rng, size))
    return rendering.render(scene, modality, rng), anatomy.visible_masks(scene)


def write_phantoms(root: str | os.PathLike[str], config: PhantomConfig) -> None:
    """Writes a data folder of synthetic scans in the layout of SA-Med2D-20M.

    The folder appears only when it is complete. An existing folder of the same phantoms is kept.

    Args:
        root: The folder to write.
        config: Settings of the phantoms.

    Raises:
        DataError: The folder holds other phantoms, or something else.
    """
    root = Path(root)
    if root.exists() and any(root.iterdir()):
        _require_same(root, config)
        return
    partial = root.with_name(root.name + ".partial")
    if partial.exists():
        shutil.rmtree(partial)  # Left by a run that was stopped while writing.
    for folder in ("images", "masks"):
        (partial / folder).mkdir(parents=True)
    splits = ["train"] * config.count_train + ["test"] * config.count_test
    rows = []
    for number, split in enumerate(tqdm(splits, "phantoms", unit="image", disable=None)):
        rows += _write_phantom(partial, number, split, config)
    _write_index(partial, rows)
    _write_json(partial / CONFIG, dataclasses.asdict(config))
    partial.rename(root)


def _write_phantom(
    root: Path, number: int, split: str, config: PhantomConfig
) -> list[dict[str, str]]:
    """Writes one image and its masks, and returns their rows of the table."""
    token = list(rendering.MODALITIES)[number % len(rendering.MODALITIES)]
    rng = np.random.default_rng((config.seed, number))
    image, masks = draw_phantom(token, config.size, rng)
    case = f"p{number:04d}"
    stem = f"{token}--{DATASET}--{case}--z_0000"
    _write_png(root / f"images/{stem}.png", image)
    rows = []
    for kind, component, mask in masks:
        name = f"masks/{stem}--{CLASS_NUMBERS[kind]:04d}_{component:03d}.png"
        _write_png(root / name, mask * 255)
        rows.append(
            {
                "image": f"images/{stem}.png",
                "dataset": DATASET,
                "case": case,
                "modality": metadata.modality_of(token),
                "anatomy": "other",
                "class": kind,
                "mask": name,
                "split": split,
                "height": str(config.size),
                "width": str(config.size),
                "mask_area_fraction": f"{mask.mean():.6f}",
            }
        )
    return rows


def _write_index(root: Path, rows: list[dict[str, str]]) -> None:
    index: dict[str, dict[str, list[str]]] = {"train": {}, "test": {}}
    for row in rows:
        index[row["split"]].setdefault(row["image"], []).append(row["mask"])
    by_mask = {mask: image for image, masks in index["test"].items() for mask in masks}
    _write_json(root / "image2label_train.json", index["train"])
    _write_json(root / "label2image_test.json", by_mask)
    _write_json(root / FOLDER, index["train"] | index["test"])
    _write_json(root / metadata.CLASSES, CLASS_NUMBERS)
    with (root / metadata.TABLE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _write_png(path: Path, image: np.ndarray) -> None:
    if not cv2.imwrite(str(path), image):
        raise OSError(f"{path}: cannot be written")


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _require_same(root: Path, config: PhantomConfig) -> None:
    expected = dataclasses.asdict(config)
    path = root / CONFIG
    found = metadata.read_json(path) if path.exists() else f"no {CONFIG}"
    if found != expected:
        raise DataError(
            f"{root}: expected the phantoms of {expected}, found {found}; choose another folder"
        )
