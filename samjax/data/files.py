"""Reads images and masks from files; errors name the file."""

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import PIL.Image

from samjax.data import image_header, record_reader

ORDER = "bgr"  # The channel order in which OpenCV decodes.
MAX_PIXELS = 2**27  # Of an image: a colour image of these, prepared for a network, takes 2 GB.


class DataError(ValueError):
    """Data on disk that cannot be used; the message names the file, what was expected and found."""


class LayoutError(DataError):
    """An image or mask that can be decoded, but has unsupported values or channels."""


def read_image(path: str | os.PathLike[str]) -> tuple[np.ndarray, str]:
    """Reads an 8-bit image, upright as every viewer shows it.

    Args:
        path: A PNG, JPEG, TIFF, BMP or other file of one picture that OpenCV decodes.

    Returns:
        The image, (h, w) or (h, w, 3) uint8 (an alpha channel is dropped), and its channel order.

    Raises:
        LayoutError: The image does not have 8 bits per channel, or the file has several pages.
        DataError: The file is missing or cannot be decoded.
    """
    return _without_alpha(_eight_bits(decode(path), path)), ORDER


def read_mask(path: str | os.PathLike[str]) -> np.ndarray:
    """Reads a binary mask, stored as 0 and 1, as 0 and 255, or as 255 with antialiased edges.

    Args:
        path: An 8-bit image file of one channel, or of several equal ones.

    Returns:
        The mask, (h, w) uint8, 0 or 1.

    Raises:
        LayoutError: The file is no binary mask: 16 bits, colours, transparency, several pages or a
            map of several labels.
        DataError: The file is missing or cannot be decoded.
    """
    return binarise(decode(path), path)


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Reads a file, or its bytes from the records of a data folder.

    See `samjax.data.record_reader`.

    Raises:
        DataError: It is missing or cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        found = record_reader.find_bytes(path)
        if found is None:
            raise DataError(f"{path}: no such file") from None
        return found
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def decode(path: str | os.PathLike[str]) -> np.ndarray:
    """Decodes an image file, whatever its depth and channels, upright by its orientation tag.

    Raises:
        LayoutError: The image has more than `MAX_PIXELS`, found from its header before any of it
            is expanded; or the file holds several pages or frames.
        DataError: The file is missing or cannot be decoded.
    """
    data = read_bytes(path)
    if not data:
        raise DataError(f"{path}: expected an image, found an empty file")
    _check_size(data, path)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise DataError(f"{path}: cannot be decoded: {error.err}") from error
    if image is None:
        raise DataError(
            f"{path}: expected an image, found {len(data)} bytes that OpenCV can't read"
        )
    try:
        pages, orientation = image_header.count_pages(data), image_header.read_orientation(data)
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    if pages > 1:
        raise LayoutError(
            f"{path}: expected one picture, found {pages} pages; write each as a file of its own"
        )
    return image if orientation == 1 else image_header.apply_orientation(image, orientation)


@contextlib.contextmanager
def whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path to write to, which replaces the file once all is written.

    Raises:
        OSError: It cannot be written; the error names the file, and nothing of it stays.
    """
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        if partial.exists():
            partial.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, str(partial), partial):
            # For a full disk, among others, the system does not name the file.
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def write_whole(path: str | os.PathLike[str], content: bytes) -> None:
    """Writes a file atomically and makes the folders above it, see `whole`."""
    with whole(path) as partial:
        partial.write_bytes(content)


def binarise(mask: np.ndarray, path: str | os.PathLike[str]) -> np.ndarray:
    """Turns a decoded mask into (h, w) uint8 of 0 and 1; `path` is for the error messages.

    Raises:
        LayoutError: It is no binary mask.
    """
    mask = _eight_bits(mask, path)
    if mask.ndim == 3 and mask.shape[2] == 4:
        clear = mask[..., 3] < 128
        if clear.any() and not clear.all() and not np.ptp(mask[~clear, :3], axis=0).any():
            raise LayoutError(
                f"{path}: expected a mask of 0 and 255, found it in the alpha channel; "
                "write the alpha channel as a file of its own"
            )
    mask = _without_alpha(mask)
    if mask.ndim == 3:
        if (mask != mask[..., :1]).any():
            raise LayoutError(
                f"{path}: expected a mask of one channel, found colours; "
                "write one file of 0 and 255 for each class"
            )
        mask = mask[..., 0]
    highest = int(mask.max())
    if 1 < highest <= 127:
        raise LayoutError(
            f"{path}: expected a mask of 0 and 1 or 0 and 255, found values up to {highest}; "
            "if these are labels, write one file of 0 and 255 for each"
        )
    return np.asarray(mask > (127 if highest > 1 else 0), np.uint8)


def _check_size(data: bytes, path: str | os.PathLike[str]) -> None:
    """Refuses an image whose header says that it is too large."""
    found = ""
    try:
        with PIL.Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > MAX_PIXELS:
                found = f"{image.width} x {image.height}"
    except PIL.Image.DecompressionBombError as error:
        found = str(error)
    except Exception:  # Unknown to PIL, or damaged: its parsers raise errors of any kind.
        return
    if found:
        raise LayoutError(
            f"{path}: expected at most {MAX_PIXELS:,} pixels, found {found}; cut it into tiles, or "
            "scale it down"
        )


def _eight_bits(image: np.ndarray, path: str | os.PathLike[str]) -> np.ndarray:
    if image.dtype != np.uint8:
        raise LayoutError(
            f"{path}: expected 8 bits per channel, found {image.dtype}; scale the values to 0..255 "
            "(a whole volume by one range, not slice by slice)"
        )
    return image


def _without_alpha(image: np.ndarray) -> np.ndarray:
    return image[..., :3] if image.ndim == 3 else image
