"""Decodes COCO's polygons and run lengths by pycocotools, and reports unusable ones."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from samjax import extra
from samjax.data import run_lengths

_BEYOND = 0.02  # Share of a picture's side by which polygons may reach beyond it.
_FAR = 10  # Sides of the picture: points farther away are errors, and would take much memory.


def mask(
    annotation: Mapping[str, Any], height: int, width: int, stated: bool
) -> tuple[np.ndarray, list[str]]:
    """Decodes an annotation's mask, (height, width) uint8; also returns why parts were left out.

    Args:
        annotation: Entry of the file.
        height: Rows of the picture that was annotated, pixels.
        width: Columns of that picture, pixels.
        stated: Whether the file states that size; if not, polygons have to lie within it.

    Raises:
        ValueError: No part of it can be used.
    """
    segmentation, reasons = annotation.get("segmentation"), []
    if not segmentation:
        decoded = "only a box" if annotation.get("bbox") else "nothing"
        raise ValueError(f"expected polygons or run lengths, found {decoded}")
    codec = extra.require("pycocotools.mask", "data")
    if isinstance(segmentation, Mapping):
        encoded = _run_lengths(segmentation, height, width)
    elif isinstance(segmentation, list):
        polygons = []
        for polygon in segmentation:
            reason = _fault(polygon, height, width, stated)
            (reasons if reason else polygons).append(reason or polygon)
        if not polygons:
            raise ValueError(reasons[0])
        encoded = polygons
    else:
        raise ValueError(f"expected polygons or run lengths, found {_short(segmentation)}")
    encoded = codec.frPyObjects(encoded, height, width)
    encoded = codec.merge(encoded) if isinstance(encoded, list) else encoded
    decoded = codec.decode(encoded).astype(np.uint8)
    if not decoded.any():
        raise ValueError(f"expected an object in the picture of {width} x {height}, found none")
    return decoded, reasons


def _run_lengths(segmentation: Mapping[str, Any], height: int, width: int) -> dict[str, Any]:
    """Checks that run lengths cover the picture: pycocotools would invent missing pixels."""
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if size != [height, width]:
        raise ValueError(f"expected run lengths of {height} x {width}, found {_short(size)}")
    if isinstance(counts, str):
        counts = run_lengths.decompress(counts)
    if not isinstance(counts, list) or not all(isinstance(n, int) and n >= 0 for n in counts):
        raise ValueError(f"expected run lengths as whole numbers, found {_short(counts)}")
    if sum(counts) != height * width:
        raise ValueError(f"expected runs of {height * width} pixels, found {sum(counts)}")
    return {"size": size, "counts": counts}


def _fault(polygon: Any, height: int, width: int, stated: bool) -> str:
    """Returns the fault of a polygon; empty if it can be used."""
    flat = isinstance(polygon, list) and all(isinstance(x, int | float) for x in polygon)
    if not flat or len(polygon) < 6 or len(polygon) % 2 or not np.isfinite(polygon).all():
        return f"expected a polygon of x, y, x, y, x, y, ..., found {_short(polygon)}"
    points = np.array(polygon, float).reshape(-1, 2)
    size = np.array([width, height])
    margin = _FAR * size if stated else 2 + _BEYOND * size
    if (points > size + margin).any() or (points < -margin).any():
        furthest = points[np.abs(points - size / 2).max(1).argmax()]
        return (
            f"expected a polygon within the picture of {width} x {height}, found one that "
            f"reaches ({furthest[0]:g}, {furthest[1]:g})"
        )
    if points.max() <= 1 < size.min() and points.min() >= 0:
        return "expected a polygon in pixels, found only numbers from 0 to 1"
    return ""


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) < 60 else text[:60] + "…"
