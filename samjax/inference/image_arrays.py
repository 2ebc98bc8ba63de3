"""From what a caller calls an image to an array of 8 bits, or an error that says why not."""

import numpy as np
import PIL.Image

ImageLike = np.ndarray | PIL.Image.Image

# PIL's modes of 8 bits, and the mode that holds the same picture as an array.
_MODES = {
    **dict.fromkeys(("1", "L", "LA", "La"), "L"),
    **dict.fromkeys(("RGB", "RGBA", "RGBX", "RGBa", "P", "PA"), "RGB"),
    **dict.fromkeys(("CMYK", "YCbCr", "LAB", "HSV"), "RGB"),
}
_BY_ALPHA = {"La": "LA", "RGBa": "RGBA"}  # Colours multiplied by alpha: divided first.


def to_uint8_array(image: ImageLike, image_format: str) -> np.ndarray:
    """Gives an image as uint8 array, (h, w) or (h, w, c); alpha of a PIL image is dropped.

    Args:
        image: An array, or a PIL image. That knows its own colours, but no orientation: it is
            taken as it lies in memory, of `image.size`.
        image_format: Channel order that the caller says, `RGB` or `BGR`.

    Raises:
        ValueError: The image does not have 8 bits, whose values would mean something else, or
            `BGR` is said of a PIL image.
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
        # By way of RGBA: transparency of a palette would else be mixed into its colours.
        image = image.convert("RGBA")
    return np.asarray(image.convert(target))
