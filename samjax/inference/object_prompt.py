"""Prompts of one object, checked, and the packing of many objects for jit."""

import dataclasses
import reprlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from samjax import types
from samjax.data import inputs

# Arguments of `Predictor.predict`: field of `ObjectPrompt`, shape and rank for one object.
_ARGUMENTS = {
    "point_coords": ("points", "(N, 2)", 2),
    "point_labels": ("labels", "(N,)", 1),
    "box": ("box", "(4,)", 1),
    "mask_input": ("mask", "(1, m, m)", 3),
}
_LABELS = (types.FOREGROUND, types.BACKGROUND, types.NOT_A_POINT)
_LARGE = 32  # Pixels along the longer side, from which coordinates in 0..1 are suspicious.
MIN_POINTS = 8  # Smallest padded number of points: ordinary use never recompiles.


@dataclasses.dataclass(frozen=True, eq=False, init=False)
class ObjectPrompt:
    """Prompts that select one object: points, a box, a mask, in any combination.

    Array-likes are accepted and kept as float32 (labels int32).

    Attributes:
        points: Clicks (x, y), shape (n, 2), pixels of the original image.
        labels: 1 for a click on the object, 0 for one beside it, -1 for "not a point" (SAM's
            padding; its coordinates do not matter), shape (n,).
        box: Corners (x0, y0, x1, y1), shape (4,), pixels of the original image.
        mask: Low-resolution logits of an earlier prediction of this object, shape (m, m).

    Raises:
        ValueError: Nothing is given, or something has the wrong shape or values.
    """

    points: np.ndarray | None
    labels: np.ndarray | None
    box: np.ndarray | None
    mask: np.ndarray | None

    def __init__(
        self,
        points: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        mask: ArrayLike | None = None,
    ) -> None:
        if (points is None) != (labels is None):
            missing = "labels" if labels is None else "points"
            raise ValueError(f"points and labels belong together, found no {missing}")
        if points is None and box is None and mask is None:
            raise ValueError("expected a point, a box or a mask, found none of them")
        if points is not None:
            points = _numbers(points, "points", ("n", 2))
            labels = _numbers(labels, "labels", (len(points),))
            if not np.isin(labels, _LABELS).all():
                found = np.unique(labels).tolist()
                corners = "; a box's corners go into box" if {2, 3} & set(found) else ""
                raise ValueError(
                    "labels: expected 1 (object), 0 (background) and -1 (not a point), found "
                    f"{found}{corners}"
                )
            labels = labels.astype(np.int32)
        if box is not None:
            box = _numbers(box, "box", (4,))
            if not (box[0] < box[2] and box[1] < box[3]):
                raise ValueError(
                    f"box: expected (x0, y0, x1, y1) with x0 < x1 and y0 < y1, found {box.tolist()}"
                )
        if mask is not None:
            mask = _numbers(mask, "mask", ("m", "m"))
        checked = {"points": points, "labels": labels, "box": box, "mask": mask}
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @property
    def clicks(self) -> np.ndarray:
        """Points without those of label "not a point", (n, 2)."""
        if self.points is None or self.labels is None:
            return np.zeros((0, 2), np.float32)
        return self.points[self.labels != types.NOT_A_POINT]

    @property
    def is_empty(self) -> bool:
        """Whether all prompts are points of label -1: SAM predicts a mask, but of no object."""
        return self.box is None and self.mask is None and not len(self.clicks)

    def looks_normalized(self, height: int, width: int) -> bool:
        """Whether all coordinates lie between 0 and 1, on an image of at least 32 pixels."""
        corners = np.zeros((0, 2)) if self.box is None else self.box.reshape(2, 2)
        coords = np.concatenate([self.clicks, corners])
        relative = len(coords) > 0 and ((coords >= 0) & (coords <= 1)).all()
        return bool(relative) and max(height, width) >= _LARGE

    def check_fits(self, height: int, width: int, mask_size: int) -> None:
        """Checks the prompts against an image and a network.

        Points must lie in the image, except those of label -1. A box need only overlap it, since
        loosely drawn boxes often extend beyond the edge.

        Args:
            height: Height of the original image.
            width: Width of the original image.
            mask_size: Side of the network's low-resolution logits.

        Raises:
            ValueError: A point or the box lies outside, or the mask has another size.
        """
        size = f"an image of width {width} and height {height}"
        if self.points is not None:
            points = self.clicks
            inside = ((points >= 0) & (points <= (width, height))).all(axis=1)
            if not inside.all():
                x, y = points[~inside][0]
                raise ValueError(f"points: (x, y) = ({x:g}, {y:g}) is outside of {size}")
        if self.box is not None:
            x0, y0, x1, y1 = self.box
            if x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height:
                raise ValueError(f"box: {self.box.tolist()} is outside of {size}")
        if self.mask is not None and self.mask.shape != (mask_size, mask_size):
            raise ValueError(
                f"mask: expected low-resolution logits of shape ({mask_size}, {mask_size}), "
                f"found {self.mask.shape}"
            )


def pack_prompts(
    objects: Sequence[ObjectPrompt], placements: Sequence[inputs.Placement], mask_size: int
) -> types.Prompts:
    """Packs objects into `Prompts` with one object per row, padded to powers of two.

    Args:
        objects: Prompts in pixels of the original images.
        placements: Placement of each object's image in the network's input.
        mask_size: Side of the mask prompt.

    Returns:
        Prompts in input pixels, shapes (n, 1, ...), as NumPy arrays, which a jitted function takes
        faster than copies on the device. The mask prompts are still logits.
    """
    rows, columns = (
        next_power_of_two(len(objects)),
        next_power_of_two(max(map(_count, objects), default=0)),
    )
    columns = max(columns, MIN_POINTS)
    points = np.zeros((rows, 1, columns, 2), np.float32)
    labels = np.full((rows, 1, columns), types.PADDING, np.int32)
    boxes = np.zeros((rows, 1, 4), np.float32)
    masks = np.zeros((rows, 1, mask_size, mask_size), np.float32)
    has_box, has_mask = np.zeros((rows, 1), bool), np.zeros((rows, 1), bool)
    for row, (prompt, placement) in enumerate(zip(objects, placements, strict=True)):
        if prompt.points is not None and prompt.labels is not None:
            points[row, 0, : _count(prompt)] = placement.to_input(prompt.points)
            labels[row, 0, : _count(prompt)] = prompt.labels
        if prompt.box is not None:
            boxes[row, 0] = placement.to_input(prompt.box.reshape(2, 2)).reshape(4)
            has_box[row] = True
        if prompt.mask is not None:
            masks[row, 0] = prompt.mask
            has_mask[row] = True
    arrays: tuple[Any, ...] = (points, labels, boxes, has_box, masks, has_mask)
    return types.Prompts(*arrays)


def next_power_of_two(count: int) -> int:
    """Returns the smallest power of two >= count (at least 1), so that few shapes are compiled."""
    return 1 << max(count - 1, 0).bit_length()


def as_numbers(value: object, name: str, expected: str) -> np.ndarray:
    """Converts a value to a float32 array of any shape.

    Args:
        value: Array-like.
        name: Name of the argument, for the message.
        expected: Expected shape, for the message.

    Raises:
        ValueError: It holds something other than real numbers, or rows of different lengths.
    """
    try:
        array = np.asarray(value)
        if array.dtype.kind == "c":
            raise TypeError
        return np.asarray(array, np.float32)
    except (TypeError, ValueError):
        found = reprlib.repr(value)
        raise ValueError(f"{name}: expected numbers of shape {expected}, found {found}") from None


def split_objects(arrays: dict[str, ArrayLike | None]) -> tuple[list[ObjectPrompt], bool]:
    """Splits the arguments of `Predictor.predict` into objects.

    Returns:
        The objects, and whether the arguments have an axis of objects.

    Raises:
        ValueError: An argument has the wrong shape or values.
    """
    prompts, counts = {}, {}
    for name, value in arrays.items():
        if value is None:
            continue
        _, shape, rank = _ARGUMENTS[name]
        several = shape.replace("(", "(K, ").replace(",)", ")")
        prompts[name] = array = as_numbers(value, name, f"{shape} or {several}")
        if array.ndim not in (rank, rank + 1):
            raise ValueError(f"{name}: expected shape {shape} or {several}, found {array.shape}")
        counts[name] = len(array) if array.ndim > rank else None
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{name} {array.shape}" for name, array in prompts.items())
        raise ValueError(f"expected all prompts for one object, or all for K, found {found}")
    count = next(iter(counts.values()), None)
    rows = {name: array if count is not None else array[None] for name, array in prompts.items()}
    if "mask_input" in rows:
        if rows["mask_input"].shape[1] != 1:
            raise ValueError(
                "mask_input: expected one mask for each object, (1, m, m) or (K, 1, m, m), found "
                f"{prompts['mask_input'].shape}; choose one of low_res, as in low_res[best][None]"
            )
        rows["mask_input"] = rows["mask_input"][:, 0]
    columns = {_ARGUMENTS[name][0]: array for name, array in rows.items()}
    objects = [
        ObjectPrompt(**{field: array[row] for field, array in columns.items()})
        for row in range(1 if count is None else count)
    ]
    return objects, count is not None


def _count(prompt: ObjectPrompt) -> int:
    return 0 if prompt.points is None else len(prompt.points)


def _numbers(value: object, name: str, shape: tuple[int | str, ...]) -> np.ndarray:
    """Converts a value to a float32 array of a shape; letters in it mean any positive size."""
    expected = str(shape).replace("'", "")
    array = as_numbers(value, name, expected)
    fits = len(shape) == array.ndim and all(
        found > 0 if isinstance(size, str) else found == size
        for size, found in zip(shape, array.shape, strict=True)
    )
    if not fits:
        raise ValueError(f"{name}: expected shape {expected}, found {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: expected finite numbers, found NaN or infinity")
    return array
