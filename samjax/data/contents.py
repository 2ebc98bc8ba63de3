"""What an image or mask holds, in a few words: to tell it from another of the same name."""

import hashlib
from collections.abc import Mapping

import numpy as np


def describe(array: np.ndarray, order: str = "rgb") -> str:
    """Size and digest of an image's or mask's values, whatever file they came from.

    Args:
        array: (h, w) or (h, w, 3) uint8.
        order: Channel order of an image, `rgb` or `bgr`; the description is that of `rgb`.

    Returns:
        `<width> x <height>, <digest>`; a digest of 16 hexadecimal digits.
    """
    if array.ndim == 3 and order == "bgr":
        array = array[..., ::-1]
    height, width = array.shape[:2]
    values = hashlib.blake2b(np.ascontiguousarray(array).data, digest_size=8)
    values.update(str(array.shape).encode())
    return f"{width} x {height}, {values.hexdigest()}"


def of_many(descriptions: Mapping[str, object]) -> str:
    """One digest of the descriptions of many things, by name."""
    listed = "\n".join(f"{name}: {one}" for name, one in sorted(descriptions.items()))
    return digest(listed.encode())


def digest(content: bytes) -> str:
    """Sixteen hexadecimal digits that stand for it."""
    return hashlib.blake2b(content, digest_size=8).hexdigest()
