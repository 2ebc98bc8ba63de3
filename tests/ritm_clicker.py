"""RITM's simulated clicks in NumPy, as a reference for the compiled ones.

Sofiiuk et al., "Reviving Iterative Training with Mask Guidance", 2021; the rule of the published
`isegm/inference/clicker.py`, written anew. Where no error is left to click, that code clicks the
image's first pixel as background; here there is no click.
"""

import cv2
import numpy as np


def distance_to_border(mask):
    """Returns each pixel's distance to the nearest one outside a mask, or beyond the image."""
    padded = np.pad(mask.astype(np.uint8), 1)
    return cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]


def next_click(truth, predicted, clicked):
    """Returns (x, y, label) of the next click, or None where no error is left.

    The pixel farthest inside the false negatives or the false positives: of the larger distance,
    at equal ones a false positive; of equal pixels the first by rows. One that has been clicked
    does not count.

    Args:
        truth: True mask, (h, w).
        predicted: Predicted mask, (h, w).
        clicked: Whether a pixel has been clicked, (h, w).
    """
    truth, predicted = truth != 0, predicted != 0
    missed, wrong = (
        distance_to_border(region) * ~clicked for region in (truth & ~predicted, predicted & ~truth)
    )
    label = int(missed.max() > wrong.max())
    distance = missed if label else wrong
    if not distance.any():
        return None
    y, x = np.unravel_index(distance.argmax(), distance.shape)
    return int(x), int(y), label
