"""Prompts of an evaluation: drawn once, saved, and replayed on any model."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from samjax.data.boxes import tight_box
from samjax.data.files import DataError, write_whole
from samjax.data.inputs import Placement
from samjax.data.metadata import read_json
from samjax.inference.object_prompt import ObjectPrompt
from samjax.types import FOREGROUND

FORMAT = 1
_DIGITS = 6  # Of a coordinate in the file, after the point.
_SLACK = 0.01  # Pixels by which rounding may carry a corner out of the image.
_SNAP = 0.01  # Input pixels: a coordinate this close to a whole pixel is that pixel.


@dataclasses.dataclass(frozen=True)
class MaskPrompt:
    """The prompts of one mask, in pixels of the original image, so that they suit every model.

    Attributes:
        image: Path of the image, relative to the data folder.
        box: Corners (x0, y0, x1, y1), the upper ones exclusive.
        point: The first point (x, y).
        click_seed: Seed of the later points, which depend on the model's predictions.
    """

    image: str
    box: tuple[float, float, float, float]
    point: tuple[float, float]
    click_seed: int

    def check_fits(self, path: str, height: int, width: int) -> None:
        """Checks that point and box lie in an image.

        Args:
            path: The mask's path, for the error.
            height: Height of the image.
            width: Width of the image.

        Raises:
            DataError: One of them does not.
        """
        points, labels = np.array([self.point]), np.array([FOREGROUND])
        try:
            prompt = ObjectPrompt(points, labels, np.array(self.box))
            prompt.check_fits(height, width, mask_size=0)
            corners = np.reshape(self.box, (2, 2))
            if (corners < -_SLACK).any() or (corners > np.array([width, height]) + _SLACK).any():
                size = f"an image of width {width} and height {height}"
                raise ValueError(f"box: {[*self.box]} reaches out of {size}")
        except ValueError as error:
            raise DataError(f"{path}: the prompts to replay do not fit: {error}") from error

    def in_input(self, placement: Placement) -> tuple[np.ndarray, np.ndarray]:
        """Returns box (4,) and point (2,) in pixels of an input, float32.

        At the input size they were drawn at, they are the original whole pixels again.
        """
        coords = placement.to_input(np.reshape([*self.box, *self.point], (3, 2)))
        whole = np.round(coords)
        coords = np.where(np.abs(coords - whole) < _SNAP, whole, coords)
        return coords[:2].reshape(4), coords[2]


@dataclasses.dataclass(frozen=True)
class PromptSet:
    """The prompts of an evaluation.

    Attributes:
        seed: Seed that they were drawn from.
        prompts: Prompts by the mask's path, relative to the data folder.
        skipped: Reasons why other masks have none, by path.
        contents: Fingerprints of images and masks when the prompts were drawn, by path (see
            `samjax.data.fingerprint`); empty in files of earlier versions.
    """

    seed: int
    prompts: dict[str, MaskPrompt]
    skipped: dict[str, str]
    contents: dict[str, str] = dataclasses.field(default_factory=dict)

    def check(
        self, masks: Iterable[str], contents: Mapping[str, str], shape: Sequence[int]
    ) -> None:
        """Checks that an image and its masks are those that the prompts were drawn for.

        Args:
            masks: Paths of the image's masks.
            contents: Fingerprints of the files now, by path.
            shape: Height and width of the image.

        Raises:
            DataError: A file has other contents, or prompts lie outside the image.
        """
        for path, now in contents.items():
            then = self.contents.get(path, now)
            if now != then:
                raise DataError(
                    f"{path}: expected what the prompts to replay were drawn for ({then}), found "
                    f"another ({now})"
                )
        for path in masks:
            if path in self.prompts:
                self.prompts[path].check_fits(path, *shape[:2])


def draw(
    mask: np.ndarray,
    placement: Placement,
    seed: int,
    path: str,
    image: str,
    box_margin: float = 0.0,
) -> MaskPrompt:
    """Draws the prompts of one mask; they do not depend on other masks.

    Args:
        mask: The mask in the input square, not empty, (s, s).
        placement: Placement of the image in the square.
        seed: Seed of the whole evaluation.
        path: The mask's path, relative to the data folder.
        image: Its image's path.
        box_margin: Pixels of the input by which the box is wider than tight on each side, as far
            as the image reaches.
    """
    click_seed = int.from_bytes(hashlib.blake2b(f"{seed}/{path}".encode(), digest_size=4).digest())
    foreground = np.flatnonzero(mask)
    pixel = foreground[np.random.default_rng(click_seed).integers(len(foreground))]
    y, x = divmod(int(pixel), mask.shape[1])
    left_top, right_bottom = tight_box(mask).reshape(2, 2)
    first = np.array([placement.left, placement.top])
    last = first + np.array([placement.inner_width, placement.inner_height])
    left_top = np.maximum(left_top - box_margin, first)
    right_bottom = np.minimum(right_bottom + box_margin, last)
    corners = np.stack([left_top, right_bottom, [x, y]])
    x0, y0, x1, y1, x, y = placement.to_original(corners).astype(float).round(_DIGITS).ravel()
    box = (float(x0), float(y0), float(x1), float(y1))
    return MaskPrompt(image, box, (float(x), float(y)), click_seed)


def save(path: str | os.PathLike[str], prompts: PromptSet) -> None:
    """Writes prompts as JSON, whole or not at all."""
    content = {"format": FORMAT, **dataclasses.asdict(prompts)}
    write_whole(path, (json.dumps(content, indent=1) + "\n").encode())


def load(path: str | os.PathLike[str]) -> PromptSet:
    """Reads prompts that `save` has written.

    Raises:
        DataError: The file is missing or not a prompt file; the message names the faulty field.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: no such file")
    content = read_json(path, distinct=True)
    if content.get("format") != FORMAT:
        raise DataError(f"{path}: format: expected {FORMAT}, found {content.get('format')!r}")
    for name, kind in (("seed", int), ("prompts", dict), ("skipped", dict)):
        if not isinstance(content.get(name), kind):
            found = content.get(name)
            raise DataError(f"{path}: {name}: expected {kind.__name__}, found {found!r}")
    contents = content.get("contents", {})
    if not isinstance(contents, dict) or not all(isinstance(v, str) for v in contents.values()):
        raise DataError(f"{path}: contents: expected a text for each file, found {contents!r}")
    prompts = {
        mask: _mask_prompt(f"{path}: {mask}", fields) for mask, fields in content["prompts"].items()
    }
    return PromptSet(content["seed"], prompts, content["skipped"], contents)


def _mask_prompt(where: str, fields: Any) -> MaskPrompt:
    expected = {field.name for field in dataclasses.fields(MaskPrompt)}
    if not isinstance(fields, dict) or set(fields) != expected:
        raise DataError(f"{where}: expected the fields {sorted(expected)}, found {fields!r}")
    x0, y0, x1, y1 = _numbers(f"{where}: box", fields["box"], 4)
    x, y = _numbers(f"{where}: point", fields["point"], 2)
    if not (x0 < x1 and y0 < y1):
        raise DataError(f"{where}: box: expected x0 < x1 and y0 < y1, found {fields['box']}")
    seed = fields["click_seed"]
    if not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise DataError(f"{where}: click_seed: expected 0 to 2**32 - 1, found {seed!r}")
    return MaskPrompt(fields["image"], (x0, y0, x1, y1), (x, y), seed)


def _numbers(where: str, values: Any, count: int) -> list[float]:
    numbers = isinstance(values, list) and all(isinstance(v, int | float) for v in values)
    if not numbers or len(values) != count:
        raise DataError(f"{where}: expected {count} numbers, found {values!r}")
    return [float(value) for value in values]
