"""Finds copies of images: flipped, turned, saved anew, resized a little or one grey brighter.

Two steps: a few numbers that no flip or turn changes find the candidates, and small pictures of the
two are then compared pixel by pixel. Neighbouring slices of one scan are no copies.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np

SIDE = 32
FLAT = 2.0  # Standard deviation of grey values below which nothing can be compared.
# Measured on 7,500 medical images and 1,300 photographs: neighbouring slices and frames differ by
# at least 0.0010 or 6 grey values, JPEG files and resized pictures by less in most cases.
ALIKE, SIMILAR, GREYS = 0.0008, 0.012, 5.0
_COARSE = 8


def thumbnail(image: np.ndarray) -> np.ndarray | None:
    """A small picture of an image to compare it by; None where there is nothing to be seen.

    Args:
        image: (h, w) or (h, w, 3) uint8, in either order of channels.

    Returns:
        (32, 32) float16 grey values, whatever the image's aspect.
    """
    grey = image if image.ndim == 2 else image.mean(-1)
    small = cv2.resize(grey.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return small.astype(np.float16) if small.std() >= FLAT else None


def copies(thumbnails: Sequence[np.ndarray], groups: Sequence[Any]) -> Iterator[tuple[int, int]]:
    """Finds the images that are copies of one another, and not of one group.

    Args:
        thumbnails: Of `thumbnail`.
        groups: The group of each.

    Yields:
        Pairs of numbers, the smaller first, in order.
    """
    from scipy.spatial import KDTree

    if len(thumbnails) < 2:
        return
    signatures = np.stack([_signature(one) for one in thumbnails])
    radius = float(np.sqrt(2 * SIMILAR))
    tree = KDTree(signatures)
    for first, near in enumerate(map(tree.query_ball_point, signatures, [radius] * len(groups))):
        for second in sorted(near):
            if second <= first or groups[first] == groups[second]:
                continue
            if is_copy(thumbnails[first], thumbnails[second]):
                yield first, second


def is_copy(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two thumbnails are of one image, in any of the eight flips and turns of it."""
    first = _centred(one)
    turned = _centred(other)
    for flipped in (turned, turned[:, ::-1]):
        for quarter in range(4):
            second = np.rot90(flipped, quarter)
            norm = float(np.linalg.norm(first) * np.linalg.norm(second))
            product = float((first * second).sum())
            distance = 1 - product / norm
            if distance <= ALIKE:
                return True
            if distance <= SIMILAR:
                gain = product / float((second * second).sum())
                if np.quantile(np.abs(first - gain * second), 0.99) <= GREYS:
                    return True
    return False


def _centred(thumbnail: np.ndarray) -> np.ndarray:
    values = thumbnail.astype(np.float32)
    return values - values.mean()


def _signature(thumbnail: np.ndarray) -> np.ndarray:
    """Means over places that flips and turns exchange; no further apart than the images are."""
    values = _centred(thumbnail)
    values /= values.std()
    step = SIDE // _COARSE
    coarse = values.reshape(_COARSE, step, _COARSE, step).mean((1, 3))
    eight = [np.rot90(side, k) for side in (coarse, coarse[:, ::-1]) for k in range(4)]
    mean = np.mean(eight, axis=0)
    half = _COARSE // 2
    rows, columns = np.triu_indices(half)
    weights = np.where(rows == columns, 4, 8) / _COARSE**2
    return mean[rows, columns] * np.sqrt(weights)
