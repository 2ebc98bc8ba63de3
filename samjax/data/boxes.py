"""Computes the tight box of a mask."""

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
    left, top, width, height = cv2.boundingRect(mask)
    if not width:
        raise ValueError("tight_box: expected a mask with foreground, found an empty one")
    # Labelling a part of the mask is much faster.
    inside = mask[top : top + height, left : left + width]
    _, _, stats, _ = cv2.connectedComponentsWithStatsWithAlgorithm(inside, 8, cv2.CV_32S, _BY_ROWS)
    components = stats[1:]  # The first is the background.
    x, y, width, height, _ = components[components[:, cv2.CC_STAT_AREA].argmax()]
    return np.array([left + x, top + y, left + x + width, top + y + height], np.float32)
