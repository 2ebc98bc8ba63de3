"""Conversion of a caller's image, an array or a PIL image, to a uint8 array."""

import numpy as np
import PIL.Image

ImageLike = np.ndarray | PIL.Image.Image

# PIL's modes of 8 bits, and the mode to convert each to.
_MODES = {
    **dict.fromkeys(("1", "L", "LA", "La"), "L"),
    **dict.fromkeys(("RGB", "RGBA", "RGBX", "RGBa", "P", "PA"), "RGB"),
    **dict.fromkeys(("CMYK", "YCbCr", "LAB", "HSV"), "RGB"),
}
_BY_ALPHA = {"La": "LA", "RGBa": "RGBA"}  # Colours multiplied by alpha: divided first.


def to_uint8_array(image: ImageLike, image_format: str) -> np.ndarray:
    """Converts an image to a uint8 array, (h, w) or (h, w, c); alpha of a PIL image is dropped.

    Args:
        image: A uint8 array, or a PIL image of 8 bits. An orientation tag is not applied: the PIL
            image is used as it lies in memory, of `image.size`.
        image_format: Channel order of an array, `RGB` or `BGR`; `RGB` for a PIL image.

    Raises:
        ValueError: The image is a path or does not have 8 bits, or `BGR` is given for a PIL image.
    """
    if isinstance(image, PIL.Image.Image):
        return _from_pil(image, image_format)
    if isinstance(image, str | bytes) or hasattr(image, "__fspath__"):
        raise ValueError(f"image: expected an array or a PIL image, found the path {image!r}")
    image = np.asarray(image)
    if image.dtype != np.uint8:
        numbers = image.size and np.issubdtype(image.dtype, np.number)
        values = f" from {image.min():g} to {image.max():g}" if numbers else ""
        raise ValueError(
            f"image: expected uint8 values from 0 to 255, found {image.dtype}{values}; scale to "
            "0..255 first, as in (255 * x).round().astype(np.uint8) for x between 0 and 1"
        )
    return image


def _from_pil(image: PIL.Image.Image, image_format: str) -> np.ndarray:
    if image_format != "RGB":
        raise ValueError(
            f"image_format: expected RGB for a PIL image (it knows its colours), found "
            f"{image_format!r}"
        )
    target = _MODES.get(image.mode)
    if target is None:
        raise ValueError(
            f"image: expected a PIL image of 8 bits ({', '.join(_MODES)}), found mode "
            f"{image.mode}; scale its values to 0..255 first"
        )
    if image.mode in _BY_ALPHA:
        image = image.convert(_BY_ALPHA[image.mode])
    if image.mode in ("P", "PA"):
        # Through RGBA: otherwise a palette's transparency would be mixed into its colours.
        image = image.convert("RGBA")
    return np.asarray(image.convert(target))
