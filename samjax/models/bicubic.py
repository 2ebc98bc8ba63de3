"""Bicubic resizing of square maps, as PyTorch's `interpolate` computes it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_SHARPNESS = -0.75  # The kernel's parameter; Keys (1981) recommends -0.5.


def resize(maps: Float[Array, "n h h c"], side: int) -> Float[Array, "n s s c"]:
    """Resizes square maps to another side, without corner alignment or antialiasing."""
    if maps.shape[1] == side:
        return maps
    weights = jnp.asarray(_weights(maps.shape[1], side))
    highest = jax.lax.Precision.HIGHEST
    return jnp.einsum("ip,jq,npqc->nijc", weights, weights, maps, precision=highest)


@functools.lru_cache(maxsize=8)
def _weights(old: int, new: int) -> np.ndarray:
    """Returns the weights of `old` places for each of `new`, (new, old) float32.

    Cubic convolution over four places (Keys, 1981, equation 4); edges are repeated.
    """
    centres = (np.arange(new) + 0.5) * old / new - 0.5
    first = np.floor(centres).astype(int) - 1
    weights = np.zeros((new, old))
    for tap in range(4):
        distance = np.abs(centres - first - tap)
        places = np.clip(first + tap, 0, old - 1)
        np.add.at(weights, (np.arange(new), places), _kernel(distance))
    return weights.astype(np.float32)


def _kernel(distance: np.ndarray) -> np.ndarray:
    """Returns the cubic kernel at distances below 2."""
    a, x = _SHARPNESS, distance
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.where(x <= 1, near, far)
