"""Elements of the surface of a mask, with their lengths (2D) or areas (3D).

Every group of 2 x 2 (x 2) neighbouring pixels that is neither wholly inside nor wholly outside has
one element at its centre, the common corner of the pixels. Its size is that of the surface which
marching squares (cubes) put there, through the middles between pixels inside and outside. It is the
convention of DeepMind's `surface-distance` (Nikolov et al., 2018).
"""

import functools
import itertools

import numpy as np

Polygon = np.ndarray  # Corners in order, (n, 3).


def elements(mask: np.ndarray, spacing: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the surface elements of a mask; all beyond its array is outside.

    Args:
        mask: Boolean mask, (h, w) or (d, h, w).
        spacing: Distance of pixels along each axis.

    Returns:
        Positions, (n, axes) float64 in units of the spacing, and sizes, (n,) float64.
    """
    padded = np.pad(np.asarray(mask, bool), 1)
    code = np.zeros([size - 1 for size in padded.shape], np.uint8)
    for bit, corner in enumerate(_corners(mask.ndim)):
        part = padded[tuple(slice(c, c + n) for c, n in zip(corner, code.shape, strict=True))]
        code |= part.astype(np.uint8) << bit
    at = np.nonzero((code != 0) & (code != 2**2**mask.ndim - 1))
    positions = np.stack(at, axis=1) * np.asarray(spacing, float)
    return positions, sizes(tuple(map(float, spacing)))[code[at]]


@functools.lru_cache
def sizes(spacing: tuple[float, ...]) -> np.ndarray:
    """Returns the size of the element of every code: bit `i` is the pixel at corner `i`.

    Args:
        spacing: Distance of pixels along each axis.
    """
    if len(spacing) == 2:
        return np.array([_length(_inside(code, 2), spacing) for code in range(16)])
    areas = (np.linalg.norm(_normals(t * spacing), axis=-1).sum() for t in _triangles_by_code())
    return np.array([*areas])


def _inside(code: int, axes: int) -> set[tuple[int, ...]]:
    """Returns the corners inside of a code."""
    return {corner for bit, corner in enumerate(_corners(axes)) if code >> bit & 1}


def _corners(axes: int) -> list[tuple[int, ...]]:
    return list(itertools.product((0, 1), repeat=axes))


def _length(inside: set[tuple[int, ...]], spacing: tuple[float, ...]) -> float:
    """Returns the length of marching squares: segments between middles of edges."""
    height, width = spacing
    half_diagonal = 0.5 * float(np.hypot(height, width))
    if len(inside) in (1, 3):
        return half_diagonal
    if len(inside) != 2:
        return 0.0
    (y0, x0), (y1, x1) = inside
    return width if y0 == y1 else height if x0 == x1 else 2 * half_diagonal


@functools.lru_cache
def _triangles_by_code() -> list[np.ndarray]:
    """Returns the triangles of marching cubes, (t, 3, 3), in a cube of side 1, for every code.

    Of a group and its complement they are the same.
    """
    found = []
    for code in range(256):
        inside = _inside(code, 3)
        fewer = inside if len(inside) <= 4 else {*_corners(3)} - inside
        triangles = [_triangulate(polygon) for polygon in _polygons(fewer)]
        found.append(np.concatenate([np.zeros((0, 3, 3)), *triangles]))
    return found


def _normals(triangles: np.ndarray) -> np.ndarray:
    """Returns half of the cross product of two sides: its length is the area."""
    first, second, third = np.moveaxis(triangles, -2, 0)
    return np.cross(second - first, third - first) / 2


def _polygons(inside: set[tuple[int, ...]]) -> list[Polygon]:
    """Returns the polygons that separate the corners inside a cube from those outside.

    On every face, segments join the middles of two edges around each corner inside, or around two
    of them that are neighbours; opposite corners are separated. Segments make closed polygons.
    """
    segments = [
        segment
        for axis, side in itertools.product(range(3), (0, 1))
        for segment in _segments(inside, axis, side)
    ]
    polygons = []
    while segments:
        polygon = list(segments.pop())
        while polygon[-1] != polygon[0]:
            at = next(i for i, ends in enumerate(segments) if polygon[-1] in ends)
            first, second = segments.pop(at)
            polygon.append(second if first == polygon[-1] else first)
        polygons.append(np.array(polygon[:-1]))
    return polygons


def _segments(inside: set[tuple[int, ...]], axis: int, side: int) -> list[tuple]:
    """Returns the segments on one face of a cube, as pairs of points."""
    around = [(0, 0), (0, 1), (1, 1), (1, 0)]
    face = [(*place[:axis], side, *place[axis:]) for place in around]
    middles = [tuple(np.add(face[i], face[(i + 1) % 4]) / 2) for i in range(4)]
    is_inside = [corner in inside for corner in face]
    crossed = [i for i in range(4) if is_inside[i] != is_inside[(i + 1) % 4]]
    if len(crossed) == 4:
        return [(middles[i - 1], middles[i]) for i in range(4) if is_inside[i]]
    return [tuple(middles[i] for i in crossed)] if crossed else []


def _triangulate(polygon: Polygon) -> np.ndarray:
    """Returns the triangles, (t, 3, 3), with the largest area in a cube of side 1."""

    def all_of(first: int, last: int) -> list[list[tuple[int, int, int]]]:
        if last - first < 2:
            return [[]]
        return [
            [*before, (first, middle, last), *after]
            for middle in range(first + 1, last)
            for before in all_of(first, middle)
            for after in all_of(middle, last)
        ]

    options = [polygon[np.array(option)] for option in all_of(0, len(polygon) - 1)]
    return max(options, key=lambda t: round(np.linalg.norm(_normals(t), axis=-1).sum(), 9))
