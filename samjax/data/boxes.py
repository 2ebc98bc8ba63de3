"""The tight box of a mask."""

import cv2
import numpy as np


def tight_box(mask: np.ndarray) -> np.ndarray:
    """Returns the box of a mask's largest 8-connected component.

    Args:
        mask: Binary mask, (h, w) uint8.

    Returns:
        Corners (x0, y0, x1, y1), float32 pixels; the upper ones are exclusive, so that the box of
        a single pixel (x, y) is (x, y, x + 1, y + 1).

    Raises:
        ValueError: The mask is empty.
    """
    _, _, stats, _ = cv2.connectedComponentsWithStats(np.asarray(mask, np.uint8), connectivity=8)
    stats = stats[1:]  # The first is the background.
    if not len(stats):
        raise ValueError("tight_box: expected a mask with foreground, found an empty one")
    x, y, width, height, _ = stats[stats[:, cv2.CC_STAT_AREA].argmax()]
    return np.array([x, y, x + width, y + height], np.float32)
