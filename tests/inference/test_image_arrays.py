"""Images of every kind that callers have, as arrays of 8 bits or refused by name."""

import numpy as np
import PIL.Image
import pytest
from PIL import ImageCms

from samjax.inference.image_arrays import to_uint8_array

RAMP = np.linspace(0, 255, 60 * 40).astype(np.uint8).reshape(40, 60)
COLOURS = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1]], axis=-1)
PICTURE = PIL.Image.fromarray(COLOURS)


def of_mode(mode: str) -> PIL.Image.Image:
    """The picture in another mode."""
    if mode == "LAB":
        profiles = map(ImageCms.createProfile, ("sRGB", "LAB"))
        return ImageCms.profileToProfile(PICTURE, *profiles, outputMode="LAB")
    by_way_of = {"La": "LA", "RGBa": "RGBA", "PA": "P"}
    return PICTURE.convert(by_way_of.get(mode, mode)).convert(mode)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "LAB", "HSV"])
def test_colours_come_out_as_they_look(mode):
    found = to_uint8_array(of_mode(mode), "RGB")
    assert found.dtype == np.uint8 and found.shape == (40, 60, 3)
    assert np.abs(found.astype(int) - COLOURS).mean() < 2.5


@pytest.mark.parametrize("mode", ["L", "LA", "La"])
def test_greys_come_out_as_they_look(mode):
    np.testing.assert_array_equal(
        to_uint8_array(of_mode(mode), "RGB"), np.asarray(PICTURE.convert("L"))
    )


@pytest.mark.parametrize("mode", ["P", "PA"])
def test_a_palette_is_looked_up(mode):
    image = of_mode(mode)
    palette = np.reshape(image.getpalette("RGB"), (-1, 3))
    numbers = np.asarray(image) if mode == "P" else np.asarray(image)[..., 0]
    np.testing.assert_array_equal(to_uint8_array(image, "RGB"), palette[numbers])


def test_a_palette_with_a_transparent_colour():
    image = PIL.Image.fromarray(np.array([[0, 1]], np.uint8), "L").convert("P")
    image.putpalette([10, 20, 30, 200, 210, 220])
    image.info["transparency"] = 0
    np.testing.assert_array_equal(to_uint8_array(image, "RGB")[0], [[10, 20, 30], [200, 210, 220]])


def test_one_bit_becomes_black_and_white():
    found = to_uint8_array(PIL.Image.fromarray(RAMP > 100), "RGB")
    np.testing.assert_array_equal(found, np.where(RAMP > 100, 255, 0))


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_deeper_pictures_are_refused_by_name(mode):
    with pytest.raises(ValueError, match=rf"expected a PIL image of 8 bits .*found mode {mode};"):
        to_uint8_array(PICTURE.convert("L").convert(mode), "RGB")


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (PICTURE, "image_format: expected RGB for a PIL image"),
        ("scan.png", "expected an array or a PIL image, found the path 'scan.png'"),
        (RAMP > 3, "expected uint8 values from 0 to 255, found bool"),
        (RAMP.astype(np.uint16), "found uint16 from 0 to 255; scale"),
        (None, "found object"),
    ],
)
def test_refuses(unchecked, image, message):
    with pytest.raises(ValueError, match=message):
        to_uint8_array(image, "BGR")
