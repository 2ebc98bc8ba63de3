"""From what a label file holds to a map of labels: colours, grey edges, instances, floats."""

from collections.abc import Iterable, Mapping

import cv2
import numpy as np

from samjax.curation.case import CaseError, LabelMap
from samjax.curation.options import Dataset

# A colour that covers less than this share of an image is the edge between two others.
SMALLEST_COLOUR = 0.0005
COLOURS = 32  # More than that are no class colours.
ROUNDING = 8  # How far a mixture of two colours is from the line between them, of 255.
# Of a mask with grey edges, at least this share is black or white.
PURE = 0.75
# From so many labels without names on, each in one piece, they are instances.
MANY = 20
OBJECT = "object"
MOST = 255  # Labels in one map of 8 bits.


def to_label_map(stored: np.ndarray, known: Dataset, class_name: str = "") -> LabelMap:
    """Understands a label image or volume.

    Where a table of classes is given, labels that it does not name are left out, and counted.

    Args:
        stored: As decoded: (h, w), (h, w, 3 or 4) RGB, or a volume (x, y, z).
        known: What is known of it: its classes, and what its values are.
        class_name: The only class, where the file's name says so.

    Raises:
        CaseError: It cannot be labels; the message says why.
    """
    name = class_name or known.class_name
    colours = {c: n for n, c in known.classes.items() if isinstance(c, str)}
    named = {v: n for n, v in known.classes.items() if not isinstance(v, str)}
    if stored.ndim == 3 and stored.shape[2] in (3, 4) and stored.dtype == np.uint8:
        stored = stored[..., :3]
        if colours or (stored != stored[..., :1]).any():
            return _of_colours(stored, colours)
        stored = stored[..., 0]
    values = _whole_numbers(stored)
    if not name and len(known.classes) == 1:
        name = next(iter(known.classes))
    if known.kind == "binary" or (not known.kind and not named and _is_binary(values)):
        return LabelMap(_halved(values), {1: name or OBJECT})
    labels = np.unique(values)
    labels = labels[labels > 0]
    if known.kind == "instances" or (not known.kind and not named and _are_instances(values)):
        return LabelMap(values, dict.fromkeys(labels.tolist(), name or OBJECT))
    if not named:
        return LabelMap(values, {int(labels[0]): name} if name and len(labels) == 1 else {})
    missing = [label for label in labels.tolist() if label not in named]
    kept = np.where(np.isin(values, missing), 0, values) if missing else values
    return LabelMap(kept, named, unnamed=len(missing))


def layered(masks: Iterable[tuple[str, np.ndarray]]) -> list[LabelMap]:
    """Puts masks of a large volume into as few maps as their overlaps allow.

    Args:
        masks: Class and mask, bool; one after the other, so that not all are in memory at a time.
    """
    layers: list[tuple[np.ndarray, dict[int, str]]] = []
    for name, mask in masks:
        free = (one for one in layers if len(one[1]) < MOST and not one[0][mask].any())
        layer = next(free, None)
        if layer is None:
            layer = np.zeros(mask.shape, np.uint8), {}
            layers.append(layer)
        values, names = layer
        names[len(names) + 1] = name
        values[mask] = len(names)
    return [LabelMap(values, names) for values, names in layers]


def _of_colours(image: np.ndarray, table: Mapping[str, str]) -> LabelMap:
    """Gives every pixel the nearest colour: black is background; edges are often antialiased."""
    if table:
        names = [*table.values()]
        palette = [tuple(bytes.fromhex(colour[1:])) for colour in table]
    else:
        palette = _palette(image)
        names = ["colour_" + bytes(colour).hex() for colour in palette]
        if len(palette) > COLOURS:
            raise CaseError(
                f"expected labels of a few colours, found more than {COLOURS}; if it is a label "
                "image, give its colours under `classes`"
            )
    anchors = np.array([(0, 0, 0), *palette], np.int32)
    colours, inverse = np.unique(image.reshape(-1, 3), axis=0, return_inverse=True)
    distance = ((colours[:, None].astype(np.int32) - anchors) ** 2).sum(-1)
    nearest = distance.argmin(1).astype(np.uint8)
    values = nearest[inverse.reshape(image.shape[:2])]
    return LabelMap(values, dict(enumerate(names, start=1)))


def _palette(image: np.ndarray) -> list[tuple[int, ...]]:
    """The colours that stand for classes, the most frequent first: no mixtures of two others."""
    found, counts = np.unique(image.reshape(-1, 3), axis=0, return_counts=True)
    frequent = counts >= SMALLEST_COLOUR * counts.sum()
    order = np.argsort(-counts[frequent], kind="stable")
    anchors = [np.zeros(3)]
    for colour in found[frequent][order].astype(float):
        if len(anchors) > COLOURS + 1:
            break
        if not any(_is_between(colour, a, b) for a in anchors for b in anchors):
            anchors.append(colour)
    return [tuple(colour.astype(int).tolist()) for colour in anchors[1:]]


def _is_between(colour: np.ndarray, one: np.ndarray, other: np.ndarray) -> bool:
    along = other - one
    length = float(along @ along)
    share = float((colour - one) @ along) / length if length else 0.0
    nearest = one + min(max(share, 0.0), 1.0) * along
    return float(np.abs(colour - nearest).max()) <= ROUNDING


def _whole_numbers(stored: np.ndarray) -> np.ndarray:
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


def _is_binary(values: np.ndarray) -> bool:
    """Whether values are one mask: 0 and 1, 0 and 255, or that with grey edges."""
    highest = values.max()
    if highest <= 1 or values.dtype != np.uint8:
        return bool(highest <= 1 or set(np.unique(values).tolist()) <= {0, 255})
    counts = np.bincount(values.ravel(), minlength=256)
    # JPEG makes black and white a little grey.
    pure = counts[:16].sum() + counts[240:].sum()
    few = np.count_nonzero(counts) <= 2
    return bool(highest >= 240 and ((few and counts[255] > 0) or pure >= PURE * values.size))


def _halved(values: np.ndarray) -> np.ndarray:
    return (values > (127 if values.max() > 1 else 0)).astype(np.uint8)


def _are_instances(values: np.ndarray) -> bool:
    labels = np.unique(values)
    labels = labels[labels > 0]
    if len(labels) < MANY:
        return False
    plane = values if values.ndim == 2 else values[:, :, values.shape[2] // 2]
    there = np.unique(plane[plane > 0])
    pieces = [cv2.connectedComponents((plane == one).astype(np.uint8))[0] - 1 for one in there]
    return pieces.count(1) >= 0.9 * len(there)
