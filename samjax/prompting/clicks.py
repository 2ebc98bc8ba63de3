"""First clicks on an object: in its centre, near its border, or about its centre."""

from typing import Literal

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

Policy = Literal["centre", "boundary", "jittered"]
BORDER = 0.25  # `boundary`: pixels up to this share of the largest distance from the border.
SPREAD = 0.5  # `jittered`: standard deviation over the largest distance from the border.

Mask = Bool[np.ndarray, "h w"] | UInt8[np.ndarray, "h w"]


def first_click(mask: Mask, policy: Policy, rng: np.random.Generator) -> Float[np.ndarray, "2"]:
    """Returns a pixel (x, y) of a mask.

    `centre`: the pixel farthest from the border, the first of equal ones by rows (RITM's clicker).
    `boundary`: any pixel no farther from the border than `BORDER` of the largest distance, or than
    one pixel. `jittered`: the centre with Gaussian noise, `SPREAD` of the largest distance, given
    that it is in the mask.

    Args:
        mask: The mask; nonzero is foreground.
        policy: Choice of the pixel.
        rng: Random numbers; not used for `centre`.

    Raises:
        ValueError: The mask is empty, or the policy is unknown.
    """
    distance = distance_to_border(mask)
    largest = distance.max()
    if not largest:
        raise ValueError("click: expected a mask with foreground, found an empty one")
    y, x = np.divmod(distance.argmax(), mask.shape[1])
    if policy == "boundary":
        near = (distance > 0) & (distance <= max(BORDER * largest, 1))
        y, x = rng.choice(np.argwhere(near))
    elif policy == "jittered":
        pixels = np.argwhere(distance > 0)
        squared = ((pixels - [y, x]) ** 2).sum(axis=1)
        weights = np.exp(-squared / (2 * (SPREAD * float(largest)) ** 2))
        y, x = rng.choice(pixels, p=weights / weights.sum())
    elif policy != "centre":
        raise ValueError(f"click: expected centre, boundary or jittered, found {policy!r}")
    return np.array([x, y], np.float32)


def distance_to_border(mask: Mask) -> Float[np.ndarray, "h w"]:
    """Returns each pixel's distance to the nearest pixel outside a mask, float32; 0 outside.

    All beyond the image is outside.
    """
    padded = np.pad((mask != 0).astype(np.uint8), 1)
    return cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
