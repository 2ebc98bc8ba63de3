"""Linear interpolation of position tables, as PyTorch computes it."""

from typing import Any

import jax
import numpy as np


def linear(array: np.ndarray | jax.Array, axis: int, length: int) -> Any:
    """Resamples one axis linearly to `length`, half-pixel centres, edges repeated; float32.

    Args:
        array: An array of NumPy or JAX; the result is of the same kind.
        axis: The axis.
        length: Its new length; the present one changes nothing.
    """
    old = array.shape[axis]
    array = array.astype(np.float32)
    if length == old:
        return array
    # In float32 throughout, since PyTorch rounds the centres so.
    half, scale = np.float32(0.5), np.float32(old / length)
    centres = (np.arange(length, dtype=np.float32) + half) * scale - half
    centres = np.clip(centres, 0, old - 1)
    low = centres.astype(int)
    high = np.minimum(low + 1, old - 1)
    fraction = centres - low.astype(np.float32)
    fraction = fraction.reshape([-1 if each == axis else 1 for each in range(array.ndim)])
    return array.take(low, axis) * (1 - fraction) + array.take(high, axis) * fraction
