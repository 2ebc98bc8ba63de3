"""Simple augmentation of an image and its masks in the network's input square."""

import dataclasses

import cv2
import numpy as np

from samjax.data.inputs import Placement


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
    """How training images are varied. Zero turns each kind off.

    Attributes:
        flip: Probability of a flip, for left-right and up-down each.
        rotate_degrees: Largest rotation to either side, drawn uniformly.
        intensity: Largest change of contrast (relative) and of brightness (in standard
            deviations), each drawn uniformly from both sides.

    Raises:
        ValueError: A field is out of its range.
    """

    flip: float = 0.0
    rotate_degrees: float = 0.0
    intensity: float = 0.0

    def __post_init__(self) -> None:
        for name, highest in (("flip", 1.0), ("rotate_degrees", 180.0), ("intensity", 1.0)):
            value = getattr(self, name)
            if not 0 <= value <= highest:
                raise ValueError(f"augment.{name}: expected 0 to {highest}, found {value}")


def augment(
    image: np.ndarray,
    masks: np.ndarray,
    placement: Placement,
    config: AugmentConfig,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Varies an image and its masks together; the padding around the image stays zero.

    Args:
        image: Normalised image, (s, s, 3) float32.
        masks: Its masks, (k, s, s) uint8.
        placement: Where the image lies in the square.
        config: What to vary, and how far.
        rng: Source of randomness.

    Returns:
        The varied image and masks. No mask vanishes: a rotation that would turn one out of the
        square is left out.
    """
    if config.intensity:
        image = _change_intensity(image, placement, config.intensity, rng)
    if config.flip:
        image, masks = _flip(image, masks, rng.random(2) < config.flip)
    if config.rotate_degrees:
        angle = rng.uniform(-config.rotate_degrees, config.rotate_degrees)
        image, masks = _rotate(image, masks, angle)
    return np.ascontiguousarray(image), np.ascontiguousarray(masks)


def _change_intensity(
    image: np.ndarray, at: Placement, amount: float, rng: np.random.Generator
) -> np.ndarray:
    contrast, brightness = rng.uniform(-amount, amount, 2).astype(np.float32)
    image = image.copy()
    inner = image[at.top : at.top + at.inner_height, at.left : at.left + at.inner_width]
    inner *= 1 + contrast
    inner += brightness
    return image


def _flip(image: np.ndarray, masks: np.ndarray, axes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    up_down, left_right = (slice(None, None, -1 if flip else 1) for flip in axes)
    return image[up_down, left_right], masks[:, up_down, left_right]


def _rotate(image: np.ndarray, masks: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    size = image.shape[0]
    centre = (size - 1) / 2
    matrix = cv2.getRotationMatrix2D((centre, centre), angle, 1.0)

    def warp(array: np.ndarray, interpolation: int) -> np.ndarray:
        array = np.ascontiguousarray(array)
        return cv2.warpAffine(array, matrix, (size, size), flags=interpolation)

    rotated = np.stack([warp(mask, cv2.INTER_NEAREST) for mask in masks])
    if (masks.any((1, 2)) & ~rotated.any((1, 2))).any():
        return image, masks
    return warp(image, cv2.INTER_LINEAR), rotated
