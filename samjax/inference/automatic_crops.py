"""Crops of automatic masks, suppression of duplicates, and small regions: NumPy and OpenCV.

All of it as in SAM's mask generator (Kirillov et al., "Segment Anything", 2023, appendix B). Boxes
(x0, y0, x1, y1) of masks have inclusive maxima here, those of crops exclusive ones.
"""

import itertools
import math
from typing import NamedTuple

import cv2
import numpy as np

from samjax.data.boxes import extent_box

EDGE = 20.0  # Pixels: a mask's side is at the edge of its crop within this distance.


class Crop(NamedTuple):
    """A crop of an image, pixels, upper corner exclusive, and its layer; 0 is the whole image."""

    x0: int
    y0: int
    x1: int
    y1: int
    layer: int

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Corners of the crop."""
        return self[:4]


def crops(height: int, width: int, layers: int, overlap_ratio: float) -> list[Crop]:
    """Returns the whole image, then the crops of each layer, column by column.

    Args:
        height: Height of the image.
        width: Width of the image.
        layers: Number of layers; layer i has 2^i crops along each side.
        overlap_ratio: Overlap of the first layer's crops over the shorter side.
    """
    found = [Crop(0, 0, width, height, 0)]
    for layer in range(1, layers + 1):
        count = 2**layer
        overlap = int(overlap_ratio * min(height, width) * (2 / count))
        sides = [math.ceil((overlap * (count - 1) + side) / count) for side in (width, height)]
        starts = [[(side - overlap) * i for i in range(count)] for side in sides]
        for x, y in itertools.product(*starts):
            crop = Crop(x, y, min(x + sides[0], width), min(y + sides[1], height), layer)
            if crop.x0 < crop.x1 and crop.y0 < crop.y1:  # None is left of an image of few pixels.
                found.append(crop)
    return found


def at_crop_edge(boxes: np.ndarray, crop: Crop, height: int, width: int) -> np.ndarray:
    """Whether masks touch the edge of their crop, where the image goes on: they may be cut.

    Args:
        boxes: Boxes of the masks in the image, (n, 4).
        crop: The crop.
        height: Height of the image.
        width: Width of the image.
    """
    near_crop = np.abs(boxes - np.array(crop.box)) <= EDGE
    near_image = np.abs(boxes - np.array([0, 0, width, height])) <= EDGE
    return np.any(near_crop & ~near_image, axis=1)


def suppress(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> np.ndarray:
    """Suppresses duplicates: of boxes with an IoU above a threshold, the best stays.

    Args:
        boxes: Boxes (x0, y0, x1, y1), (n, 4); their area is that between the corners.
        scores: Their scores, (n,); of equal ones, the first counts as better.
        threshold: Largest IoU of two boxes that both stay.

    Returns:
        Indices of the boxes that stay, by falling score.
    """
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    remaining, kept = np.argsort(-np.asarray(scores), kind="stable"), []
    while len(remaining):
        best, others = remaining[0], remaining[1:]
        kept.append(best)
        low = np.maximum(boxes[best, :2], boxes[others, :2])
        high = np.minimum(boxes[best, 2:], boxes[others, 2:])
        common = np.maximum(high - low, 0).prod(axis=1)
        union = areas[best] + areas[others] - common
        # Boxes without an area, of masks one pixel wide, are never duplicates.
        remaining = others[~(common > 0) | (common / np.maximum(union, 1) <= threshold)]
    return np.array(kept, np.int64)


def mask_box(mask: np.ndarray) -> list[int]:
    """Returns the box of a mask, (x0, y0, x1, y1) with inclusive maxima; zeros if it is empty."""
    x0, y0, x1, y1 = extent_box(mask).tolist()
    return [x0, y0, x1 - 1, y1 - 1] if x1 else [0, 0, 0, 0]


def fill_small_holes(mask: np.ndarray, area: int) -> tuple[np.ndarray, bool]:
    """Fills the holes of less than `area` pixels; also returns whether there were any.

    A hole is a part of the background whose pixels touch, by sides or corners; one at the edge of
    the image is one, too.
    """
    labels, sizes = _regions(~mask)
    small = sizes < area
    if not small.any():
        return mask, False
    return mask | np.append(False, small)[labels], True


def drop_small_islands(mask: np.ndarray, area: int) -> tuple[np.ndarray, bool]:
    """Removes the islands of less than `area` pixels; also returns whether there were any.

    Where all are smaller, the largest stays.
    """
    labels, sizes = _regions(mask)
    small = sizes < area
    if not small.any():
        return mask, False
    if small.all():
        small[sizes.argmax()] = False
    return np.append(False, ~small)[labels], True


def _regions(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the regions of a mask, numbered from 1, and their pixels."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return labels, stats[1:, cv2.CC_STAT_AREA]
