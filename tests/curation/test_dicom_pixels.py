"""Pictures of DICOM files equal those of other decoders."""

import re
from pathlib import Path

import numpy as np
import pytest
from dicom_files import base, with_pixels

from samjax import extra
from samjax.curation.case import CaseError
from samjax.curation.formats.dicom import file, pixels

pydicom = extra.require("pydicom", "data")
sitk = extra.require("SimpleITK", "data")
SHIPPED = Path(pydicom.__file__).parent / "data"

# Files that are made to be broken, and what is said of them.
REFUSED = {
    "JPEG2000-embedded-sequence-delimiter.dcm": "pixels cannot be decoded: .*",
    "MR_truncated.dcm": r"pixels cannot be decoded: .* less than expected \(8130 vs 8192 bytes\)",
    "meta_missing_tsyntax.dcm": "none of its fields was found",
    "nested_priv_SQ.dcm": "none of its fields was found",
    "badVR.dcm": "pixels cannot be decoded: .*'1A'",
}
# SimpleITK mixes up the bytes of these, and takes seconds for the first: each shows what another
# file shows.
TWINS = {
    "SC_rgb_jpeg.dcm": "SC_rgb_jpeg_dcmd.dcm",
    "SC_rgb_rle_16bit.dcm": "SC_rgb_rle.dcm",
    "SC_rgb_rle_16bit_2frame.dcm": "SC_rgb_rle_2frame.dcm",
    "SC_rgb_rle_32bit.dcm": "SC_rgb_rle.dcm",
    "SC_rgb_rle_32bit_2frame.dcm": "SC_rgb_rle_2frame.dcm",
    "rtdose_expb.dcm": "rtdose.dcm",
}
FIRST_FRAME = {"rtdose_1frame.dcm", "rtdose_expb_1frame.dcm", "rtdose_rle_1frame.dcm"}


def shipped():
    """Returns pydicom's example files that have pixels."""
    for path in sorted(p for p in SHIPPED.rglob("*") if p.is_file()):
        try:
            data = pydicom.dcmread(path, force=True)
        except Exception:
            continue
        if "PixelData" in data:
            yield path


def by_sitk(path):
    """Decodes a file by SimpleITK, dark to bright."""
    values = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    return values > 0 if "liver" in path.name else values  # One bit: 255 in SimpleITK.


@pytest.mark.filterwarnings("ignore:The pixel data is .* bytes long:UserWarning")
def test_every_file_that_pydicom_ships_is_as_another_decoder_shows_it():
    sitk.ProcessObject_SetGlobalWarningDisplay(False)
    compared, refused = 0, set()
    for path in shipped():
        try:
            found = pixels.pixels(str(path), file.read(path))
        except CaseError as error:
            assert re.search(REFUSED[path.name], str(error)), error
            assert str(path) in str(error)
            refused.add(path.name)
            continue
        judge = path.with_name(TWINS.get(path.name, path.name))
        if path.name in FIRST_FRAME:
            expected = by_sitk(path.with_name("rtdose.dcm"))[0]
        else:
            expected = by_sitk(judge).reshape(found.shape)
        np.testing.assert_allclose(found, expected, atol=1e-3, err_msg=str(path))
        compared += 1
    assert refused == set(REFUSED)
    assert compared > 90


@pytest.fixture
def colours():
    """Returns a picture of 5 x 6 squares, (40, 48, 3)."""
    squares = np.random.default_rng(0).integers(0, 255, (5, 6, 3)).astype(np.uint8)
    return np.kron(squares, np.ones((8, 8, 1), np.uint8))


def written(path, values, syntax, bits=0, planar=0, **changes):
    """Reads back a file of (rows, columns[, 3]) or several of (frame, rows, columns)."""
    uid = getattr(pydicom.uid, syntax)
    data = with_pixels(base("1.2.3", "OT"), values)
    colour = values.shape[-1] == 3
    data.Rows, data.Columns = values.shape[:2] if colour else values.shape[-2:]
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    data.file_meta.TransferSyntaxUID = uid
    data.BitsAllocated = 8 * values.dtype.itemsize
    data.BitsStored = bits or data.BitsAllocated
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, 0
    data.SamplesPerPixel = 3 if colour else 1
    if colour:
        data.PlanarConfiguration = planar
        values = np.moveaxis(values, -1, 0) if planar else values
    elif values.ndim == 3:
        data.NumberOfFrames = len(values)
    order = "<" if uid.is_little_endian else ">"
    data.PixelData = values.astype(values.dtype.newbyteorder(order)).tobytes()
    data["PixelData"].VR = "OB" if values.dtype == np.uint8 else "OW"
    for name, value in changes.items():
        setattr(data, name, value)
    data.save_as(path, enforce_file_format=True)
    return pixels.pixels(str(path), file.read(path))


SYNTAXES = ["ExplicitVRLittleEndian", "ExplicitVRBigEndian", "ImplicitVRLittleEndian"]


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("space", ["RGB", "YBR_FULL"])
def test_colours_are_converted_once(tmp_path, colours, syntax, planar, space):
    stored = pydicom.pixels.convert_color_space(colours, "RGB", space)
    found = written(tmp_path / "a", stored, syntax, planar=planar, PhotometricInterpretation=space)
    np.testing.assert_allclose(found.astype(int), colours, atol=0 if space == "RGB" else 1)


def test_two_pixels_may_share_their_colour(tmp_path, colours):
    pairs = pydicom.pixels.convert_color_space(colours, "RGB", "YBR_FULL").reshape(-1, 2, 3)
    shared = np.concatenate([pairs[:, :, 0], pairs[:, 0, 1:]], axis=1)
    found = written(
        tmp_path / "a", colours, "ExplicitVRLittleEndian",
        PhotometricInterpretation="YBR_FULL_422", PixelData=shared.tobytes(),
    )  # fmt: skip
    np.testing.assert_allclose(found.astype(int), colours, atol=1)


@pytest.mark.parametrize("syntax", SYNTAXES[:2])
@pytest.mark.parametrize("bits", [10, 12, 16])
def test_colours_of_more_bits_are_as_bright(tmp_path, colours, syntax, bits):
    stored = (colours.astype(np.uint16) << (bits - 8)) + 3
    found = written(tmp_path / "a", stored, syntax, bits, PhotometricInterpretation="RGB")
    np.testing.assert_array_equal(found, colours)


def palette(table, first, bits, in_words, segmented, order):
    """Returns elements of a palette; two entries of 8 bits share a word, unless padded."""
    fields = {}
    for colour, entries in zip(("Red", "Green", "Blue"), table.T, strict=True):
        name = f"{colour}PaletteColorLookupTable"
        fields[f"{name}Descriptor"] = [len(entries), first, bits]
        values = np.concatenate([[0, len(entries)], entries]) if segmented else entries
        if bits == 8 and not in_words:
            values = values.astype("u1").view("<u2")
        name = f"Segmented{name}" if segmented else name
        fields[f"{name}Data"] = values.astype(f"{order}u2").tobytes()
    return fields


@pytest.mark.parametrize("syntax", SYNTAXES[:2])
@pytest.mark.parametrize("first", [0, 5])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("bits", "in_words", "segmented"),
    [(8, False, False), (8, True, False), (16, True, False), (8, False, True), (16, True, True)],
)
@pytest.mark.parametrize("frames", [1, 3])
def test_a_palette_is_looked_up(tmp_path, syntax, first, dtype, bits, in_words, segmented, frames):
    rng = np.random.default_rng(0)
    table, numbers = rng.integers(0, 256, (20, 3)), rng.integers(0, 20, (frames, 40, 48))
    numbers = numbers if frames > 1 else numbers[0]
    order = ">" if syntax == "ExplicitVRBigEndian" else "<"
    stored = table * 257 if bits == 16 else table
    fields = palette(stored, first, bits, in_words, segmented, order)
    found = written(
        tmp_path / "a", (numbers + first).astype(dtype), syntax,
        PhotometricInterpretation="PALETTE COLOR", **fields,
    )  # fmt: skip
    np.testing.assert_array_equal(found, table[numbers])


@pytest.mark.parametrize("bits", [8, 16])
def test_a_long_palette_of_8_bits_is_looked_up(tmp_path, bits):
    """Also if it declares 16 bits."""
    rng = np.random.default_rng(0)
    table, numbers = rng.integers(0, 256, (1000, 3)), rng.integers(0, 1000, (40, 48))
    found = written(
        tmp_path / "a", numbers.astype(np.uint16), "ExplicitVRLittleEndian",
        PhotometricInterpretation="PALETTE COLOR",
        **palette(table, 0, bits, bits == 16, False, "<"),
    )  # fmt: skip
    np.testing.assert_array_equal(found, table[numbers])


def test_grey_in_three_samples_is_refused(tmp_path, colours):
    with pytest.raises(CaseError, match=r"SamplesPerPixel: expected 3 of RGB .* of MONOCHROME2"):
        written(tmp_path / "a", colours, SYNTAXES[0], PhotometricInterpretation="MONOCHROME2")


@pytest.mark.parametrize("space", ["HSV", "YBR_PARTIAL_422", "CMYK"])
def test_a_colour_space_that_is_not_known_is_refused(tmp_path, colours, space):
    with pytest.raises(CaseError, match=f"PhotometricInterpretation: expected .* found {space}"):
        written(tmp_path / "a", colours, "ExplicitVRLittleEndian", PhotometricInterpretation=space)


@pytest.mark.parametrize(
    ("syntax", "space"), [("JPEG2000", "YBR_ICT"), ("RLELossless", "YBR_FULL")]
)
def test_compressed_colours_are_converted_once(tmp_path, colours, syntax, space):
    stored = colours
    if space == "YBR_FULL":
        stored = pydicom.pixels.convert_color_space(colours, "RGB", space)
    path = tmp_path / "a"
    written(path, stored, "ExplicitVRLittleEndian", PhotometricInterpretation="RGB")
    data = pydicom.dcmread(path)
    data.PhotometricInterpretation = space
    options = {"j2k_cr": [2]} if syntax == "JPEG2000" else {}
    data.compress(getattr(pydicom.uid, syntax), generate_instance_uid=False, **options)
    data.save_as(path)
    found = pixels.pixels(str(path), file.read(path))
    np.testing.assert_allclose(found.astype(int), colours, atol=2)


@pytest.mark.parametrize("name", ["SC_rgb_jpeg_gdcm.dcm", "JPGExtended.dcm"])
def test_a_broken_jpeg_ends_no_process(tmp_path, name):
    """Its table of codes has an invalid number, on which GDCM would abort."""
    content = (SHIPPED / "test_files" / name).read_bytes()
    at = content.index(b"\xff\xc4") + 4
    path = tmp_path / name
    path.write_bytes(content[:at] + b"\x0f" + content[at + 1 :])
    with pytest.raises(CaseError, match=rf"{name}: pixels cannot be decoded"):
        pixels.pixels(str(path), file.read(path))
