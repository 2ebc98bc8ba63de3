"""Computes the tight box of a mask, and boxes that miss it a little."""

import cv2
import numpy as np

_BY_ROWS = cv2.CCL_SAUF  # Counts components row by row; OpenCV's default takes two at once.


def tight_box(mask: np.ndarray) -> np.ndarray:
    """Returns the box of a mask's largest 8-connected component, the topmost of equal ones.

    Args:
        mask: Binary mask, (h, w) uint8.

    Returns:
        Corners (x0, y0, x1, y1), float32 pixels; the upper ones are exclusive, so that the box of
        a single pixel (x, y) is (x, y, x + 1, y + 1).

    Raises:
        ValueError: The mask is empty.
    """
    mask = np.asarray(mask, np.uint8)
    left, top, right, bottom = extent_box(mask).tolist()
    width, height = right - left, bottom - top
    if not width:
        raise ValueError("tight_box: expected a mask with foreground, found an empty one")
    # Labelling a part of the mask is much faster.
    inside = mask[top : top + height, left : left + width]
    _, _, stats, _ = cv2.connectedComponentsWithStatsWithAlgorithm(inside, 8, cv2.CV_32S, _BY_ROWS)
    components = stats[1:]  # The first is the background.
    x, y, width, height, _ = components[components[:, cv2.CC_STAT_AREA].argmax()]
    return np.array([left + x, top + y, left + x + width, top + y + height], np.float32)


def extent_box(mask: np.ndarray) -> np.ndarray:
    """Returns the box of all components of a mask, (x0, y0, x1, y1) int64; zeros if it is empty.

    Args:
        mask: Binary mask, (h, w) uint8 or bool; the upper corners of its box are exclusive.
    """
    left, top, width, height = cv2.boundingRect(np.asarray(mask, np.uint8))
    return np.array([left, top, left + width, top + height])


def jitter_box(
    box: np.ndarray, count: int, extent: tuple[int, int], jitter: float, rng: np.random.Generator
) -> np.ndarray:
    """Returns (count, 4) boxes with sides moved independently and uniformly (SAM-U).

    Args:
        box: Corners (x0, y0, x1, y1), pixels.
        count: Number of boxes.
        extent: Height and width of the image, within which boxes are kept.
        jitter: Largest move of a side over the width or height of the image.
        rng: Random numbers.
    """
    limits = _limits(extent)
    moves = rng.uniform(-jitter, jitter, (count, 4)).astype(np.float32) * limits
    moved = np.clip(box + moves, 0, limits)
    # A side that has passed the opposite one takes its place.
    return np.sort(moved.reshape(-1, 2, 2), axis=1).reshape(-1, 4)


def shift_box(
    box: np.ndarray, count: int, extent: tuple[int, int], jitter: float, rng: np.random.Generator
) -> np.ndarray:
    """Returns (count, 4) boxes of unchanged size, with centres in a disc (FNPC).

    Parts out of the image are cut off.

    Args:
        box: Corners (x0, y0, x1, y1), pixels.
        count: Number of boxes.
        extent: Height and width of the image, within which boxes are kept.
        jitter: Radius of the disc over the shorter side of the box.
        rng: Random numbers.
    """
    radius = jitter * min(box[2] - box[0], box[3] - box[1])
    # The root makes the points uniform in area.
    distance, angle = radius * np.sqrt(rng.random(count)), 2 * np.pi * rng.random(count)
    moves = np.stack([distance * np.cos(angle), distance * np.sin(angle)], axis=1)
    return np.clip(box + np.tile(moves, 2).astype(np.float32), 0, _limits(extent))


def grow_box(box: np.ndarray, share: float, extent: tuple[int, int]) -> np.ndarray:
    """Returns a box (4,) whose width and height are larger by a share, within the image.

    Args:
        box: Corners (x0, y0, x1, y1), pixels.
        share: Growth over width and height; half of it on each side.
        extent: Height and width of the image.
    """
    outwards = 0.5 * share * (box[2:] - box[:2])
    grown = box + np.concatenate([-outwards, outwards])
    return np.clip(grown, 0, _limits(extent)).astype(np.float32)


def _limits(extent: tuple[int, int]) -> np.ndarray:
    height, width = extent
    return np.array([width, height, width, height], np.float32)
