"""Classes of a data folder, and label maps made of the masks of an image."""

import colorsys
import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np

from samjax import fields
from samjax.data import metadata
from samjax.data.files import DataError
from samjax.data.index import Sample

_Channel = Annotated[int, fields.Range(0, 255)]
_GOLDEN_RATIO = 0.618  # Steps of the hue by it: neighbours differ, however many there are.


@dataclasses.dataclass(frozen=True)
class SemanticClass:
    """One class of a semantic model.

    Attributes:
        name: Its name in the data.
        color: Its colour in pictures and legends, RGB.

    Raises:
        ValueError: A field has an invalid value.
    """

    name: str
    color: tuple[_Channel, _Channel, _Channel]

    def __post_init__(self) -> None:
        fields.check(self)


def with_colors(names: Sequence[str]) -> tuple[SemanticClass, ...]:
    """Gives every class a colour, by its position.

    Raises:
        ValueError: A name is empty or occurs several times.
    """
    check_names(names)
    return tuple(SemanticClass(name, _color(i)) for i, name in enumerate(names))


def check_names(names: Sequence[str]) -> None:
    """Checks that every class has a name of its own.

    Raises:
        ValueError: A name is empty or occurs several times.
    """
    for name, count in Counter(names).items():
        if not name:
            raise fields.FieldError("classes", f"expected a name of every class, found {[*names]}")
        if count > 1:
            problem = f"expected different names, found {name!r} {count} times"
            raise fields.FieldError("classes", problem)


def numbered(count: int) -> tuple[SemanticClass, ...]:
    """Names classes `class_1`, `class_2`, ..., where nothing says what they are."""
    return with_colors([f"class_{number}" for number in range(1, count + 1)])


def class_names(root: str | Path, samples: Iterable[Sample]) -> dict[str, str]:
    """Returns the class of every mask, by the mask's path.

    Raises:
        DataError: A table of the folder cannot be read, or a mask's class is unknown.
    """
    pairs = [(sample.image, mask) for sample in samples for mask in sample.masks]
    found = metadata.describe_masks(Path(root), pairs)
    names = {mask: found[mask].class_name for _, mask in pairs}
    unknown = [mask for mask, name in names.items() if name == metadata.UNKNOWN]
    if unknown:
        raise DataError(
            f"{root}: expected the class of every mask, in a column `class` of {metadata.TABLE} or "
            f"in its name, found none for {len(unknown)} masks, the first {unknown[0]}"
        )
    return names


def label_map(masks: np.ndarray, labels: Sequence[int]) -> tuple[np.ndarray, int]:
    """Makes a label map of the masks of one image; where they overlap, the smallest is on top.

    Args:
        masks: Masks, (n, h, w) uint8 0/1.
        labels: Label of each, from 1.

    Returns:
        The map (h, w) uint8, 0 for the background, and the number of pixels that masks of
        different labels share.
    """
    areas = [int(mask.sum()) for mask in masks]
    # Of equal areas, the first is on top.
    order = sorted(range(len(masks)), key=lambda i: (-areas[i], -i))
    found = np.zeros(masks.shape[1:], np.uint8)
    shared = np.zeros(masks.shape[1:], bool)
    for i in order:
        inside = masks[i] != 0
        shared |= inside & (found != 0) & (found != labels[i])
        found[inside] = labels[i]
    return found, int(shared.sum())


@dataclasses.dataclass(frozen=True)
class Overlaps:
    """Pixels that a label map takes from masks, because masks of other classes share them.

    Attributes:
        images: Images with such pixels.
        shared: Such pixels, in all images.
        covered: Pixels in any mask, in all images.
    """

    images: int = 0
    shared: int = 0
    covered: int = 0

    def __add__(self, other: "Overlaps") -> "Overlaps":
        """Returns the overlaps of both sets of images."""
        return Overlaps(
            self.images + other.images, self.shared + other.shared, self.covered + other.covered
        )

    def __str__(self) -> str:
        share = self.shared / max(self.covered, 1)
        return (
            f"masks of different classes overlap in {self.images:,} images, {share:.2%} of pixels"
        )


def overlaps(masks: Sequence[np.ndarray], names: Sequence[str]) -> Overlaps:
    """Counts the pixels of one image that masks of different classes share.

    Args:
        masks: Masks, each (h, w) uint8 0/1.
        names: Class of each.
    """
    if not masks:
        return Overlaps()
    label = {name: number for number, name in enumerate(dict.fromkeys(names), 1)}
    found, shared = label_map(np.stack(masks), [label[name] for name in names])
    return Overlaps(int(shared > 0), shared, int(np.count_nonzero(found)))


def numbers(classes: Iterable[SemanticClass]) -> Mapping[str, int]:
    """Returns the label of every class, from 1, by its name."""
    return {each.name: number for number, each in enumerate(classes, 1)}


def _color(index: int) -> tuple[int, int, int]:
    hue = index * _GOLDEN_RATIO % 1
    value = (1.0, 0.8, 0.65)[index // 8 % 3]
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.75, value))
    return red, green, blue
