"""Synthetic scans: a data folder of invented anatomy, written in seconds, without a download."""

from samjax.data.phantoms.dataset import (
    CLASS_NUMBERS,
    PhantomConfig,
    draw_phantom,
    write_phantoms,
)

__all__ = ["CLASS_NUMBERS", "PhantomConfig", "draw_phantom", "write_phantoms"]
