"""From an image of any size to the network's square input: one way for all of samjax.

Training, evaluation and prediction call `prepare_image` and `prepare_mask`, and map prompts with
the `Placement` they return. How an image is fitted belongs to the checkpoint (`Preprocessing`),
since weights only work well on what they were trained on.
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
_SMALLEST_RANGE = 1e-8  # Of an image's values: one of a single value becomes zero.


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """What a checkpoint expects of its images and prompts, and what it answers.

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
            is what the network takes as a mask prompt.
        mean: Per-channel mean subtracted from 0..255 values, in the order of `channel_order`.
        std: Per-channel divisor.
        normalise: `mean_std`, or `min_max` (LiteMedSAM, MedSAM: every resized image to 0..1 by its
            own extremes; mean and std are not used).
        coordinates: How prompts follow the image: `per_axis` (SAM: scaled as its sides are, which
            are rounded to whole pixels) or `uniform` (LiteMedSAM: by one factor, that of the longer
            side).
        multimask: Whether the three candidate masks were trained; if not, the single one answers.
        box_margin: Pixels of the input by which boxes were drawn wider than the object on each
            side; boxes that evaluation makes from masks are enlarged so, a user's never.
        point_prompts: Whether the network has learned from points; None where nobody said, which
            means yes unless it is of MedSAM's kind (`min_max` and a single mask: boxes alone).

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
    def knows_points(self) -> bool:
        """Whether points mean something to the network."""
        if self.point_prompts is None:
            return self.multimask or self.normalise != "min_max"
        return self.point_prompts

    def __post_init__(self) -> None:
        fields.check(self)


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where an image of `height` x `width` lies in the square input, pixels.

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
        """The six fields in order, int32, as `samjax.masks.restore_logits` takes them."""
        return np.array(list(vars(self).values()), np.int32)

    def _scale(self) -> np.ndarray:
        return np.array(
            [self.inner_width / self.width, self.inner_height / self.height], np.float32
        )

    def _offset(self) -> np.ndarray:
        return np.array([self.left, self.top], np.float32)


class UniformPlacement(Placement):
    """One whose coordinates are scaled alike along both axes (`Preprocessing.coordinates`)."""

    def _scale(self) -> np.ndarray:
        longer = max(self.inner_height, self.inner_width) / max(self.height, self.width)
        return np.array([longer, longer], np.float32)


def place(height: int, width: int, size: int, resize: str) -> Placement:
    """Decides where an image lies in a `size` x `size` input (see `Preprocessing.resize`)."""
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
    for channel, source in enumerate(sources):  # Several times faster than a view turned around.
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
        config: What the checkpoint expects.
        source_order: Channel order of `image`, `rgb` or `bgr`.

    Returns:
        The normalised image, (size, size, 3) float32, zero outside the placement, and the
        placement.

    Raises:
        ValueError: The image has a shape that is no image.
    """
    image = to_three_channels(image, source_order, config.channel_order)
    placement = place(image.shape[0], image.shape[1], size, config.resize)
    if config.coordinates == "uniform":
        placement = UniformPlacement(**vars(placement))
    kind = np.uint8 if config.interpolation in ("antialias", "area") else np.float32
    # Normalised after resizing: by mean and std that gives the same values, on far fewer pixels.
    image = _resize(np.ascontiguousarray(image, kind), placement, config.interpolation)
    return _pad(_normalise(image.astype(np.float32), config), size, placement), placement


def prepare_mask(mask: np.ndarray, size: int, placement: Placement) -> np.ndarray:
    """Fits a binary mask (h, w) into the input as the image was; returns (size, size) uint8 0/1."""
    mask = np.ascontiguousarray(mask, np.uint8)
    if mask.shape != (placement.height, placement.width):
        expected = (placement.height, placement.width)
        raise ValueError(f"mask: expected the image's shape {expected}, found {mask.shape}")
    return _pad(_resize(mask, placement, "nearest"), size, placement)


def _normalise(image: np.ndarray, config: Preprocessing) -> np.ndarray:
    if config.normalise == "min_max":
        low = image.min()
        return (image - low) / max(image.max() - low, _SMALLEST_RANGE)
    # By whole rows: NumPy takes three values at a time ten times as long.
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
