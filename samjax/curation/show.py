"""Draws contact sheets of a data folder, for a visual check before training."""

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from samjax import visualization
from samjax.data import index
from samjax.data.files import DataError, read_image, read_mask, write_whole
from samjax.data.metadata import Metadata

COLUMNS = 8
SIDE = 200


def show(
    root: str | os.PathLike[str], out: Path, splits: Sequence[str], count: int = 2 * COLUMNS
) -> list[Path]:
    """Draws a sheet of every dataset and modality, evenly spread over its images.

    Args:
        root: The data folder.
        out: Folder to write the sheets to, JPEG.
        splits: Splits to show.
        count: Largest number of images on a sheet.

    Returns:
        Paths of the sheets.

    Raises:
        DataError: The folder has no index of a split.
    """
    groups: dict[tuple[str, str], list[tuple[str, index.Sample]]] = defaultdict(list)
    described: dict[str, Metadata] = {}
    for split in splits:
        samples = index.load_index(root, split)
        described |= index.load_metadata(root, samples)
        for sample in samples:
            first = described[sample.masks[0]] if sample.masks else Metadata()
            groups[sample.dataset, first.modality].append((split, sample))
    sheets = []
    for (dataset, modality), members in sorted(groups.items()):
        chosen = [members[i] for i in _spread(len(members), count)]
        pictures = [_picture(Path(root), split, one, described) for split, one in chosen]
        rows = [pictures[i : i + COLUMNS] for i in range(0, len(pictures), COLUMNS)]
        path = out / f"{modality}--{dataset}.jpg"
        write_whole(path, visualization.encode_jpeg(visualization.grid(rows)))
        sheets.append(path)
    return sheets


def _picture(
    root: Path, split: str, sample: index.Sample, described: dict[str, Metadata]
) -> np.ndarray:
    try:
        pixels, order = read_image(root / sample.image)
        picture = visualization.resize_longest_side(visualization.to_uint8_rgb(pixels, order), SIDE)
        classes = sorted({described[mask].class_name for mask in sample.masks})
        for path in sample.masks:
            color = visualization.COLORS[
                classes.index(described[path].class_name) % len(visualization.COLORS)
            ]
            picture = visualization.draw_contour(picture, read_mask(root / path), color, 1)
        text = ", ".join(classes)
    except DataError as error:
        picture, text = np.zeros((SIDE, SIDE, 3), np.uint8), str(error)
    canvas = np.full((SIDE, SIDE, 3), visualization.PAPER, np.uint8)
    top, left = ((SIDE - side) // 2 for side in picture.shape[:2])
    canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    name = Path(sample.image).stem.split("--", 2)[-1]
    bars = (visualization.label_bar(line, SIDE) for line in (f"{split}: {name}", text))
    return np.concatenate([*bars, canvas])


def _spread(available: int, count: int) -> list[int]:
    """Returns evenly spaced numbers below `available`, at most `count`."""
    return np.unique(np.linspace(0, available - 1, min(count, available)).astype(int)).tolist()
