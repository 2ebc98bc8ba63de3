"""Decodes pixels of a DICOM file, in one colour space and in physical units."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from samjax import extra
from samjax.curation.case import CaseError
from samjax.curation.formats.dicom import file

GREY = ("MONOCHROME1", "MONOCHROME2")
RGB, PALETTE = "RGB", "PALETTE COLOR"
COLOURS = ("Red", "Green", "Blue")
# pydicom's decoders to use, in this order; for RLE only its own. A broken file would end the
# process in GDCM's, and panic in pylibjpeg-rle's.
OWN, PLUGINS = "pydicom", ("pylibjpeg", "pillow")
CAPTURE = "1.2.840.10008.5.1.4.1.1.7"  # A picture of any kind.


def pixels(path: str, data: Any) -> np.ndarray:
    """Returns pixels of a file: in physical units, dark to bright, or RGB.

    Raises:
        CaseError: Pixels are cut off, or in an unknown compression or colour space.
    """
    values = picture(path, data)
    is_grey = str(data.get("PhotometricInterpretation", "")) in GREY
    return in_units(path, values, data) if is_grey else values


def picture(path: str, data: Any) -> np.ndarray:
    """Returns stored values, dark to bright, or 8-bit RGB: ([frames,] rows, columns[, 3]).

    Raises:
        CaseError: As in `pixels`.
    """
    values, interpretation, bits = _decode(path, data)
    if interpretation not in (RGB, PALETTE, *GREY):
        raise CaseError(
            f"{path}: PhotometricInterpretation: expected RGB, YBR_FULL, YBR_FULL_422, YBR_ICT, "
            f"YBR_RCT, PALETTE COLOR, MONOCHROME1 or MONOCHROME2, found {interpretation}"
        )
    samples = int(data.get("SamplesPerPixel", 1))
    if samples != (3 if interpretation == RGB else 1):
        raise CaseError(
            f"{path}: SamplesPerPixel: expected 3 of RGB and 1 of any other, found {samples} of "
            f"{interpretation}"
        )
    if interpretation == PALETTE:
        return _looked_up(path, values, data)
    if interpretation == RGB:
        return _of_8_bits(values, bits)
    if interpretation == "MONOCHROME1":  # Low values are bright.
        signed = int(data.get("PixelRepresentation", 0))
        return (-1 if signed else 2**bits - 1) - values.astype(np.int32 if bits < 32 else np.int64)
    return values


def in_units(path: str, values: np.ndarray, header: Any) -> np.ndarray:
    """Converts stored values to physical units, by slope and intercept or by a table.

    Raises:
        CaseError: Slope, intercept or table cannot be used.
    """
    try:
        values = extra.require("pydicom.pixels", "data").apply_modality_lut(values, header)
    except (ValueError, TypeError, AttributeError, IndexError) as error:
        slope = header.get("RescaleSlope"), header.get("RescaleIntercept")
        raise CaseError(
            f"{path}: expected numbers as RescaleSlope and RescaleIntercept, found {slope}: {error}"
        ) from error
    if values.dtype == np.float64:
        whole = np.rint(values)
        values = whole.astype(np.int32) if np.array_equal(whole, values) else values.astype("f4")
    return values


def decoded(path: str, data: Any) -> np.ndarray:
    """Returns pixels as they are stored, without colours or units.

    Raises:
        CaseError: Pixels are cut off, or in a compression that no installed library decodes.
    """
    return _decode(path, data)[0]


def _decode(path: str, data: Any) -> tuple[np.ndarray, str, int]:
    """Returns decoded values, their colour space, and their bits.

    The decoders turn YCbCr into RGB where they can, so their answer is used.
    """
    try:
        values, about = _values(data)
    except Exception as error:  # Every decoder raises its own kinds.
        reason = " ".join(str(error).split())
        raise CaseError(f"{path}: pixels cannot be decoded: {reason}") from error
    if values.dtype.byteorder == ">":
        values = values.astype(values.dtype.newbyteorder("="))
    stored = about.get("photometric_interpretation") or data.PhotometricInterpretation
    bits = about.get("bits_stored") or data.get("BitsStored") or 8 * values.dtype.itemsize
    return values, str(stored), int(bits)


def _values(data: Any) -> tuple[np.ndarray, dict[str, Any]]:
    """Decodes by the first library that can; raises what the first one raised."""
    decoder = extra.require("pydicom.pixels", "data").get_decoder(data.file_meta.TransferSyntaxUID)
    if decoder.is_native:
        return decoder.as_array(data)
    first = None
    for plugin in (OWN,) if OWN in decoder.available_plugins else PLUGINS:
        if plugin in decoder.available_plugins:
            try:
                return decoder.as_array(data, decoding_plugin=plugin)
            except Exception as error:  # A plugin may fail on formats that it lists.
                first = first or error
    uid = extra.require("pydicom.uid", "data")
    if data.file_meta.TransferSyntaxUID in uid.JPEGTransferSyntaxes + uid.JPEGLSTransferSyntaxes:
        return _by_sitk(data)
    if first is None and data.file_meta.TransferSyntaxUID in uid.JPEG2000TransferSyntaxes:
        extra.require("openjpeg", "data")
    raise first or ValueError(f"no library for {data.file_meta.TransferSyntaxUID.name}")


def _by_sitk(data: Any) -> tuple[np.ndarray, dict[str, Any]]:
    """Decodes JPEG-LS, lossless JPEG and 12-bit JPEG from a copy that has pixels only.

    SimpleITK would otherwise apply slopes and invert MONOCHROME1.
    """
    pydicom, sitk = extra.require("pydicom", "data"), extra.require("SimpleITK", "data")
    alone = pydicom.Dataset()
    alone.update({element.tag: element for element in data.group_dataset(0x0028)})
    for name in ("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"):
        alone.pop(name, None)
    alone["PixelData"], alone.file_meta = data["PixelData"], data.file_meta
    alone.SOPClassUID, alone.SOPInstanceUID = CAPTURE, "1.2.3"
    colour = int(data.SamplesPerPixel) == 3
    if not colour:
        alone.PhotometricInterpretation = "MONOCHROME2"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "alone.dcm"
        alone.save_as(path, enforce_file_format=True)
        values = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    values = values if file.frame_count(data) > 1 else values[0]
    return values, {"photometric_interpretation": RGB} if colour else {}


def _looked_up(path: str, values: np.ndarray, data: Any) -> np.ndarray:
    """Looks up the colours of a palette, RGB of 8 bits."""
    try:
        table, bits = _table(data)
        colours = extra.require("pydicom.pixels", "data").apply_color_lut(values, table)[..., :3]
    except (AttributeError, ValueError, IndexError, TypeError) as error:
        raise CaseError(f"{path}: palette cannot be read: {error}") from error
    return _of_8_bits(colours, bits)


def _table(data: Any) -> tuple[Any, int]:
    """Returns a palette with 16-bit entries in native byte order, and the bits that they use.

    pydicom does not handle 8-bit tables of 16-bit numbers, nor tables of another byte order.
    """
    pydicom = extra.require("pydicom", "data")
    swapped = data.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRBigEndian
    table = pydicom.Dataset()
    table.file_meta = pydicom.dataset.FileMetaDataset()
    table.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    entries, first, bits = map(int, data.RedPaletteColorLookupTableDescriptor)
    for colour in COLOURS:
        name = f"{colour}PaletteColorLookupTableData"
        segmented, depth = name not in data, 16
        name = f"Segmented{name}" if segmented else name
        stored = bytes(data[name].value)
        stored += b"\0" * (len(stored) % 2)
        words = np.frombuffer(stored, ">u2" if swapped else "<u2").astype("<u2")
        if bits == 8 and (segmented or words.size < (entries or 2**16)):
            words = words.view("u1")  # Two in a word, the first in its low byte.
            if segmented and 0 < entries <= 256:  # Its segments' addresses count bytes.
                depth = 8
            else:
                words = words.astype("<u2")
        if not segmented:
            words = words[: entries or 2**16]
        setattr(table, f"{colour}PaletteColorLookupTableDescriptor", [entries, first, depth])
        setattr(table, name, words.tobytes())
    return table, bits


def _of_8_bits(colours: np.ndarray, bits: int) -> np.ndarray:
    if bits > 8 and colours.max(initial=0) > 255:  # Files may say 16 bits and use 8.
        colours = colours >> (bits - 8)
    return colours.astype(np.uint8)
