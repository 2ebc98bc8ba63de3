"""Checks weights for NaN and infinite values."""

from collections.abc import Iterable
from concurrent import futures
from typing import Any

import numpy as np

_MOST_NAMES = 3  # Tensors in a message.


def check(where: str, named: Iterable[tuple[str, Any]]) -> None:
    """Refuses weights that are NaN or infinite: with them, scores are NaN and masks empty.

    Args:
        where: File or directory, for the message.
        named: Names and arrays of the weights.

    Raises:
        ValueError: Some are NaN or infinite; the message names the first tensors.
    """
    tensors = dict(named)
    with futures.ThreadPoolExecutor() as pool:
        finite = pool.map(_is_finite, tensors.values())
        bad = [name for name, good in zip(tensors, finite, strict=True) if not good]
    if bad:
        more = f", ... ({len(bad)} of {len(tensors)} tensors)" if len(bad) > _MOST_NAMES else ""
        raise ValueError(
            f"{where}: expected finite weights, found NaN or infinite ones in "
            f"{', '.join(bad[:_MOST_NAMES])}{more} (--allow-non-finite, in Python "
            "allow_non_finite=True, takes them)"
        )


def _is_finite(array: np.ndarray) -> bool:
    if not np.issubdtype(array.dtype, np.integer) and array.dtype != np.bool_:
        with np.errstate(over="ignore", invalid="ignore"):
            total = array.sum(dtype=np.float32)  # Needs no copy of the array.
        return bool(np.isfinite(total)) or bool(np.isfinite(array.astype(np.float32)).all())
    return True
