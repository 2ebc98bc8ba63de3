"""Augments an image and its masks in the network's input square."""

import dataclasses
import math
from typing import Annotated

import cv2
import numpy as np

from samjax import fields
from samjax.data.inputs import Placement


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
    """Augmentation of training images. Zero turns each kind off.

    Attributes:
        flip: Probability of a flip, for left-right and up-down each.
        rotate_degrees: Largest rotation to either side, drawn uniformly.
        zoom: Largest magnification, and reduction, less one: 1 zooms between half and twice the
            size, drawn uniformly by its logarithm, about a random pixel of a random mask.
        intensity: Largest change of contrast (relative) and of brightness (in standard
            deviations), each drawn uniformly from both sides.

    Raises:
        ValueError: A field is out of its range.
    """

    flip: fields.Probability = 0.0
    rotate_degrees: Annotated[float, fields.Range(0, 180)] = 0.0
    zoom: Annotated[float, fields.Range(0, 3)] = 0.0
    intensity: Annotated[float, fields.Range(0, 1)] = 0.0

    def __post_init__(self) -> None:
        fields.check(self)

    @property
    def kinds(self) -> dict[str, float]:
        """The kinds of augmentation that are on, with their strengths."""
        return {name: amount for name, amount in vars(self).items() if amount}


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
        masks: Its masks, (k, s, s) uint8; or its label map, (1, s, s), which may be empty.
        placement: Position of the image in the square.
        config: Kinds and strengths of augmentation.
        rng: Source of randomness.

    Returns:
        The varied image and masks. No mask vanishes: a mask of which less than a tenth would
        stay in the square is replaced by another one; if none would stay, the image is not moved.
    """
    if config.intensity:
        image = _change_intensity(image, placement, config.intensity, rng)
    if config.flip:
        image, masks = _flip(image, masks, rng.random(2) < config.flip)
    if config.rotate_degrees or config.zoom:
        image, masks = _warp(image, masks, _draw_warp(masks, config, rng), rng)
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


def _draw_warp(masks: np.ndarray, config: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    """Draws a rotation about the centre and a zoom about a mask, as a 2x3 matrix."""
    angle = rng.uniform(-config.rotate_degrees, config.rotate_degrees)
    middle = (masks.shape[-1] - 1) / 2
    if not config.zoom:
        return cv2.getRotationMatrix2D((middle, middle), angle, 1.0)
    scale = math.exp(rng.uniform(-1, 1) * math.log1p(config.zoom))
    pixels = np.argwhere(masks[rng.integers(len(masks))])
    focus = [middle, middle]
    if len(pixels):
        focus = pixels[rng.integers(len(pixels))][::-1].astype(float).tolist()
    matrix = cv2.getRotationMatrix2D(focus, angle, scale)
    if scale < 1:  # A reduced image moves anywhere within the square.
        centre = matrix @ np.array([middle, middle, 1])
        slack = (1 - scale) * middle
        matrix[:, 2] += middle + rng.uniform(-slack, slack, 2) - centre
    return matrix


def _warp(
    image: np.ndarray, masks: np.ndarray, matrix: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    size = image.shape[:2]

    def warp(array: np.ndarray, interpolation: int) -> np.ndarray:
        array = np.ascontiguousarray(array)
        return cv2.warpAffine(array, matrix, size, flags=interpolation)

    moved = np.stack([warp(mask, cv2.INTER_NEAREST) for mask in masks])
    magnified = np.linalg.det(matrix[:, :2])
    before, after = ((array != 0).sum((1, 2)) for array in (masks, moved))
    stays = (after > 0.1 * magnified * before) | (before == 0)
    if not stays.any():
        return image, masks
    moved[~stays] = moved[rng.choice(np.flatnonzero(stays), (~stays).sum())]
    return warp(image, cv2.INTER_LINEAR), moved
