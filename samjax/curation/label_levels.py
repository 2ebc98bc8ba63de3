"""Restores greys or colours of labels that were smeared by JPEG or antialiasing."""

from collections.abc import Iterable, Mapping, Sequence

import cv2
import numpy as np

from samjax.curation.label_background import CodeCounts, FileCounts
from samjax.curation.label_pixels import CLEAR, Evidence, unpacked

THIN = 0.02  # Smallest share of pixels of a thin label among smeared ones.
MOST = 256  # Most colours of a picture: more are no classes.
APART = 20  # Smallest difference of two smeared levels, of 255.
NEAR = 40  # Largest difference of a smeared level from that of a table.
ROUNDING = 8  # Largest distance of a mixture from the line between two colours, of 255.
REACH = 3.0  # Pixels that a smeared pixel's label may be farther away than the nearest label.


def points(codes: Iterable[int], is_colour: bool = True) -> np.ndarray:
    """Converts codes to points of one or three numbers, (n, 1 or 3)."""
    rows = [unpacked(code) if is_colour else (code,) for code in codes]
    return np.array(rows, np.int64).reshape(len(rows), 3 if is_colour else 1)


def merged(levels: Iterable[tuple[int, int]], is_colour: bool) -> list[int]:
    """Merges levels of many pictures, (code, pixels): the most frequent of similar ones."""
    counts: dict[int, int] = {}
    for code, count in levels:
        counts[code] = counts.get(code, 0) + count
    distinct: list[int] = []
    for code in sorted(counts, key=lambda c: -counts[c]):
        away = np.abs(points(distinct, is_colour) - points([code], is_colour)).max(-1, initial=0)
        if (away >= APART).all():
            distinct.append(code)
    return sorted(distinct)


def without_mixtures(codes: Mapping[int, bool]) -> list[int]:
    """Drops colours that are mixtures at the edges between labels.

    A colour that is not solid, and lies between two solid ones or near one, is an edge.
    """
    solid = points([code for code, is_solid in codes.items() if is_solid]).astype(float)
    distinct = []
    for code, is_solid in codes.items():
        colour = points([code])[0].astype(float)
        is_near = bool((np.abs(solid - colour).max(-1, initial=0) <= ROUNDING).any())
        if is_solid or not (is_near or _is_mixture(colour, solid)):
            distinct.append(code)
    return distinct


def even_or_thin(evidence: Sequence[Evidence], sums: FileCounts, is_colour: bool) -> list[int]:
    """Returns the levels of even areas, and of thin labels that differ from them."""
    even = merged([(code, count) for one in evidence for code, count, _ in one.levels], is_colour)
    pixels = sum(one.pixels for one in sums.values())
    thin = [
        code
        for code, one in sums.items()
        if code != CLEAR and one.is_solid and one.pixels >= THIN * pixels
    ]
    if is_colour:
        thin = without_mixtures({**dict.fromkeys(thin, False), **dict.fromkeys(even, True)})
    # Even levels first: thin ones that are similar to one of them are dropped.
    return merged([*((c, 2) for c in even), *((c, 1) for c in thin)], is_colour)


def nearest(codes: Sequence[int], levels: Sequence[int], is_colour: bool) -> list[int]:
    """Returns the level nearest to each code; `CLEAR` stays `CLEAR`."""
    solid = [level for level in levels if level != CLEAR]
    if not solid:
        return list(codes)
    anchors = points(solid, is_colour)
    found = []
    for code in codes:
        away = ((anchors - points([code], is_colour)) ** 2).sum(-1)
        found.append(code if code == CLEAR else solid[int(away.argmin())])
    return found


def by_level(
    pictures: Sequence[FileCounts], levels: Sequence[int], is_colour: bool
) -> list[dict[int, CodeCounts]]:
    """Sums the counts of codes by their nearest levels."""
    found = []
    for picture in pictures:
        of_levels: dict[int, CodeCounts] = {}
        near = nearest([*picture], levels, is_colour)
        for code, level in zip(picture, near, strict=True):
            of_levels.setdefault(level, CodeCounts()).add(picture[code])
        found.append(of_levels)
    return found


def matched(levels: Sequence[int], table: Iterable[int], is_colour: bool, near: int) -> list[int]:
    """Replaces levels that a table lacks by its nearest code, if that is near enough."""
    found = {level: level for level in levels}
    left = [code for code in table if code not in found]
    # Black never stands for a dark class.
    free = [level for level in levels if level and level not in {*table}]
    away = {
        (int(np.abs(points([code], is_colour) - points([level], is_colour)).max()), code, level)
        for code in left
        for level in free
    }
    for distance, code, level in sorted(away):
        if distance <= near and code in left and level in free:
            found[level] = code
            left.remove(code)
            free.remove(level)
    return [*found.values()]


def rounded(code: int) -> int:
    """Rounds a colour of JPEG to the probable original: 254 to 255, 1 to 0."""
    channels = [
        next((whole for whole in (0, 64, 128, 192, 255) if abs(v - whole) <= 4), v)
        for v in unpacked(code)
    ]
    return channels[0] << 16 | channels[1] << 8 | channels[2]


def assign(image: np.ndarray, levels: Sequence[int]) -> np.ndarray:
    """Assigns every pixel a level: its own, or at a smeared edge the most similar adjacent one.

    Args:
        image: Whole numbers, (h, w, 1 or 3).
        levels: Codes of the levels.

    Returns:
        Numbers of levels, (h, w) uint8.
    """
    anchors = points(levels, image.shape[-1] == 3)
    away = np.stack([((image - a) ** 2).sum(-1) for a in anchors.astype(np.float32)])
    near = away.argmin(0).astype(np.uint8)
    # A mixture may have the colour of a third label, which is accepted in even areas only.
    own = away.min(0) <= image.shape[-1] * APART**2 / 4
    square = np.ones((3, 3), np.uint8)
    sure = np.zeros_like(own)
    for number, anchor in enumerate(anchors.astype(float)):
        mask = own & (near == number)
        others = np.delete(anchors, number, 0).astype(float)
        if _is_mixture(anchor, others):
            core = cv2.erode(mask.astype(np.uint8), square, borderType=cv2.BORDER_REPLICATE)
            mask &= cv2.dilate(core, square) > 0
        sure |= mask
    if not sure.any() or sure.all():
        return near
    distance = np.full(away.shape, np.inf, np.float32)
    for number in range(len(anchors)):
        mask = sure & (near == number)
        if mask.any():
            distance[number] = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 3)
    beside = distance <= distance.min(0) + REACH
    best = np.where(beside, away, np.inf).argmin(0).astype(np.uint8)
    return np.where(sure, near, best)


def _is_mixture(colour: np.ndarray, others: np.ndarray) -> bool:
    """Whether a colour lies between two others."""
    if len(others) < 2:
        return False
    first, second = (others[i] for i in np.triu_indices(len(others), 1))
    along = second - first
    length = np.maximum((along**2).sum(-1), 1e-9)
    share = ((colour - first) * along).sum(-1) / length
    off = np.abs(colour - (first + share[:, None] * along)).max(-1)
    margin = ROUNDING / np.sqrt(length)
    return bool(((share > margin) & (share < 1 - margin) & (off <= ROUNDING)).any())
