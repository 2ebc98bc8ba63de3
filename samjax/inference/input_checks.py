"""Checks of a caller's images and prompts; errors name the image and the object."""

import contextlib
import logging
import reprlib
from collections.abc import Iterator, Sequence

import numpy as np

from samjax.data import inputs
from samjax.inference.object_prompt import ObjectPrompt

_log = logging.getLogger(__name__)


def check_images(images: object) -> None:
    """Checks that images are a list, not one image, whose rows would be taken for images.

    Raises:
        ValueError: They are not a list, or it is empty.
    """
    several = isinstance(images, Sequence) and not isinstance(images, str | bytes)
    if isinstance(images, np.ndarray):
        several = images.ndim == 4
    if not several:
        found = f"an array of shape {images.shape}" if isinstance(images, np.ndarray) else ""
        raise ValueError(f"images: expected a list of images, found {found or type(images)}")
    if not len(images):  # pyrefly: ignore[bad-argument-type]
        raise ValueError("images: expected at least one, found none")


def check_prompts(
    prompts: Sequence[Sequence[ObjectPrompt]],
    placements: Sequence[inputs.Placement],
    mask_size: int,
) -> None:
    """Checks that prompts are one list of `ObjectPrompt` for each image, and fit it.

    Warns of coordinates that all lie between 0 and 1, and of objects with only points of label -1.

    Args:
        prompts: Objects of each image, in pixels of the original image.
        placements: Placements of the images.
        mask_size: Side of the network's low-resolution logits.

    Raises:
        ValueError: They are not such lists, or do not fit; the message names image and object.
    """
    _check_lists(prompts, len(placements))
    _check_fits(prompts, placements, mask_size)


@contextlib.contextmanager
def prefix_errors(where: str) -> Iterator[None]:
    """Puts the place of a problem before the message of a `ValueError`; none if empty."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{where}: {error}" if where else str(error)) from error


def _check_lists(prompts: object, images: int) -> None:
    """Checks that prompts are one list of `ObjectPrompt` for each image."""
    expected = f"one list of objects for each of {images} images"
    if not isinstance(prompts, list | tuple):
        found = f"a {type(prompts).__name__}"
        raise ValueError(f"prompts: expected {expected}, found {found}")
    for number, objects in enumerate(prompts):
        if not isinstance(objects, list | tuple):
            found = f"{type(objects).__name__} at {number}"
            raise ValueError(f"prompts: expected {expected}, found {found}")
        for index, prompt in enumerate(objects):
            if not isinstance(prompt, ObjectPrompt):
                raise ValueError(
                    f"prompts: image {number}, object {index}: expected an ObjectPrompt, as in "
                    f"ObjectPrompt(box=[x0, y0, x1, y1]), found {reprlib.repr(prompt)}"
                )
    if len(prompts) != images:
        raise ValueError(f"prompts: expected {expected}, found {len(prompts)}")


def _check_fits(
    prompts: Sequence[Sequence[ObjectPrompt]],
    placements: Sequence[inputs.Placement],
    mask_size: int,
) -> None:
    relative, empty = [], []
    for image, (objects, placement) in enumerate(zip(prompts, placements, strict=True)):
        for index, prompt in enumerate(objects):
            where = f"image {image}, " if len(placements) > 1 else ""
            with prefix_errors(f"{where}object {index}" if where or len(objects) > 1 else ""):
                prompt.check_fits(placement.height, placement.width, mask_size)
            if prompt.looks_normalized(placement.height, placement.width):
                relative.append(f"{where}object {index}")
            if prompt.is_empty:
                empty.append(f"{where}object {index}")
    _warn(relative, "all coordinates lie between 0 and 1; they are taken as pixels")
    _warn(empty, "only points of label -1 (not a point): its mask is of no object in particular")


def _warn(objects: list[str], warning: str) -> None:
    """Logs a warning about the first of some objects, with the number of the others."""
    if objects:
        more = f" (as of {len(objects) - 1} more)" if len(objects) > 1 else ""
        _log.warning("%s: %s%s", objects[0], warning, more)
