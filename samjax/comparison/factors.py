"""Factors that may explain the quality of a mask (COSMOS, section 4.8).

Huang et al., Medical Image Analysis 92 (2024): the size of an object, its aspect ratio, the
difference of its intensity from its surroundings, and the complexity of its boundary.
"""

import dataclasses

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from samjax.comparison import fourier
from samjax.prompting.strategies import whole_box

_RING = 0.1  # Growth of the tight box on each side, over its width and height.


@dataclasses.dataclass(frozen=True)
class Factors:
    """Factors of one object.

    Attributes:
        size: Pixels of the mask.
        aspect: Shorter over longer side of its tight box, above 0 to 1.
        intensity: Absolute difference of the mean grey levels in the mask and around it, 0 to 255.
        complexity: COSMOS's boundary complexity, see `samjax.comparison.fourier`.
        order: Order of the Fourier series whose shape has a Dice above 0.97 with the mask's, or
            the largest one that was tried.
    """

    size: float
    aspect: float
    intensity: float
    complexity: float
    order: float


def measure(
    image: UInt8[np.ndarray, "h w *c"], mask: Bool[np.ndarray, "h w"] | UInt8[np.ndarray, "h w"]
) -> Factors:
    """Measures the factors of an object.

    Around it is its tight box, larger by a tenth of its width or height, and at least by a pixel,
    on each side, without the object. An object that leaves no such pixel has no difference.

    Args:
        image: The image, grey or of three channels, whose mean is taken.
        mask: The object; nonzero is foreground.

    Raises:
        ValueError: The mask is empty.
    """
    box = whole_box(mask)
    sides = box[2:] - box[:2]
    patient, published = fourier.fit(mask, patient=True), fourier.fit(mask, patient=False)
    return Factors(
        size=float(np.count_nonzero(mask)),
        aspect=float(sides.min() / sides.max()),
        intensity=_intensity_difference(image, mask, box),
        complexity=published.complexity,
        order=float(patient.order),
    )


def _intensity_difference(image: np.ndarray, mask: np.ndarray, box: np.ndarray) -> float:
    outwards = np.maximum(np.rint(_RING * (box[2:] - box[:2])), 1)
    x0, y0 = np.maximum(box[:2] - outwards, 0).astype(int)
    x1, y1 = (box[2:] + outwards).astype(int)  # A slice ends with the image.
    inside = mask[y0:y1, x0:x1] != 0
    if inside.all():
        return 0.0
    near = np.ascontiguousarray(image[y0:y1, x0:x1])
    channels = cv2.mean(near, inside.astype(np.uint8)), cv2.mean(near, (~inside).astype(np.uint8))
    used = 1 if image.ndim == 2 else image.shape[2]
    object_mean, around = (float(np.mean(values[:used])) for values in channels)
    return abs(object_mean - around)
