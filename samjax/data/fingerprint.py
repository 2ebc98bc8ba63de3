"""Fingerprints of images and masks, to detect that a file was replaced by another one."""

import hashlib
from collections.abc import Mapping

import numpy as np


def of_array(array: np.ndarray, order: str = "rgb") -> str:
    """Returns the size and a digest of an image or mask, the same for every file format.

    Args:
        array: (h, w) or (h, w, 3) uint8.
        order: Channel order of an image, `rgb` or `bgr`; the fingerprint is that of `rgb`.

    Returns:
        `<width> x <height>, <digest>`; a digest of 16 hexadecimal digits.
    """
    if array.ndim == 3 and order == "bgr":
        array = array[..., ::-1]
    height, width = array.shape[:2]
    values = hashlib.blake2b(np.ascontiguousarray(array).data, digest_size=8)
    values.update(str(array.shape).encode())
    return f"{width} x {height}, {values.hexdigest()}"


def combine(fingerprints: Mapping[str, object]) -> str:
    """Returns one digest of many fingerprints by name."""
    listed = "\n".join(f"{name}: {one}" for name, one in sorted(fingerprints.items()))
    return of_bytes(listed.encode())


def of_bytes(content: bytes) -> str:
    """Returns a digest of bytes, 16 hexadecimal digits."""
    return hashlib.blake2b(content, digest_size=8).hexdigest()
