"""Converts the pixels of label files to label maps."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from samjax.curation import label_kinds, label_levels, label_messages
from samjax.curation.case import LABEL, CaseError, Coding, LabelMap
from samjax.curation.label_background import code_of, table_of
from samjax.curation.label_pixels import (
    CLEAR,
    LabelPixels,
    as_pixels,
    gather_evidence,
    is_clear,
    packed,
    present,
    whole_numbers,
)
from samjax.curation.options import Dataset, several

OBJECT = "object"
MOST = 255  # Labels in one map of 8 bits.


def to_label_maps(
    stored: np.ndarray | LabelPixels,
    known: Dataset,
    class_name: str = "",
    coding: Coding | None = None,
) -> list[LabelMap]:
    """Converts a label image or volume to label maps.

    Where a table of classes is given, labels that it does not name are left out, and counted.

    Args:
        stored: Decoded pixels: (h, w), (h, w, 3 or 4) RGB, or a volume (x, y, z).
        known: Description with its classes and the meaning of its values.
        class_name: The only class, if the file's name states it.
        coding: Meaning of the labels of its data set; decided by this file alone if None.

    Returns:
        One map, or several if classes of a table overlap.

    Raises:
        CaseError: The pixels cannot be labels.
    """
    pixels = as_pixels(stored)
    coding = coding or label_kinds.decide([gather_evidence(pixels)], known)[0]
    name = class_name or known.class_name
    if not name and len(known.classes) == 1:
        name = next(iter(known.classes))
    if coding.reading == "alpha":
        if not pixels.is_colour or pixels.values.shape[-1] < 4:
            raise CaseError("expected a mask in the alpha channel, found none")
        mask = pixels.values[..., 3] >= 128
        return [LabelMap(mask.astype(np.uint8), {1: name or OBJECT})]
    codes = _codes(pixels, coding)
    if coding.kind == "binary":
        return [LabelMap(_foreground(codes, coding), {1: name or OBJECT})]
    found = [int(code) for code in present(codes)[0]]
    objects = [code for code in found if code not in {*coding.background, *coding.ignore}]
    if coding.kind == "instances":
        numbers = {code: number for number, code in enumerate(objects, start=1)}
        values = _numbered(codes, numbers)
        return [LabelMap(values, dict.fromkeys(numbers.values(), name or OBJECT))]
    return _classes(codes, objects, known, name, coding)


def _codes(pixels: LabelPixels, coding: Coding) -> np.ndarray:
    """Returns the code of every pixel."""
    values = pixels.values
    if coding.reading == "indices":
        if pixels.indices is not None:
            return pixels.indices
        raise CaseError("expected a palette of colours, found none")
    if coding.reading == "numbers":
        if pixels.is_colour:
            raise CaseError("expected labels of grey values, found colours")
        values = whole_numbers(values)
        return _smeared(values[..., None], coding) if coding.levels else values
    if not pixels.is_colour:
        grey = np.minimum(whole_numbers(values), 255).astype(np.uint8)
        values = np.stack([grey] * 3, axis=-1)
    if not coding.levels:
        return packed(values)
    codes = _smeared(values[..., :3], coding)
    if values.shape[-1] == 4:
        codes[is_clear(values)] = CLEAR
    return codes


def _smeared(image: np.ndarray, coding: Coding) -> np.ndarray:
    """Returns the level of every pixel of an image, or of a volume slice by slice."""
    levels = np.array(coding.levels)
    if image.ndim == 3:
        return levels[label_levels.assign(image, coding.levels)]
    planes = [label_levels.assign(image[:, :, z], coding.levels) for z in range(image.shape[2])]
    return levels[np.stack(planes, axis=2)]


def _foreground(codes: np.ndarray, coding: Coding) -> np.ndarray:
    if coding.half < 0:
        return (~np.isin(codes, (*coding.background, *coding.ignore))).astype(np.uint8)
    if coding.half == 0:  # Files outside the sample may differ.
        found = {int(code) for code in present(codes)[0]} - {0, *coding.ignore}
        if found and (len(found) > 1 or max(found) not in (1, 255, np.iinfo(codes.dtype).max)):
            listed = ", ".join(map(str, sorted(found)[:8]))
            raise CaseError(
                f"expected one object, as in the others of its data set, found labels {listed}"
            )
    mask = codes > coding.half
    if coding.ignore:
        mask &= ~np.isin(codes, coding.ignore)
    return mask.astype(np.uint8)


def _classes(
    codes: np.ndarray, objects: list[int], known: Dataset, name: str, coding: Coding
) -> list[LabelMap]:
    table = table_of(known)
    if coding.reading == "colours" and not coding.levels and len(objects) > label_levels.MOST:
        raise CaseError(
            "expected labels of a few colours, as in the others of its data set, found "
            f"{len(objects)} colours"
        )
    if not table:
        numbers = _own_numbers(objects, coding)
        pattern = "colour_{0:06x}" if coding.reading == "colours" else LABEL
        names = {number: pattern.format(code) for code, number in numbers.items()}
        if name and len(names) == 1:
            names = dict.fromkeys(names, name)
        return [LabelMap(_numbered(codes, numbers), names)]
    unnamed = [code for code in objects if code not in table]
    if unnamed and set(unnamed) <= {*coding.lacking} and len(unnamed) == len(objects):
        raise CaseError(label_messages.mismatch(table, unnamed, coding.reading))
    maps = []
    for classes in _disjoint(known):
        numbers, names = {}, {}
        as_stored = coding.reading != "colours" and not any(
            0 in codes for codes in classes.values()
        )
        for count, (label, of_class) in enumerate(classes.items(), start=1):
            number = of_class[0] if as_stored else count
            names[number] = label
            numbers |= dict.fromkeys(of_class, number)
        maps.append(LabelMap(_numbered(codes, numbers), names, unnamed=0 if maps else len(unnamed)))
    return maps


def _disjoint(known: Dataset) -> list[dict[str, tuple[int, ...]]]:
    """Splits classes that share codes into groups in which each code occurs once."""
    parts: list[dict[str, tuple[int, ...]]] = []
    for name, value in known.classes.items():
        codes = tuple(map(code_of, several(value)))
        free = (p for p in parts if not {*codes} & {code for other in p.values() for code in other})
        part = next(free, None)
        if part is None:
            part = {}
            parts.append(part)
        part[name] = codes
    return parts


def _own_numbers(objects: Sequence[int], coding: Coding) -> dict[int, int]:
    """Returns the label of every code: itself, except for colours and for 0 as an object."""
    if coding.reading == "colours":
        return {code: number for number, code in enumerate(objects, start=1)}
    return {code: code or max(objects) + 1 for code in objects}


def _numbered(codes: np.ndarray, numbers: Mapping[int, int]) -> np.ndarray:
    """Returns the labels of pixels, 0 for codes without a label."""
    kind = np.min_scalar_type(max(numbers.values(), default=0))
    if not numbers:
        return np.zeros(codes.shape, kind)
    keys = np.array(sorted(numbers))
    labels = np.array([numbers[int(key)] for key in keys], kind)
    if codes.dtype in (np.uint8, np.uint16):
        table = np.zeros(np.iinfo(codes.dtype).max + 1, kind)
        fits = keys[(keys >= 0) & (keys < len(table))]
        table[fits] = labels[np.isin(keys, fits)]
        return table[codes]
    place = np.minimum(np.searchsorted(keys, codes), len(keys) - 1)
    return np.where(keys[place] == codes, labels[place], kind.type(0))


def layered(masks: Iterable[tuple[str, np.ndarray]]) -> list[LabelMap]:
    """Combines masks of a large volume into as few maps as their overlaps allow.

    Args:
        masks: Class and mask, bool; an iterator, so that not all are in memory at a time.
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
