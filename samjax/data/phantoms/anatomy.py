"""Draws invented anatomy: a body with organ-like structures that partly cover each other."""

import dataclasses
from collections.abc import Callable

import cv2
import numpy as np

MIN_AREA_FRACTION = 100 / (256 * 256)  # The paper's rule: smaller masks are dropped.

_POINTS = 90  # Corners of the polygon that stands for an outline.
_SUBPIXEL_BITS = 4  # Precision of the polygons' corners, 1/16 pixel.
_CANDIDATES = 8  # Positions tried for a structure; the least crowded one is taken.


@dataclasses.dataclass(frozen=True)
class Scene:
    """Anatomy of a phantom, before it is rendered.

    Attributes:
        body: Inside of the body, (s, s) bool.
        labels: The structure visible at every pixel, (s, s) uint8; 0 is none, n is `kinds[n - 1]`.
        kinds: The kind of every structure, from back to front.
    """

    body: np.ndarray
    labels: np.ndarray
    kinds: tuple[str, ...]


def draw_scene(rng: np.random.Generator, size: int, body: np.ndarray) -> Scene:
    """Draws 3 to 6 structures into a body; later ones cover earlier ones.

    Args:
        rng: Source of randomness.
        size: Side of the image, pixels.
        body: Inside of the body, (size, size) bool, not empty.
    """
    labels = np.zeros((size, size), np.uint8)
    rows, columns = np.nonzero(cv2.erode(body.astype(np.uint8), np.ones((9, 9), np.uint8)))
    drawn = []
    for kind in _draw_kinds(rng):
        outline = KINDS[kind](rng)
        label, best, least = len(drawn) + 1, np.zeros_like(body), np.inf
        for place in rng.integers(len(rows), size=_CANDIDATES):
            centre = np.array([columns[place], rows[place]]) * (2 / size) - 1
            region = fill(outline + centre, size)
            crowd = (labels[region] > 0).mean() + 2 * (~body[region]).mean()
            if crowd < least:
                best, least = region, crowd
        labels[best & body] = label
        drawn.append(kind)
    return Scene(body, labels, tuple(drawn))


def draw_body(rng: np.random.Generator, size: int) -> np.ndarray:
    """Draws the inside of a rounded body, as in a slice across the trunk or the head."""
    outline = _star(rng, roughness=0.05) * (rng.uniform(0.8, 0.95), rng.uniform(0.62, 0.9))
    return fill(_rotate(outline, rng.uniform(-0.2, 0.2)), size)


def draw_sector(rng: np.random.Generator, size: int) -> np.ndarray:
    """Draws the field of view of a curved ultrasound probe at the top of the image."""
    opening = rng.uniform(0.45, 0.75)
    angles = np.linspace(-opening, opening, _POINTS // 2)
    ray = np.stack([np.sin(angles), np.cos(angles)], 1)
    apex, near, far = (0, -1.25), rng.uniform(0.3, 0.5), rng.uniform(1.95, 2.15)
    return fill(np.concatenate([near * ray, far * ray[::-1]]) + apex, size)


def fill(outline: np.ndarray, size: int) -> np.ndarray:
    """Returns the inside, (size, size) bool, of a polygon (n, 2) of (x, y) from -1 to 1."""
    corners = ((outline + 1) * (size / 2) - 0.5) * 2**_SUBPIXEL_BITS
    canvas = np.zeros((size, size), np.uint8)
    cv2.fillPoly(canvas, [corners.round().astype(np.int32)], 1, shift=_SUBPIXEL_BITS)
    return canvas.astype(bool)


def visible_masks(scene: Scene) -> list[tuple[str, int, np.ndarray]]:
    """Cuts a scene into masks, as the paper curates: one per connected component.

    Returns:
        Kind, number of the component among those of that kind, and mask (s, s) uint8 0/1.
        Components under `MIN_AREA_FRACTION` of the image are left out.
    """
    masks: list[tuple[str, int, np.ndarray]] = []
    for label, kind in enumerate(scene.kinds, start=1):
        region = np.asarray(scene.labels == label, np.uint8)
        count, parts, stats, _ = cv2.connectedComponentsWithStats(region, connectivity=8)
        for part in range(1, count):
            if stats[part, cv2.CC_STAT_AREA] >= MIN_AREA_FRACTION * region.size:
                component = sum(kind == other for other, _, _ in masks)
                masks.append((kind, component, np.asarray(parts == part, np.uint8)))
    return masks


def _draw_kinds(rng: np.random.Generator) -> list[str]:
    """Draws the kinds of the structures of a scene, from back to front."""
    count = int(rng.integers(3, 7))
    drawn = rng.choice(list(KINDS), size=count)
    return sorted(map(str, drawn), key=list(KINDS).index)


def _star(rng: np.random.Generator, roughness: float) -> np.ndarray:
    """Draws a wavy outline around the origin with a radius of about 1."""
    angles = np.linspace(0, 2 * np.pi, _POINTS, endpoint=False)
    radius = np.ones(_POINTS)
    for frequency in range(2, 7):
        amplitude = roughness * rng.normal() * (2 / frequency) ** 1.4
        radius += amplitude * np.cos(frequency * angles + rng.uniform(0, 2 * np.pi))
    radius = np.clip(radius, 0.25, 1.8)
    return np.stack([radius * np.cos(angles), radius * np.sin(angles)], 1)


def _rotate(outline: np.ndarray, angle: float) -> np.ndarray:
    cosine, sine = np.cos(angle), np.sin(angle)
    return outline @ np.array([[cosine, sine], [-sine, cosine]])


def _bend(outline: np.ndarray, bend: float) -> np.ndarray:
    """Bends an outline along x into an arc; `bend` is the rise of its ends."""
    x, y = outline.T
    rise = bend * (x / np.abs(x).max()) ** 2
    return np.stack([x, y + rise - rise.mean()], 1)


def _organ(rng: np.random.Generator) -> np.ndarray:
    """Draws a large, irregular outline, as of a liver or a muscle."""
    size = rng.uniform(0.28, 0.45)
    outline = _star(rng, roughness=0.22) * (size, size * rng.uniform(0.55, 0.9))
    return _rotate(outline, rng.uniform(0, 2 * np.pi))


def _crescent(rng: np.random.Generator) -> np.ndarray:
    """Draws a bent, tapering outline, as of a spleen or a heart muscle."""
    length = rng.uniform(0.28, 0.45)
    outline = _star(rng, roughness=0.07) * (length, length * rng.uniform(0.3, 0.45))
    bent = _bend(outline, rng.uniform(0.45, 0.95) * length)
    return _rotate(bent, rng.uniform(0, 2 * np.pi))


def _lobe(rng: np.random.Generator) -> np.ndarray:
    """Draws a middle-sized outline with notches, as of a kidney or a tumour."""
    size = rng.uniform(0.17, 0.28)
    outline = _star(rng, roughness=0.24) * (size, size * rng.uniform(0.6, 0.9))
    return _rotate(outline, rng.uniform(0, 2 * np.pi))


def _tube(rng: np.random.Generator) -> np.ndarray:
    """Draws a long, slightly bent outline, mostly oblique, as of a vessel."""
    length = rng.uniform(0.3, 0.5)
    outline = _star(rng, roughness=0.08) * (length, length * rng.uniform(0.24, 0.36))
    oblique = rng.choice([-1, 1]) * rng.uniform(0.15, 0.35) * np.pi
    return _rotate(_bend(outline, rng.uniform(-0.4, 0.4) * length), oblique)


def _nodule(rng: np.random.Generator) -> np.ndarray:
    """Draws a small outline, nearly round, as of a gland or a cyst."""
    size = rng.uniform(0.1, 0.16)
    return _star(rng, roughness=0.12) * (size, size * rng.uniform(0.7, 1.0))


KINDS: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "organ": _organ,
    "crescent": _crescent,
    "lobe": _lobe,
    "tube": _tube,
    "nodule": _nodule,
}
