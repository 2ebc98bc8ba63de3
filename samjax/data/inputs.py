"""Fits images of any size into the network's square input, the same way in all of samjax.

Training, evaluation and prediction call `prepare_image` and `prepare_mask`, and map prompts with
the `Placement` they return. The preprocessing belongs to the checkpoint (`Preprocessing`), since
weights only work well with the preprocessing of their training.
"""

import dataclasses
import typing
from typing import Literal

import cv2
import numpy as np
from PIL import Image

from samjax import fields

Resize = Literal["pad_or_stretch", "stretch", "longest_side"]
ChannelOrder = Literal["rgb", "bgr"]
CHANNEL_ORDER = typing.get_args(ChannelOrder)
_OPENCV = {"nearest": cv2.INTER_NEAREST, "linear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA}
_Divisor = fields.PositiveFloat
_SMALLEST_RANGE = 1e-8  # Lower bound of an image's range, so that a constant image becomes zero.


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """Preprocessing of images and prompts that a checkpoint was trained with, and its outputs.

    Attributes:
        resize: `longest_side` (SAM, ours: the aspect ratio is kept, small images are enlarged, zero
            padding below and to the right), `pad_or_stretch` (SAM-Med2D's published code: zero
            padding around an image smaller than the input, otherwise stretched to the square), or
            `stretch`.
        interpolation: `linear` (the SAM-Med2D paper), `nearest` (SAM-Med2D's published code, and
            so its released weights), or, both rounded to whole values as published, `antialias`
            (SAM: bilinear, over a larger area where it shrinks the image) and `area` (LiteMedSAM:
            mean of the area). Masks are always resized by nearest.
        channel_order: `rgb`, or `bgr` as SAM-Med2D's published code feeds colour images.
        mask_prompt: Whether the low-resolution `logits` of the step before, or their `sigmoid`,
            is the network's mask prompt.
        mean: Per-channel mean subtracted from 0..255 values, in the order of `channel_order`.
        std: Per-channel divisor.
        normalise: `mean_std`, or `min_max` (LiteMedSAM, MedSAM: every resized image to 0..1 by its
            own extremes; mean and std are not used).
        coordinates: Scaling of prompts: `per_axis` (SAM: by the image's sides, which are rounded to
            whole pixels) or `uniform` (LiteMedSAM: by one factor, that of the longer side).
        multimask: Whether the three candidate masks were trained; if not, the single mask is the
            output.
        box_margin: Pixels of the input by which boxes were drawn wider than the object on each
            side; evaluation enlarges boxes made from masks by it; a user's boxes stay.
        point_prompts: Whether the network was trained with points; None if unknown, which means
            yes unless it is of MedSAM's kind (`min_max` and a single mask: boxes alone).

    Raises:
        ValueError: A field has a value that cannot work.
    """

    resize: Resize = "longest_side"
    interpolation: Literal["nearest", "linear", "antialias", "area"] = "linear"
    channel_order: ChannelOrder = "rgb"
    mask_prompt: Literal["logits", "sigmoid"] = "sigmoid"
    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    std: tuple[_Divisor, _Divisor, _Divisor] = (
        58.395,
        57.12,
        57.375,
    )
    normalise: Literal["mean_std", "min_max"] = "mean_std"
    coordinates: Literal["per_axis", "uniform"] = "per_axis"
    multimask: bool = True
    box_margin: fields.NonNegativeFloat = 0.0
    point_prompts: bool | None = None

    @property
    def supports_points(self) -> bool:
        """Whether the network was trained with point prompts."""
        if self.point_prompts is None:
            return self.multimask or self.normalise != "min_max"
        return self.point_prompts

    def __post_init__(self) -> None:
        fields.check(self)


@dataclasses.dataclass(frozen=True)
class Placement:
    """Position of an image of `height` x `width` in the square input, pixels.

    Attributes:
        height: Height of the original image.
        width: Width of the original image.
        top: First input row that the image covers.
        left: First input column that the image covers.
        inner_height: Rows of the input that the image covers.
        inner_width: Columns of the input that the image covers.
    """

    height: int
    width: int
    top: int
    left: int
    inner_height: int
    inner_width: int

    def to_input(self, coords: np.ndarray) -> np.ndarray:
        """Maps (..., 2) coordinates (x, y) from original pixels to input pixels."""
        return np.asarray(coords, np.float32) * self._scale() + self._offset()

    def to_original(self, coords: np.ndarray) -> np.ndarray:
        """Maps (..., 2) coordinates (x, y) from input pixels to original pixels."""
        return (np.asarray(coords, np.float32) - self._offset()) / self._scale()

    def as_array(self) -> np.ndarray:
        """Returns the six fields in order, (6,) int32, for `samjax.masks.restore_logits`."""
        return np.array(list(vars(self).values()), np.int32)

    def _scale(self) -> np.ndarray:
        return np.array(
            [self.inner_width / self.width, self.inner_height / self.height], np.float32
        )

    def _offset(self) -> np.ndarray:
        return np.array([self.left, self.top], np.float32)


class UniformPlacement(Placement):
    """Placement with one scale for both axes (`Preprocessing.coordinates`)."""

    def _scale(self) -> np.ndarray:
        longer = max(self.inner_height, self.inner_width) / max(self.height, self.width)
        return np.array([longer, longer], np.float32)


def place(height: int, width: int, size: int, resize: str) -> Placement:
    """Places an image in a `size` x `size` input (see `Preprocessing.resize`)."""
    if resize == "pad_or_stretch" and height < size and width < size:
        top, left = (size - height) // 2, (size - width) // 2
        return Placement(height, width, top, left, height, width)
    if resize == "longest_side":
        scale = size / max(height, width)
        inner = int(height * scale + 0.5), int(width * scale + 0.5)
        return Placement(height, width, 0, 0, max(inner[0], 1), max(inner[1], 1))
    return Placement(height, width, 0, 0, size, size)


def to_three_channels(image: np.ndarray, source_order: str, target_order: str) -> np.ndarray:
    """Returns an (h, w, 3) image in `target_order` from (h, w), (h, w, 1), (h, w, 3) or (h, w, 4).

    A fourth channel (alpha) is dropped.

    Raises:
        ValueError: The shape is none of these, or the order is unknown.
    """
    for order in (source_order, target_order):
        if order not in CHANNEL_ORDER:
            raise ValueError(f"channel order: expected one of {CHANNEL_ORDER}, found {order!r}")
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4) or 0 in image.shape:
        raise ValueError(
            f"image: expected shape (h, w), (h, w, 1), (h, w, 3) or (h, w, 4), found {image.shape}"
        )
    sources = (0, 0, 0) if image.shape[2] == 1 else (2, 1, 0)
    if image.shape[2] > 1 and source_order == target_order:
        return image[..., :3]
    result = np.empty((*image.shape[:2], 3), image.dtype)
    for channel, source in enumerate(sources):  # Several times faster than a reversed view.
        result[..., channel] = image[..., source]
    return result


def prepare_image(
    image: np.ndarray, size: int, config: Preprocessing, source_order: str = "rgb"
) -> tuple[np.ndarray, Placement]:
    """Fits an image into the network's input (REFERENCE: SAM-Med2D section 4.1).

    Args:
        image: Image with values 0..255, (h, w) or (h, w, c); whole ones for `antialias` and
            `area`.
        size: Side of the network's input, pixels.
        config: Preprocessing of the checkpoint.
        source_order: Channel order of `image`, `rgb` or `bgr`.

    Returns:
        The normalised image, (size, size, 3) float32, zero outside the placement, and the
        placement.

    Raises:
        ValueError: The array does not have the shape of an image.
    """
    image = to_three_channels(image, source_order, config.channel_order)
    placement = place(image.shape[0], image.shape[1], size, config.resize)
    if config.coordinates == "uniform":
        placement = UniformPlacement(**vars(placement))
    kind = np.uint8 if config.interpolation in ("antialias", "area") else np.float32
    # Normalised after resizing: the same values with mean and std, on far fewer pixels.
    image = _resize(np.ascontiguousarray(image, kind), placement, config.interpolation)
    return _pad(_normalise(image.astype(np.float32), config), size, placement), placement


def prepare_mask(mask: np.ndarray, size: int, placement: Placement) -> np.ndarray:
    """Fits a binary mask (h, w) into the input like its image; returns (size, size) uint8 0/1.

    Raises:
        ValueError: The mask does not have the shape of the image.
    """
    mask = np.ascontiguousarray(mask, np.uint8)
    if mask.shape != (placement.height, placement.width):
        expected = (placement.height, placement.width)
        raise ValueError(f"mask: expected the image's shape {expected}, found {mask.shape}")
    return _pad(_resize(mask, placement, "nearest"), size, placement)


def _normalise(image: np.ndarray, config: Preprocessing) -> np.ndarray:
    if config.normalise == "min_max":
        low = image.min()
        return (image - low) / max(image.max() - low, _SMALLEST_RANGE)
    # By whole rows: broadcasting over three channels takes ten times as long.
    height, width, _ = image.shape
    rows = image.reshape(height, -1) - np.tile(np.array(config.mean, np.float32), width)
    rows /= np.tile(np.array(config.std, np.float32), width)
    return rows.reshape(image.shape)


def _resize(array: np.ndarray, at: Placement, interpolation: str) -> np.ndarray:
    if (at.inner_height, at.inner_width) == array.shape[:2]:
        return array
    target = (at.inner_width, at.inner_height)
    if interpolation == "antialias":
        return np.asarray(Image.fromarray(array).resize(target, Image.Resampling.BILINEAR))
    return cv2.resize(array, target, interpolation=_OPENCV[interpolation])


def _pad(array: np.ndarray, size: int, at: Placement) -> np.ndarray:
    if array.shape[:2] == (size, size):
        return array
    canvas = np.zeros((size, size, *array.shape[2:]), array.dtype)
    canvas[at.top : at.top + at.inner_height, at.left : at.left + at.inner_width] = array
    return canvas
