"""DICOM files are found by their content, and a bad file does not stop the run."""

import re
from collections import Counter

import numpy as np
import pytest
from dicom_files import base, square, write_series, write_structures
from PIL import Image

from samjax import extra
from samjax.curation import discover, formats, local, prepare
from samjax.curation.formats.dicom import header
from samjax.curation.options import CurationOptions

pydicom = extra.require("pydicom", "data")
STORED = CurationOptions(orientation="stored")


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 1000, (16, 18, 12)).astype(np.int16)


def prepared(root):
    target, options = root.parent / f"{root.name}_target", CurationOptions(axes="z")
    return prepare.prepare(root, target, options, executor=local.with_processes(1))


def without_preamble(path, syntax, with_meta):
    data = pydicom.dcmread(path)
    data.file_meta.TransferSyntaxUID = uid = getattr(pydicom.uid, syntax)
    if not with_meta:
        del data.file_meta
    data.preamble = None
    pydicom.dcmwrite(
        path, data, implicit_vr=uid.is_implicit_VR, little_endian=True, enforce_file_format=False
    )
    assert path.read_bytes()[128:132] != b"DICM"


@pytest.mark.parametrize(
    "name",
    [
        "1-{:02}.dcm",
        "1.2.840.113619.2.55.3.{}",
        "{:06}",
        "IM-0001-{:04}",
        "{}.IMA",
        "{}.dicom",
        "{}.img",
    ],
)
def test_files_are_found_whatever_their_name(tmp_path, image, name):
    for number, path in enumerate(write_series(tmp_path / "ct", image)):
        path.rename(path.with_name(name.format(number)))
    write_structures(tmp_path / "RS.1.2.3.4", [square(4, 3, 9)])
    found = discover.discover(tmp_path, STORED)
    assert not found.problems
    (source,) = found.sources
    assert len(source.images) == image.shape[2]
    assert formats.read(tmp_path, source, STORED).labels[0].values[3:9, 3:9, 4].all()


@pytest.mark.parametrize("syntax", ["ImplicitVRLittleEndian", "ExplicitVRLittleEndian"])
@pytest.mark.parametrize("with_meta", [True, False])
@pytest.mark.parametrize("name", ["{}.dcm", "{}"])
def test_a_preamble_is_not_needed(tmp_path, image, syntax, with_meta, name):
    for number, path in enumerate(write_series(tmp_path / "ct", image)):
        without_preamble(path, syntax, with_meta)
        path.rename(path.with_name(name.format(number)))
    write_structures(tmp_path / "rs.dcm", [square(4, 3, 9)])
    found = discover.discover(tmp_path, STORED)
    assert not found.problems
    case = formats.read(tmp_path, found.sources[0], STORED)
    np.testing.assert_array_equal(case.image, 2 * image.astype(int) - 1000)


@pytest.mark.parametrize(
    "content",
    [b"", b"a", b"\x08\0", b"hello, world, this is text", b"\x89PNG\r\n\x1a\n" * 20, bytes(200),
     b"\x08\0\0\0" + b"\xff" * 100, b"II*\0\x08\0\0\0" * 30],
)  # fmt: skip
def test_what_is_no_dicom_is_not_taken_for_it(tmp_path, content):
    path = tmp_path / "1.2.3"
    path.write_bytes(content)
    assert not header.is_dicom(path)


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (
            "P{patient}/{kind}",
            {"P0": 2, "P1": 2, "P2": 2},
        ),  # Studies in a patient's folder are one.
        ("scans", {f"{kind}.{n}.2": 1 for kind in (3, 4) for n in range(3)}),
    ],
)
def test_without_an_id_the_patient_is_the_folder_or_the_study(tmp_path, image, place, expected):
    """Each has a CT and an MR, in studies of their own."""
    for patient in range(3):
        for kind, folder in ((3, "CT"), (4, "MR")):
            uid = f"{kind}.{patient}"
            at = tmp_path / place.format(patient=patient, kind=folder)
            for number, path in enumerate(write_series(at, image, uid, PatientID="")):
                path.rename(at / f"{uid}-{number:02}.dcm")
            write_structures(at / f"rs-{uid}.dcm", [square(4, 3, 9)], uid)
    sources = discover.discover(tmp_path, STORED).sources
    assert Counter(source.subject for source in sources) == expected


def test_copies_of_files_are_left_out_and_named(tmp_path, image):
    files = write_series(tmp_path / "ct", image)
    write_structures(tmp_path / "rs.dcm", [square(4, 3, 9)])
    for path in (files[3], tmp_path / "rs.dcm"):
        path.with_name(f"{path.stem}_copy.dcm").write_bytes(path.read_bytes())
    summary = prepared(tmp_path)
    assert summary.counts.masks == 1
    assert {p.detail for p in summary.problems} == {
        f"ct/{files[3].stem}_copy.dcm: expected every DICOM file once, "
        f"found ct/{files[3].name} that is the same",
        "rs_copy.dcm: expected every DICOM file once, found rs.dcm that is the same",
    }


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI:UserWarning")
def test_files_that_are_neither_image_nor_label_are_reported_and_no_failure(tmp_path, image):
    """Plans, doses, reports, an index of files; the dose has the frame of reference of the CT."""
    write_series(tmp_path / "ct", image)
    write_structures(tmp_path / "rs.dcm", [square(4, 3, 9)], uid="not.here")
    data = pydicom.dcmread(tmp_path / "rs.dcm")
    data.ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID = "1.2.3.1"
    data.save_as(tmp_path / "rs.dcm")
    (dose,) = write_series(tmp_path / "dose", image[:, :, :1], "7.7", Modality="RTDOSE")
    data = pydicom.dcmread(dose)
    data.FrameOfReferenceUID = "1.2.3.1"
    data.save_as(dose)
    base("8.8", "SR").save_as(tmp_path / "report", enforce_file_format=True)
    summary = prepared(tmp_path)
    assert summary.is_clean
    (problem,) = summary.problems
    assert problem.detail == (
        "dose/03.dcm: expected DICOM images or labels, found RTDOSE, SR in 2 files, "
        "which are left alone"
    )
    assert summary.cases == 1


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("NumberOfFrames", b"1A", "NumberOfFrames: expected a number, found: .*'1A'"),
        ("PixelSpacing", b"0.5\\wide", "PixelSpacing: expected 2 numbers, found .*wide"),
        ("ImagePositionPatient", b"1\\2\\3,5 ", "ImagePositionPatient: expected 3 numbers"),
        ("RescaleSlope", b"one ", "expected numbers as RescaleSlope and .*, found .'one'"),
    ],
)
def test_a_bad_number_ends_no_run(tmp_path, image, name, value, reason):
    bad = write_series(tmp_path / "bad", image, "6.6.6", PatientID="P8")[5]
    data = pydicom.dcmread(bad)
    element = pydicom.dataelem.RawDataElement(
        pydicom.tag.Tag(name), "DS" if name != "NumberOfFrames" else "IS", len(value), value, 0,
        False, True,
    )  # fmt: skip
    data._dict[element.tag] = element
    data.save_as(bad)
    assert value.strip() in bad.read_bytes()
    write_structures(tmp_path / "bad.dcm", [square(4, 3, 9)], "6.6.6")
    write_series(tmp_path / "good", image)
    write_structures(tmp_path / "good.dcm", [square(4, 3, 9)])
    (tmp_path / "images").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "images/p1_001.png")
    summary = prepared(tmp_path)
    assert not summary.is_clean
    assert summary.cases >= 1
    text = str(summary)
    assert bad.name in text
    assert re.search(reason, text), text
