"""Pictures: PNG, JPEG, TIFF (several pages are a volume), GIF, BMP, by Pillow."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence, UnidentifiedImageError

from samjax.curation import rules
from samjax.curation.case import Case, CaseError, LabelMap, Source
from samjax.curation.labels import to_label_map
from samjax.curation.options import Dataset, Options

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".gif", ".bmp", ".webp")


def read(root: Path, source: Source, options: Options) -> Case:
    """Reads a picture and its label pictures; several of one class are taken together."""
    del options
    image = load(root / source.images[0])
    image = image[..., :3] if image.shape[-1] == 4 and image.dtype == np.uint8 else image
    colour = image.shape[-1] == 3 and image.dtype == np.uint8
    is_volume = image.ndim == (4 if colour else 3)
    extent = image.shape[: 3 if is_volume else 2]
    return Case(grey_if_it_is(image), is_volume, labels(root, source, extent))


def labels(root: Path, source: Source, extent: tuple[int, ...]) -> tuple[LabelMap, ...]:
    """Reads the label pictures of an image; binary ones of one class are taken together.

    Raises:
        CaseError: One has another extent than the image, or is no label.
    """
    maps: dict[str, list[LabelMap]] = {}
    for path, name in source.labels:
        found = _label(root / path, path, source.known, name)
        if found.values.shape != extent:
            raise CaseError(
                f"{path}: expected labels of the image's shape {extent}, found {found.values.shape}"
            )
        maps.setdefault(name, []).append(found)
    return tuple(label for same in maps.values() for label in _together(same))


def load(path: Path) -> np.ndarray:
    """Decodes a picture: (h, w) or (h, w, 3 or 4) RGB; of several pages a volume (x, y, z).

    A palette of greys or of colours is looked up; 16 bits stay 16.

    Raises:
        CaseError: It cannot be decoded.
    """
    return _decode(path, palette_is_label=False)


def _label(path: Path, name: str, known: Dataset, class_name: str) -> LabelMap:
    by_colour = any(isinstance(value, str) for value in known.classes.values())
    try:
        stored = _decode(path, palette_is_label=not by_colour)
        return to_label_map(stored, known, class_name)
    except CaseError as error:
        if str(error).startswith(str(path)):
            raise
        raise CaseError(f"{name}: {error}") from None


def _decode(path: Path, palette_is_label: bool) -> np.ndarray:
    try:
        with Image.open(path) as file:
            pages = [_page(page, palette_is_label) for page in ImageSequence.Iterator(file)]
    except FileNotFoundError:
        raise CaseError(f"{path}: no such file") from None
    except (OSError, ValueError, SyntaxError, EOFError, UnidentifiedImageError) as error:
        raise CaseError(f"{path}: cannot be decoded: {error}") from error
    if len({page.shape for page in pages}) > 1:
        found = sorted({page.shape for page in pages})
        raise CaseError(f"{path}: expected pages of one size, found {found}")
    if len(pages) == 1:
        return pages[0]
    return (
        np.stack(pages).swapaxes(0, 2)
        if pages[0].ndim == 2
        else np.stack([page.swapaxes(0, 1) for page in pages], axis=2)
    )


def _page(page: Image.Image, palette_is_label: bool) -> np.ndarray:
    if page.mode == "P" and palette_is_label:
        values = np.asarray(page)
        return (
            values if values.max() <= 127 or _is_colourful(page) else np.asarray(page.convert("L"))
        )
    if page.mode in ("P", "CMYK", "YCbCr", "LAB", "HSV", "PA"):
        page = page.convert("RGB")
    elif page.mode == "LA":
        page = page.convert("L")
    return np.asarray(page)


def _is_colourful(page: Image.Image) -> bool:
    palette = np.array(page.getpalette() or [0, 0, 0]).reshape(-1, 3)
    return bool((palette != palette[:, :1]).any())


def grey_if_it_is(image: np.ndarray) -> np.ndarray:
    """Drops two channels of three that are equal: grey stored as colour."""
    colour = rules.is_8_bit(image) and image.shape[-1] == 3 and image.ndim > 2
    grey = colour and (image == image[..., :1]).all()
    return np.ascontiguousarray(image[..., 0]) if grey else image


def _together(maps: list[LabelMap]) -> list[LabelMap]:
    """Joins binary masks of one class: a second lesion is often in a file of its own."""
    binary = all(len(label.names) <= 1 and label.values.max(initial=0) <= 1 for label in maps)
    if len(maps) < 2 or not binary:
        return maps
    union = np.maximum.reduce([label.values for label in maps])
    return [LabelMap(union, maps[0].names, maps[0].split)]
