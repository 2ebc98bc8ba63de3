"""Reads the orientation and the number of pages from the header of an image file."""

import io

import numpy as np
from PIL import ExifTags, Image, ImageSequence

_EXIF_WITHIN = 1 << 18  # Bytes of a JPEG in which its Exif begins.
_NOT_A_PAGE = 0b101  # Bits of TIFF's NewSubfileType: a reduced image, a transparency mask.
_NEW_SUBFILE_TYPE = 254
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def apply_orientation(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turns and mirrors an image according to its orientation tag.

    Args:
        pixels: (h, w) or (h, w, c), as stored.
        orientation: Exif's number, 1 to 8; anything else leaves the image as it is.
    """
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def read_orientation(data: bytes) -> int:
    """Returns the orientation tag of a JPEG, PNG or WebP file, 1 to 8; 1 if there is none.

    The tag of a TIFF is ignored: every decoder applies it.
    """
    if data.startswith(b"\xff\xd8"):
        has_exif = data.find(b"Exif\0\0", 0, _EXIF_WITHIN) >= 0
    elif data.startswith(b"\x89PNG"):
        has_exif = b"eXIf" in data or b"Raw profile type exif" in data
    else:
        has_exif = data[8:12] == b"WEBP" and b"EXIF" in data
    if not has_exif:
        return 1
    with Image.open(io.BytesIO(data)) as file:
        return int(file.getexif().get(ExifTags.Base.Orientation, 1))


def count_pages(data: bytes) -> int:
    """Counts the pictures in a file: pages of a TIFF, frames of an animation.

    Reduced copies of a TIFF's first page do not count, nor do the previews in a camera's JPEG.
    """
    is_many = (
        data.startswith((*_TIFF, b"GIF8"))
        or (data.startswith(b"\x89PNG") and data.find(b"acTL", 0, 1 << 12) >= 0)
        or (data[8:12] == b"WEBP" and data.find(b"ANIM", 0, 64) >= 0)
    )
    if not is_many:
        return 1
    with Image.open(io.BytesIO(data)) as file:
        return sum(is_page(page) for page in ImageSequence.Iterator(file))


def is_page(page: Image.Image) -> bool:
    """Whether a page is a picture of its own and not a reduced copy of another page."""
    if page.format == "MPO":
        return page.tell() == 0
    tags = getattr(page, "tag_v2", {})
    return page.tell() == 0 or not int(tags.get(_NEW_SUBFILE_TYPE, 0)) & _NOT_A_PAGE
