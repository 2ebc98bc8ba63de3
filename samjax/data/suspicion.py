"""What looks wrong in an image or a mask that can be read: worth a look, no proof."""

import hashlib

import numpy as np

# Living tissue under white light is red: a blue one has its channels the wrong way round.
RED = ("dermoscopy", "endoscopy", "fundus_photography")
FLAT = 2.0  # Standard deviation of grey values below which nothing is to be seen.


def of_image(image: np.ndarray, order: str, modality: str) -> tuple[str, str] | None:
    """What is suspicious of an image: the kind, and what was expected and found.

    Args:
        image: (h, w) or (h, w, 3) uint8.
        order: Order of its channels, `rgb` or `bgr`.
        modality: One of the paper's ten, or anything else.
    """
    spread = float(image.std())
    if spread < FLAT:
        return "flat", f"expected contrast, found a standard deviation of {spread:.1f} grey values"
    values = np.count_nonzero(np.bincount(image.reshape(-1), minlength=256))
    if values <= 2:
        return "two_values", "expected an image, found two values; is it a mask?"
    if image.ndim == 3 and modality in RED:
        first, _, last = (float(x) for x in image.mean((0, 1)))
        red, blue = (first, last) if order == "rgb" else (last, first)
        if blue > red:
            return "colour_order", (
                f"expected more red than blue in {modality}, found red {red:.0f} and blue "
                f"{blue:.0f}; is it stored as BGR?"
            )
    return None


def of_mask(mask: np.ndarray) -> tuple[str, str] | None:
    """What is suspicious of a mask (h, w), 0 or 1."""
    share = float(mask.mean())
    corners = mask[[0, 0, -1, -1], [0, -1, 0, -1]]
    if share > 0.5 and corners.all():
        return "inverted", (
            f"expected an object, found {share:.0%} of the image with all four corners; inverted?"
        )
    return None


def digest(image: np.ndarray) -> str:
    """What copies of an image have in common, whatever file they are stored in.

    Grey stored as colour counts as grey; a constant image is no copy of another one: empty.
    """
    if image.ndim == 3 and (image == image[..., :1]).all():
        image = image[..., 0]
    if image.min() == image.max():
        return ""
    content = hashlib.sha256(repr(image.shape).encode())
    content.update(np.ascontiguousarray(image).data)
    return content.hexdigest()
