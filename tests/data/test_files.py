import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from samjax.data.files import DataError, LayoutError, read_image, read_mask


def write(path, pixels):
    assert cv2.imwrite(str(path), pixels)
    return path


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_keep_their_pixels_and_lose_their_alpha(tmp_path, channels):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (6, 7, channels), dtype=np.uint8).squeeze()
    image, order = read_image(write(tmp_path / "image.png", pixels))
    np.testing.assert_array_equal(image, pixels[..., :3] if channels > 1 else pixels)
    assert order == "bgr"


def test_masks_of_every_kind_become_zero_and_one(tmp_path, blob):
    expected = blob // 255
    soft = blob.copy()
    soft[4, 10:30] = 100  # An antialiased edge, less than half.
    soft[5, 10:30] = 200
    alpha = np.dstack([blob, blob, blob, np.full_like(blob, 255)])
    kinds = {"0_255": blob, "0_1": expected, "soft": soft, "equal": alpha[..., :3], "alpha": alpha}
    for name, pixels in kinds.items():
        mask = read_mask(write(tmp_path / f"{name}.png", pixels))
        assert mask.dtype == np.uint8
        np.testing.assert_array_equal(mask, expected, err_msg=name)
    empty = read_mask(write(tmp_path / "empty.png", np.zeros_like(blob)))
    assert empty.shape == blob.shape
    assert not empty.any()


@pytest.mark.parametrize("side", [2**14, 2**17])
def test_an_image_that_is_too_large_is_named_before_it_is_expanded(tmp_path, side):
    """A few bytes may claim any size: only the header is looked at."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    header = struct.pack(">II", side, side) + b"\x08\x00\x00\x00\x00"
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100)))
    path = tmp_path / "large.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    with pytest.raises(
        LayoutError, match=r"large\.png: expected at most 134,217,728 pixels, found"
    ):
        read_image(path)


def test_files_that_are_no_images_are_named(tmp_path):
    text, empty, cut = tmp_path / "text.png", tmp_path / "empty.png", tmp_path / "cut.png"
    text.write_text("no image")
    empty.write_bytes(b"")
    noise = np.random.default_rng(0).integers(0, 255, (50, 50, 3), dtype=np.uint8)
    cut.write_bytes(write(tmp_path / "whole.png", noise).read_bytes()[:3000])
    for read in (read_image, read_mask):
        for path in (text, empty, cut):
            with pytest.raises(DataError, match=rf"{path.name}: expected an image"):
                read(path)
        with pytest.raises(DataError, match=r"gone\.png: no such file"):
            read(tmp_path / "gone.png")
        with pytest.raises(DataError, match="cannot be read"):
            read(tmp_path)


def test_images_and_masks_of_another_layout_are_refused(tmp_path, blob):
    deep = write(tmp_path / "deep.png", blob.astype(np.uint16) * 100)
    for read in (read_image, read_mask):
        with pytest.raises(LayoutError, match=r"deep\.png: expected 8 bits .* found uint16"):
            read(deep)
    colours = write(tmp_path / "colours.png", np.dstack([blob, blob * 0, blob]))
    with pytest.raises(LayoutError, match=r"colours\.png: expected a mask of one channel"):
        read_mask(colours)
    labels = write(tmp_path / "labels.png", blob // 255 * 3)
    with pytest.raises(LayoutError, match=r"labels\.png: .* found values up to 3"):
        read_mask(labels)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_upright_as_every_viewer_shows_them(tmp_path, suffix, orientation):
    stored = np.kron(np.arange(12).reshape(3, 4) * 20, np.ones((8, 8))).astype(np.uint8)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(stored).convert("RGB").save(path, exif=exif, quality=95)
    with Image.open(path) as file:
        file.load()
        expected = np.asarray(ImageOps.exif_transpose(file))  # Once it is loaded, a TIFF is so.
    image, _ = read_image(path)
    np.testing.assert_allclose(image[..., ::-1].astype(int), expected, atol=2)
    if suffix != "webp":  # Where it is not lossless.
        mask = Image.fromarray(np.where(stored > 100, 255, 0).astype(np.uint8))
        mask.save(path, exif=exif)
        np.testing.assert_array_equal(read_mask(path), image[..., 0] > 100)


@pytest.mark.parametrize("suffix", ["tif", "gif", "png", "webp"])
def test_several_pages_are_refused_and_reduced_copies_are_none(tmp_path, blob, suffix):
    path = tmp_path / f"stack.{suffix}"
    pages = [Image.fromarray(np.roll(blob, shift, 0)) for shift in (0, 5, 9)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    for read in (read_image, read_mask):
        with pytest.raises(LayoutError, match=rf"stack\.{suffix}: expected one picture, found 3"):
            read(path)
    if suffix == "tif":
        small = pages[0].resize((10, 10))
        small.encoderinfo = {"tiffinfo": {254: 1}}
        pages[0].save(path, save_all=True, append_images=[small])
        assert read_image(path)[0].shape == blob.shape


def test_a_mask_in_the_alpha_channel_is_named(tmp_path, blob):
    path = write(tmp_path / "clear.png", np.dstack([np.full_like(blob, 255)] * 3 + [blob]))
    with pytest.raises(LayoutError, match=r"clear\.png: .* found it in the alpha channel"):
        read_mask(path)
