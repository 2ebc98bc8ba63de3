"""Pixels of labels as they are stored, and evidence of their meaning.

A code is one number for a pixel: its value, the number of its colour in a palette, or its colour
as 0xrrggbb; `CLEAR` where it is transparent.
"""

import dataclasses
from collections.abc import Mapping

import cv2
import numpy as np

from samjax.curation.case import CaseError

CLEAR = -1
MANY_CODES = 1024  # More colours are smeared or no labels.
MOST_CODES = 1 << 16
EVEN = 10  # Largest difference of pixels within an even area, of 255: JPEG's noise.
SMALLEST_AREA = 0.0005  # Smallest share of a picture that an even area covers.
_PLANES = 7  # Slices of a volume that are analysed.
_PIECES = 32  # Labels of a picture whose pieces are counted.


@dataclasses.dataclass(frozen=True)
class LabelPixels:
    """Labels as they are stored.

    Attributes:
        values: Numbers, (h, w) or (x, y, z); colours have one more axis, RGB or RGBA uint8.
        is_colour: Whether the values are colours.
        indices: Number of each pixel's colour in a palette, if the file has one with colours.
    """

    values: np.ndarray
    is_colour: bool = False
    indices: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Evidence:
    """Evidence of the meaning of one label file. Small, of JSON's types.

    Attributes:
        is_colour: Whether the file has colours.
        has_alpha: Whether some pixels are transparent and others are not.
        depth: Largest number that a pixel could hold, of whole numbers.
        total: Pixels that are not transparent.
        codes: [code, pixels, even, between, at the border] of each code; even: in an even 3 x 3,
            between: with a darker and a brighter neighbour. Empty if there are too many colours.
        levels: [code, pixels, at the border] of areas that are even but for JPEG's noise.
        indices: [colour, number] of a palette.
        in_one_piece: Share of the labels that are in one piece.
        places: [code, x, y] of the centre of some labels, in thousandths of the picture's sides.
        is_exact: Whether `codes` is complete.
    """

    is_colour: bool
    has_alpha: bool
    depth: int
    total: int
    codes: list[list[int]]
    levels: list[list[int]]
    indices: list[list[int]]
    in_one_piece: float
    places: list[list[int]]
    is_exact: bool


def as_pixels(stored: np.ndarray | LabelPixels) -> LabelPixels:
    """Interprets pixels of three or four bytes as colours, any others as numbers.

    Equal channels are grey; a constant alpha channel is dropped.
    """
    if isinstance(stored, LabelPixels):
        return stored
    if stored.ndim != 3 or stored.shape[2] not in (3, 4) or stored.dtype != np.uint8:
        return LabelPixels(stored)
    if stored.shape[2] == 4 and np.ptp(stored[..., 3]):
        return LabelPixels(stored, True)
    is_grey = (stored[..., :3] == stored[..., :1]).all()
    return LabelPixels(stored[..., 0]) if is_grey else LabelPixels(stored[..., :3], True)


def whole_numbers(stored: np.ndarray) -> np.ndarray:
    """Converts numbers to integers from 0 on.

    Raises:
        CaseError: Some are not whole, or negative.
    """
    if stored.dtype == bool:
        return stored.astype(np.uint8)
    if stored.dtype.kind == "f":
        rounded = np.rint(stored)
        if not np.array_equal(rounded, stored):
            wrong = stored[(rounded != stored) | ~np.isfinite(stored)].ravel()[0]
            raise CaseError(f"expected whole numbers as labels, found {wrong:g}")
        stored = rounded.astype(np.int64)
    if stored.dtype.kind not in "iu":
        raise CaseError(f"expected whole numbers as labels, found {stored.dtype}")
    if stored.min() < 0:
        raise CaseError(f"expected labels from 0 on, found {stored.min()}")
    return stored


def packed(colours: np.ndarray) -> np.ndarray:
    """Converts colours (..., 3 or 4) uint8 to codes, (...) int32; `CLEAR` if transparent."""
    red, green, blue = (colours[..., i].astype(np.int32) for i in range(3))
    codes = red << 16 | green << 8 | blue
    if colours.shape[-1] == 4:
        codes[is_clear(colours)] = CLEAR
    return codes


def unpacked(code: int) -> tuple[int, int, int]:
    """Returns red, green and blue of a code."""
    return code >> 16 & 255, code >> 8 & 255, code & 255


def is_clear(colours: np.ndarray) -> np.ndarray:
    """Returns a mask of the transparent pixels; empty if all pixels are transparent."""
    clear = colours[..., 3] < 128
    return clear if not clear.all() else np.zeros_like(clear)


def present(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the codes that occur, in order, and their counts."""
    if codes.dtype in (np.uint8, np.uint16):
        counts = np.bincount(codes.ravel(), minlength=1)
        found = np.flatnonzero(counts)
        return found, counts[found]
    return np.unique(codes, return_counts=True)


def gather_evidence(pixels: LabelPixels) -> Evidence:
    """Gathers evidence of the meaning of labels.

    Raises:
        CaseError: The pixels cannot be labels.
    """
    values, has_alpha = pixels.values, False
    if pixels.is_colour:
        if values.shape[-1] == 4:
            clear = is_clear(values)
            has_alpha = bool(clear.any())
            values = np.where(clear[..., None], np.uint8(0), values[..., :3])
        codes = packed(pixels.values if has_alpha else values)
        depth = 255
    else:
        codes = values = whole_numbers(values)
        depth = int(np.iinfo(values.dtype).max) if values.dtype.kind == "u" else 0
        depth = depth if depth in (255, 65535) else 0
    found, counts = present(codes)
    is_exact = len(found) <= (MANY_CODES if pixels.is_colour else MOST_CODES)
    table = {int(c): [int(c), int(n), 0, 0, 0] for c, n in zip(found, counts, strict=True)}
    levels: dict[int, list[int]] = {}
    for plane, coded in _planes(values, codes, pixels.is_colour):
        low, high = _extremes(plane)
        if is_exact:
            _count(table, coded, low, high, plane)
        for code, count, at_border in _levels(plane, coded, low, high):
            one = levels.setdefault(code, [code, 0, 0])
            one[1:] = one[1] + count, one[2] + at_border
    middle = codes if codes.ndim == 2 else codes[:, :, codes.shape[2] // 2]
    in_one_piece, places = _pieces(middle)
    return Evidence(
        is_colour=pixels.is_colour,
        has_alpha=has_alpha,
        depth=depth,
        total=int(np.count_nonzero(codes != CLEAR)),
        codes=[*table.values()] if is_exact else [],
        levels=[*levels.values()],
        indices=_numbered(codes, pixels.indices),
        in_one_piece=in_one_piece,
        places=places,
        is_exact=is_exact,
    )


def _planes(values: np.ndarray, codes: np.ndarray, is_colour: bool):
    """Yields slices of a volume, or the picture itself, (h, w, c), with their codes."""
    flat = values if is_colour else values[..., None]
    if codes.ndim == 2:
        yield flat, codes
        return
    for z in np.unique(np.linspace(0, codes.shape[2] - 1, _PLANES).astype(int)):
        yield flat[:, :, z], codes[:, :, z]


def _extremes(plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the lowest and the highest value in every pixel's 3 x 3, channel by channel."""
    kind = plane.dtype if plane.dtype in (np.uint8, np.uint16) else np.float32
    image = np.ascontiguousarray(plane, kind)
    square = np.ones((3, 3), np.uint8)
    edge = cv2.BORDER_REPLICATE
    low, high = (f(image, square, borderType=edge) for f in (cv2.erode, cv2.dilate))
    return low.reshape(plane.shape), high.reshape(plane.shape)


def _count(
    table: Mapping[int, list[int]],
    codes: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    plane: np.ndarray,
) -> None:
    even = (low == high).all(-1)
    between = ((low < plane) & (plane < high)).any(-1)
    border = _border(codes)
    for column, part in ((2, codes[even]), (3, codes[between]), (4, border)):
        for code, count in zip(*present(part), strict=True):
            table[int(code)][column] += int(count)


def _border(codes: np.ndarray) -> np.ndarray:
    return np.concatenate([codes[0], codes[-1], codes[1:-1, 0], codes[1:-1, -1]])


def _levels(
    plane: np.ndarray, coded: np.ndarray, low: np.ndarray, high: np.ndarray
) -> list[tuple[int, int, int]]:
    """Returns codes of areas that are even but for noise, the largest first, without ramps."""
    if plane.dtype != np.uint8:
        return []
    even = (high - low <= EVEN).all(-1) & (coded != CLEAR)
    colour = plane.shape[-1] == 3
    codes = packed(plane) if colour else plane[..., 0]
    found, counts = present(codes[even])
    points = np.stack([found >> s & 255 for s in ((16, 8, 0) if colour else (0,))], axis=-1)
    border, at_border = present(_border(codes))
    border_points = np.stack([border >> s & 255 for s in ((16, 8, 0) if colour else (0,))], axis=-1)
    least = max(9.0, SMALLEST_AREA * codes.size)
    left = counts.copy()
    levels = []
    while left.size and len(levels) < 256:
        centre = points[left.argmax()]
        away = np.abs(points - centre).max(-1)
        near, core = away <= 2 * EVEN, away <= EVEN // 2
        mass = int(left[near].sum())
        if mass < least:
            break
        if left[core].sum() >= 0.7 * mass:
            touching = np.abs(border_points - centre).max(-1) <= 2 * EVEN
            code = int(found[left.argmax()])
            levels.append((code, mass, int(at_border[touching].sum())))
        left[near] = 0
    return levels


def _numbered(codes: np.ndarray, indices: np.ndarray | None) -> list[list[int]]:
    if indices is None:
        return []
    pairs = np.unique(codes.astype(np.int64) << 16 | indices)
    return [[int(pair >> 16), int(pair & 0xFFFF)] for pair in pairs]


def _pieces(plane: np.ndarray) -> tuple[float, list[list[int]]]:
    """Returns the share of labels in one piece, and the positions of some labels."""
    labels, _ = present(plane[plane != 0])
    if not len(labels):
        return 1.0, []
    chosen = labels[np.unique(np.linspace(0, len(labels) - 1, _PIECES).astype(int))]
    single, places = 0, []
    for one in chosen:
        mask = (plane == one).astype(np.uint8)
        single += cv2.connectedComponents(mask)[0] == 2
        rows, columns = np.nonzero(mask)
        x, y = (
            1000 * v.mean() / side
            for v, side in zip((columns, rows), plane.shape[::-1], strict=True)
        )
        places.append([int(one), int(x), int(y)])
    return single / len(chosen), places
