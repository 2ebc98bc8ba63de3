"""The paper's curation rules (section 3.1) as pure functions of arrays."""

import re
from collections.abc import Iterator, Mapping, Sequence

import cv2
import numpy as np

# 100 pixels of 256 x 256: 0.153 % of the image.
SMALLEST_SHARE = 100 / (256 * 256)
# A slice whose shorter side is less than this share of its longer side is left out.
SMALLEST_ASPECT = 0.5
AXES = "xyz"
# Windows of CT by purpose: lowest and highest Hounsfield unit.
WINDOWS: Mapping[str, tuple[float, float]] = {
    "abdomen": (-160.0, 240.0),
    "bone": (-450.0, 1050.0),
    "brain": (0.0, 80.0),
    "liver": (-45.0, 105.0),
    "lung": (-1350.0, 150.0),
    "mediastinum": (-125.0, 225.0),
    "soft_tissue": (-160.0, 240.0),
}
# The window that shows an organ, by words of its class; anything else is soft tissue.
ORGANS: Mapping[str, tuple[str, ...]] = {
    "lung": ("lung", "lungs", "airway", "airways", "bronchus", "bronchi", "covid"),
    "bone": (
        "bone", "bones", "clavicle", "clavicula", "femur", "fibula", "hip", "humerus", "jaw",
        "mandible", "maxilla", "patella", "pelvis", "radius", "rib", "ribs", "sacrum", "scapula",
        "skull", "spine", "sternum", "teeth", "tibia", "tooth", "ulna", "vertebra", "vertebrae",
    ),
    "brain": ("brain", "brainstem", "cerebellum", "cerebral", "hematoma", "haematoma",
              "hemorrhage", "haemorrhage", "intracranial", "stroke"),
    "liver": ("liver", "hepatic"),
    "mediastinum": (
        "aorta", "atrial", "atrium", "cava", "esophagus", "oesophagus", "heart", "mediastinum",
        "myocardium", "pericardium", "pulmonary", "thymus", "trachea", "ventricle",
    ),
}  # fmt: skip


def intensity_range(
    volume: np.ndarray,
    window: Sequence[float] | None = None,
    percentiles: Sequence[float] | None = None,
) -> tuple[float, float]:
    """Returns the range of intensities that becomes 0..255: one for a whole volume.

    Args:
        volume: Intensities, any shape; values that are not finite are ignored.
        window: Lowest and highest intensity, such as a CT window in Hounsfield units.
        percentiles: Lowest and highest percentile of the volume, 0 to 100. Neither of the two (the
            paper): from the volume's minimum to its maximum.

    Raises:
        ValueError: The volume has no finite value, or the window is empty.
    """
    if window is not None:
        low, high = map(float, window)
        if not low < high:
            raise ValueError(f"window: expected low < high, found {low:g} and {high:g}")
        return low, high
    values = volume if np.issubdtype(volume.dtype, np.integer) else volume[np.isfinite(volume)]
    if values.size == 0:
        raise ValueError("expected intensities, found no finite value")
    if percentiles is not None:
        low, high = np.percentile(values, percentiles)
        if low < high:  # Else nearly all values are equal: the whole range is used.
            return float(low), float(high)
    return float(values.min()), float(values.max())


def window_of(class_name: str) -> str:
    """Returns the usual window, of `WINDOWS`, of an organ by its name."""
    words = re.split("[^a-z]+", class_name.lower())
    named = (window for window, organs in ORGANS.items() if any(word in organs for word in words))
    return next(named, "soft_tissue")


def to_uint8(volume: np.ndarray, bounds: tuple[float, float]) -> np.ndarray:
    """Maps a range of intensities to 0..255, rounded; what is outside is clipped.

    Constant volumes and NaN become 0.
    """
    low, high = bounds
    scale = 255.0 / (high - low) if high > low else 0.0
    scaled = (np.asarray(volume, np.float32) - np.float32(low)) * np.float32(scale)
    return np.rint(np.clip(np.nan_to_num(scaled, nan=0.0), 0, 255)).astype(np.uint8)


def is_8_bit(image: np.ndarray) -> bool:
    """Whether a 2D image has whole numbers within 0..255, and needs no conversion."""
    if image.dtype == np.uint8:
        return True
    return image.dtype.kind in "iu" and int(image.min()) >= 0 and int(image.max()) <= 255


def slices(shape: Sequence[int], axes: str = AXES) -> Iterator[tuple[str, int]]:
    """Yields the slices of a volume, axis and number, except those that are too long.

    Args:
        shape: Voxels along x, y, z.
        axes: Axes to cut across, of `xyz`.
    """
    for axis in axes:
        number = AXES.index(axis)
        sides = [side for other, side in enumerate(shape) if other != number]
        if min(sides) >= SMALLEST_ASPECT * max(sides):
            yield from ((axis, i) for i in range(shape[number]))


def cut(volume: np.ndarray, axis: str, number: int) -> np.ndarray:
    """Cuts a slice as an image; the first of the two remaining axes runs along its columns.

    Args:
        volume: Voxels, (x, y, z) or (x, y, z, channels).
        axis: Axis to cut across.
        number: Number of the slice.
    """
    # Indexed: `numpy.take` would copy the whole of a turned volume for every slice.
    plane = np.moveaxis(volume, AXES.index(axis), 0)[number]
    return np.ascontiguousarray(plane.swapaxes(0, 1))


def components(mask: np.ndarray) -> list[np.ndarray]:
    """Splits a class's mask into connected pieces (8-connectivity), the largest first.

    A class in one piece stays one mask, whatever other classes there are (the paper's rule for
    organs); one in several pieces gives a mask for each.

    Args:
        mask: Mask (h, w), True or not 0 in the foreground.

    Returns:
        Masks (h, w) bool; equal ones in the order of their first pixel; empty if `mask` is.
    """
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(np.asarray(mask, np.uint8))
    areas = stats[1:, cv2.CC_STAT_AREA]
    order = np.argsort(-areas, kind="stable") + 1
    if count == 2:
        return [pieces == 1]
    return [pieces == piece for piece in order]


def large_enough(mask: np.ndarray, smallest: float = SMALLEST_SHARE) -> bool:
    """Whether the foreground is at least 100 pixels once the image is 256 x 256."""
    return bool(np.count_nonzero(mask) >= smallest * mask.size)
