"""Reads pictures by Pillow: PNG, JPEG, GIF, BMP, TIFF (several pages are a volume)."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageSequence, UnidentifiedImageError

from samjax.curation import rules
from samjax.curation.case import Case, CaseError, CaseSource, LabelMap
from samjax.curation.label_pixels import LabelPixels, as_pixels, packed
from samjax.curation.labels import to_label_maps
from samjax.curation.options import CurationOptions
from samjax.data import image_header

_ORIENTATION = ExifTags.Base.Orientation


def read(root: Path, source: CaseSource, options: CurationOptions) -> Case:
    """Reads a picture and its label pictures; several of one class are joined.

    A picture is rotated by its orientation tag, unless its labels only fit the stored pixels.
    """
    del options
    path = root / source.images[0]
    image, is_volume = load(path)
    dimensions = 3 if is_volume else 2
    extent, turned = image.shape[:dimensions], image.shape[1::-1]
    maps = labels(root, source, extent, () if is_volume else turned)
    left_out = {}
    if maps and maps[0].values.shape != extent:
        image, _ = load(path, is_upright=False)
        if image.shape[:2] != turned:
            raise _misfit(source.labels[0][0], extent, turned)
        left_out = {"orientation tags of pictures that their labels do not follow": 1}
    return Case(to_grey(image, is_volume), is_volume, maps, left_out=left_out)


def labels(
    root: Path, source: CaseSource, extent: tuple[int, ...], turned: tuple[int, ...] = ()
) -> tuple[LabelMap, ...]:
    """Reads the label pictures of an image; binary ones of one class are joined.

    Args:
        root: The source folder.
        source: The case.
        extent: Extent of the image.
        turned: Extent that all labels may have instead.

    Raises:
        CaseError: A file has another extent than the image, or holds no labels.
    """
    expected = extent
    maps: dict[tuple[str, ...], list[LabelMap]] = {}
    for path, name in source.labels:
        try:
            decoded = to_label_maps(stored_labels(root / path), source.known, name, source.coding)
        except CaseError as error:
            raise error if path in str(error) else CaseError(f"{path}: {error}") from None
        shape = decoded[0].values.shape
        expected = turned if shape == turned and not maps else expected
        if shape != expected:
            raise _misfit(path, extent, shape)
        for label in decoded:
            maps.setdefault((name, *label.names.values()), []).append(label)
    if source.known.kind == "instances":  # Each file has its own objects, which may touch.
        return tuple(label for same in maps.values() for label in same)
    return tuple(label for same in maps.values() for label in _joined(same))


def _misfit(path: str, extent: tuple[int, ...], shape: tuple[int, ...]) -> CaseError:
    return CaseError(f"{path}: expected labels of the image's shape {extent}, found {shape}")


def load(path: Path, is_upright: bool = True) -> tuple[np.ndarray, bool]:
    """Decodes a picture: (h, w) or (h, w, 3) RGB; of several pages a volume (x, y, z).

    Palettes are looked up; 16 bits stay 16; transparency is dropped.

    Args:
        path: Path of the file.
        is_upright: Whether its orientation tag is followed.

    Returns:
        The picture or volume, and whether it is a volume.

    Raises:
        CaseError: The file cannot be decoded.
    """
    pages = _pages(path, lambda page: np.asarray(_plain(page)), is_upright)
    return _stacked(pages), len(pages) > 1


def stored_labels(path: Path) -> LabelPixels:
    """Decodes labels, with their transparency and the numbers of their palette.

    Raises:
        CaseError: The file cannot be decoded.
    """
    pages = _pages(path, _with_alpha)
    values = _stacked(pages)
    is_colour = values.ndim == (4 if len(pages) > 1 else 3)
    indices = _stacked(_pages(path, np.asarray))
    if not is_colour or indices.ndim == values.ndim:
        return LabelPixels(values, is_colour)
    pairs = np.unique(packed(values).astype(np.int64) << 16 | indices)
    if len(np.unique(pairs >> 16)) < len(
        pairs
    ):  # Several numbers of one colour: the numbers are the labels.
        return LabelPixels(indices)
    return LabelPixels(values, True, indices)


def _pages(
    path: Path, decode: Callable[[Image.Image], np.ndarray], is_upright: bool = True
) -> list[np.ndarray]:
    try:
        with Image.open(path) as file:
            pages = []
            for page in ImageSequence.Iterator(file):
                if not image_header.is_page(page):
                    continue
                # The decoder follows a TIFF's tag itself.
                tag = 1 if file.format == "TIFF" else page.getexif().get(_ORIENTATION, 1)
                pages.append(image_header.apply_orientation(decode(page), tag if is_upright else 1))
    except FileNotFoundError:
        raise CaseError(f"{path}: no such file") from None
    except (OSError, ValueError, SyntaxError, EOFError, UnidentifiedImageError) as error:
        raise CaseError(f"{path}: cannot be decoded: {error}") from error
    if len({page.shape[:2] for page in pages}) > 1:
        found = sorted({page.shape[:2] for page in pages})
        raise CaseError(f"{path}: expected pages of one size, found {found}")
    return pages


def _stacked(pages: list[np.ndarray]) -> np.ndarray:
    """Returns the only page, or all as a volume (x, y, z) or (x, y, z, channels)."""
    if len({page.shape for page in pages}) > 1:  # Some have colours, others are grey.
        pages = [page if page.ndim == 3 else np.stack([page] * 3, axis=-1) for page in pages]
    if len(pages) == 1:
        return pages[0]
    return np.stack([page.swapaxes(0, 1) for page in pages], axis=2)


def _plain(page: Image.Image) -> Image.Image:
    """Converts a page to grey or RGB."""
    if page.mode in ("P", "CMYK", "YCbCr", "LAB", "HSV", "PA", "RGBA", "RGBX", "RGBa"):
        return page.convert("RGB")
    return page.convert("L") if page.mode in ("LA", "La") else page


def _with_alpha(page: Image.Image) -> np.ndarray:
    """Converts a page to grey, RGB or, if parts are transparent, RGBA."""
    if page.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in page.info:
        clear = np.asarray(page.convert("RGBA"))
        if np.ptp(clear[..., 3]):
            return clear
    if page.mode == "P" and not _is_colourful(page):
        return np.asarray(page.convert("L"))
    plain = np.asarray(_plain(page))
    return plain if page.mode == "P" else as_pixels(plain).values


def _is_colourful(page: Image.Image) -> bool:
    palette = np.array(page.getpalette() or [0, 0, 0]).reshape(-1, 3)
    return bool((palette != palette[:, :1]).any())


def to_grey(image: np.ndarray, is_volume: bool = False) -> np.ndarray:
    """Drops two of three equal channels: grey stored as colour."""
    colour = rules.is_8_bit(image) and image.ndim == (4 if is_volume else 3)
    grey = colour and (image == image[..., :1]).all()
    return np.ascontiguousarray(image[..., 0]) if grey else image


def _joined(maps: list[LabelMap]) -> list[LabelMap]:
    """Joins binary masks of one class: a second lesion is often in a separate file."""
    binary = all(len(label.names) <= 1 and label.values.max(initial=0) <= 1 for label in maps)
    if len(maps) < 2 or not binary:
        return maps
    union = np.maximum.reduce([label.values for label in maps])
    return [LabelMap(union, maps[0].names, maps[0].split)]
