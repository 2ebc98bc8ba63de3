import numpy as np
import pytest
from dicom_files import (
    base,
    nested,
    square,
    with_pixels,
    write_film,
    write_film_segmentation,
    write_segmentation,
    write_series,
    write_structures,
)
from PIL import Image

from samjax import extra
from samjax.curation import curate, discover, formats, prepare
from samjax.curation.case import CaseError
from samjax.curation.formats.dicom import contours
from samjax.curation.options import CurationOptions, Dataset

pydicom = extra.require("pydicom", "data")
STORED = CurationOptions(orientation="stored")


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 1000, (16, 18, 12)).astype(np.int16)


def only(root, options=STORED):
    found = discover.discover(root, options)
    assert not found.problems
    (source,) = found.sources
    return source


def test_a_series_is_stacked_by_position_in_its_own_units(tmp_path, image):
    write_series(tmp_path / "ct", image)
    write_structures(tmp_path / "rs.dcm", [square(4, 3, 9), square(5, 3, 9)])
    source = only(tmp_path)
    assert (source.subject, source.modality, source.dataset) == ("P7", "ct_00", "ct")
    case = formats.read(tmp_path, source, STORED)
    np.testing.assert_array_equal(case.image, 2 * image.astype(int) - 1000)
    assert case.spacing == pytest.approx((2, 0.5, 3))
    expected = np.zeros(image.shape, bool)
    expected[3:9, 3:9, 4:6] = True
    np.testing.assert_array_equal(case.labels[0].values, expected)
    assert case.labels[0].name_of(1) == "GTV"


def test_a_contour_in_another_is_a_hole(tmp_path, image):
    write_series(tmp_path / "ct", image)
    write_structures(tmp_path / "rs.dcm", [square(4, 2, 12), square(4, 5, 8)])
    values = formats.read(tmp_path, only(tmp_path), STORED).labels[0].values
    assert values.sum() == 10 * 10 - 3 * 3
    assert not values[5:8, 5:8].any()


def test_a_pixel_is_inside_if_its_centre_is():
    corners = np.array([(1.6, 1.0), (4.4, 1.0), (4.4, 3.9), (1.6, 3.9)])
    found = contours.polygon(corners, (7, 6))
    expected = np.zeros((7, 6), np.uint8)
    expected[2:5, 2:4] = 1  # The lower edge counts, the upper one does not.
    expected[2:5, 1] = found[2:5, 1]
    np.testing.assert_array_equal(found, expected)


def test_a_contour_across_slices_is_refused(tmp_path, image):
    write_series(tmp_path / "ct", image)
    tilted = square(4, 3, 9)
    tilted[0] = (*tilted[0][:2], 9.0)
    write_structures(tmp_path / "rs.dcm", [tilted])
    with pytest.raises(CaseError, match="expected contours in the planes of the slices"):
        formats.read(tmp_path, only(tmp_path), STORED)


def test_only_regions_of_the_table_are_taken(tmp_path, image):
    write_series(tmp_path / "ct", image)
    write_structures(tmp_path / "rs.dcm", [square(4, 3, 9)])
    options = CurationOptions((Dataset(classes={"Liver": 1}),), orientation="stored")
    with pytest.raises(CaseError, match=r"rs.dcm: expected labels on this series, found none"):
        formats.read(tmp_path, only(tmp_path, options), options)


def test_names_of_labels_are_made_one(tmp_path, image):
    """Some write GTV_1 and others gtv; the patient's outline is no object."""
    write_series(tmp_path / "ct", image)
    for number, name in enumerate(("GTV_1", "External", "bladder")):
        outline = square(4 + number, 3, 9)
        write_structures(tmp_path / f"{number}.dcm", [outline], name=name)
    known = Dataset(rename={"(GTV|gtv).*": "gtv", "External|BODY": ""})
    options = CurationOptions((known,), orientation="stored", axes="z")
    source = only(tmp_path, options)
    assert prepare.classes(source, tmp_path, options).classes == ("bladder", "gtv")
    case = formats.read(tmp_path, source, options)
    found = curate.slices_of(case, source, options, curate.Counts())
    assert {one.number: [name for name, _ in one.masks] for one in found} == {
        4: ["gtv"],
        6: ["bladder"],
    }


@pytest.mark.parametrize("slices", [1, 12])
def test_low_values_may_be_bright(tmp_path, image, slices):
    """The same in all slices, whatever their extremes; signed here: -1 is the inverse of 0."""
    image = image[:, :, :slices]
    write_series(tmp_path / "ct", image, PhotometricInterpretation="MONOCHROME1")
    write_structures(tmp_path / "rs.dcm", [square(0, 3, 9)])
    case = formats.read(tmp_path, only(tmp_path), STORED)
    inverted = 2 * (-1 - image.astype(int)) - 1000
    assert case.is_volume == (slices > 1)
    np.testing.assert_array_equal(case.image, inverted if slices > 1 else inverted[:, :, 0].T)


def test_a_dark_still_of_8_bits_is_turned_around(tmp_path, film):
    frames, mask = film
    path = write_film(tmp_path / "film.dcm", frames[..., 0])
    data = pydicom.dcmread(path)
    data.PhotometricInterpretation = "MONOCHROME1"
    data.save_as(path)
    write_film_segmentation(tmp_path / "seg.dcm", data, mask)
    source = only(tmp_path)
    case = formats.read(tmp_path, source, STORED)
    (one, *_) = curate.slices_of(case, source, STORED, curate.Counts())
    np.testing.assert_array_equal(one.image, 255 - frames[4, ..., 0])


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
@pytest.mark.parametrize("files_each", ["slice", "series"])
def test_a_segmentation_is_read_on_its_series(tmp_path, image, files_each, kind):
    if files_each == "slice":
        files = write_series(tmp_path / "ct", image)
    else:
        (tmp_path / "ct").mkdir()
        files = [tmp_path / "ct/all.dcm"]
        enhanced(image).save_as(files[0], enforce_file_format=True)
    mask = np.zeros((image.shape[2], image.shape[1], image.shape[0]), bool)
    mask[4:6, 3:9, 2:7] = True
    write_segmentation(tmp_path / "seg.dcm", files, mask, kind)
    case = formats.read(tmp_path, only(tmp_path), STORED)
    assert case.labels[0].name_of(1) == "liver"
    np.testing.assert_array_equal(case.labels[0].values, mask.transpose(2, 1, 0))


@pytest.mark.parametrize(
    "change",
    [
        {"ImageOrientationPatient": [0, 1, 0, 1, 0, 0]},
        {"PixelSpacing": [0.5, 1]},
        {},  # Two millimetres further back.
    ],
)
def test_a_segmentation_of_another_place_is_refused(tmp_path, image, change):
    files = write_series(tmp_path / "ct", image)
    mask = np.zeros((image.shape[2], image.shape[1], image.shape[0]), bool)
    mask[4, 3:9, 2:7] = True
    write_segmentation(tmp_path / "seg.dcm", files, mask)
    for path in files:
        data = pydicom.dcmread(path)
        for name, value in change.items():
            setattr(data, name, value)
        if not change:
            data.ImagePositionPatient[1] = 22
        data.save_as(path)
    with pytest.raises(CaseError, match="found one of 18 x 16 elsewhere"):
        formats.read(tmp_path, only(tmp_path), STORED)


def test_two_slices_at_one_place_are_refused(tmp_path, image):
    write_series(tmp_path / "a", image)
    write_series(tmp_path / "b", image[:, :, :1])
    write_structures(tmp_path / "rs.dcm", [square(4, 3, 9)])
    with pytest.raises(CaseError, match=r"expected one slice at a place, found .* there, too"):
        formats.read(tmp_path, only(tmp_path), STORED)


def test_a_missing_slice_is_noticed(tmp_path, image):
    write_series(tmp_path / "ct", image)[5].unlink()
    write_structures(tmp_path / "rs.dcm", [square(4, 3, 9)])
    with pytest.raises(CaseError, match=r"equal steps, found from 3.00 to 6.00 mm; is one missing"):
        formats.read(tmp_path, only(tmp_path), STORED)


def test_slices_of_another_size_are_refused(tmp_path, image):
    write_series(tmp_path / "a", image)
    odd = with_pixels(pydicom.dcmread(next((tmp_path / "a").iterdir())), np.zeros((4, 5)))
    odd.ImagePositionPatient = [10, 20, 300]
    odd.save_as(tmp_path / "a/odd.dcm")
    write_structures(tmp_path / "rs.dcm", [square(4, 3, 9)])
    with pytest.raises(CaseError, match="expected one Rows in a series"):
        formats.read(tmp_path, only(tmp_path), STORED)


def test_a_cut_off_file_is_named(tmp_path, image):
    path = write_series(tmp_path / "ct", image)[3]
    write_structures(tmp_path / "rs.dcm", [square(4, 3, 9)])
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(CaseError, match=rf"{path.name}: pixels cannot be decoded"):
        formats.read(tmp_path, only(tmp_path), STORED)
    path.write_bytes(path.read_bytes()[:50])
    (problem,) = discover.discover(tmp_path, STORED).problems
    assert problem.kind == "unreadable"
    assert path.name in problem.detail


def test_series_and_labels_without_each_other_are_reported(tmp_path, image):
    write_series(tmp_path / "ct", image)
    write_structures(tmp_path / "rs.dcm", [square(4, 3, 9)], uid="5.5.5")
    kinds = {problem.kind for problem in discover.discover(tmp_path, STORED).problems}
    assert kinds == {"no_label", "no_image"}


def test_slices_come_upright_whatever_the_order_of_the_series(tmp_path, image):
    write_series(tmp_path / "ct", image)
    write_structures(tmp_path / "rs.dcm", [square(4, 3, 9)])
    source = only(tmp_path)
    case = formats.read(tmp_path, source, CurationOptions())
    np.testing.assert_array_equal(case.image[:, :, ::-1], 2 * image.astype(int) - 1000)
    (one, *_) = curate.slices_of(case, source, CurationOptions(axes="z"), curate.Counts())
    assert one.number == image.shape[2] - 1 - 4
    assert one.spacing == pytest.approx((0.5, 2, 3))


def enhanced(image, uid="1.2.3"):
    """Writes the slices of a volume as frames of one file, each with position and slope."""
    data = base(uid)
    data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.NumberOfFrames = image.shape[2]
    with_pixels(data, image[:, :, 0].T)
    data.PixelData = np.ascontiguousarray(image.transpose(2, 1, 0)).astype(np.int16).tobytes()

    shared = pydicom.Dataset()
    shared.PlaneOrientationSequence = nested(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    shared.PixelMeasuresSequence = nested(PixelSpacing=[0.5, 2], SliceThickness=3)
    shared.PixelValueTransformationSequence = nested(RescaleSlope=2, RescaleIntercept=-1000)
    data.SharedFunctionalGroupsSequence = [shared]
    groups = []
    for z in range(image.shape[2]):
        group = pydicom.Dataset()
        group.PlanePositionSequence = nested(ImagePositionPatient=[10, 20, 3 * z - 7])
        groups.append(group)
    data.PerFrameFunctionalGroupsSequence = groups
    return data


def test_an_enhanced_file_is_a_series_in_one(tmp_path, image):
    (tmp_path / "ct").mkdir()
    enhanced(image).save_as(tmp_path / "ct/all.dcm", enforce_file_format=True)
    write_structures(tmp_path / "rs.dcm", [square(4, 3, 9)])
    case = formats.read(tmp_path, only(tmp_path), STORED)
    np.testing.assert_array_equal(case.image, 2 * image.astype(int) - 1000)
    assert case.spacing == pytest.approx((2, 0.5, 3))
    assert case.labels[0].values[3:9, 3:9, 4].all()


def test_a_picture_in_colours_keeps_them(tmp_path):
    colours = np.random.default_rng(0).integers(0, 255, (20, 24, 3)).astype(np.uint8)
    write_film(tmp_path / "still", colours[None], modality="ES")  # Known by its first bytes.
    found = discover.discover(tmp_path, STORED)
    assert [problem.kind for problem in found.problems] == ["no_label"]
    label = np.zeros((20, 24), np.uint8)
    label[3:9, 5:12] = 255
    Image.fromarray(label).save(tmp_path / "still_mask.png")
    case = formats.read(tmp_path, only(tmp_path), STORED)
    np.testing.assert_array_equal(case.image, colours)
    np.testing.assert_array_equal(case.labels[0].values, label > 0)


@pytest.fixture
def film():
    """Returns twelve frames in colours, 40 x 24, and objects in three of them."""
    frames = np.random.default_rng(0).integers(0, 255, (12, 40, 24, 3)).astype(np.uint8)
    mask = np.zeros(frames.shape[:3], bool)
    mask[4:7, 3:19, 2:12] = True
    return frames, mask


@pytest.mark.parametrize("labels", ["seg.dcm", "film_mask.nii.gz", "film_mask.tif"])
@pytest.mark.parametrize("colour", [True, False])
def test_every_frame_of_a_film_is_an_image(tmp_path, film, labels, colour):
    frames, mask = film
    frames = frames if colour else frames[..., 0]
    path = write_film(tmp_path / "film.dcm", frames)
    if labels == "seg.dcm":
        write_film_segmentation(tmp_path / labels, pydicom.dcmread(path), mask)
    elif labels == "film_mask.tif":
        pages = [Image.fromarray(np.where(page, np.uint8(255), np.uint8(0))) for page in mask]
        pages[0].save(tmp_path / labels, save_all=True, append_images=pages[1:])
    else:
        nibabel = extra.require("nibabel", "data")
        values = mask.transpose(2, 1, 0).astype(np.uint8)
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / labels)
    source = only(tmp_path, CurationOptions())
    case = formats.read(tmp_path, source, CurationOptions())
    found = [*curate.slices_of(case, source, CurationOptions(), curate.Counts())]
    assert [(one.axis, one.number) for one in found] == [("z", 4), ("z", 5), ("z", 6)]
    for one in found:
        np.testing.assert_array_equal(one.image, frames[one.number])
        np.testing.assert_array_equal(one.masks[0][1], mask[one.number])
        assert one.spacing == (0.25, 0.5, 0)


def test_a_film_and_labels_of_another_length_are_refused(tmp_path, film):
    frames, mask = film
    write_film(tmp_path / "film.dcm", frames)
    nibabel = extra.require("nibabel", "data")
    values = mask[:-1].transpose(2, 1, 0).astype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "film_mask.nii.gz")
    with pytest.raises(CaseError, match=r"shape \(24, 40, 12\), found \(24, 40, 11\)"):
        formats.read(tmp_path, only(tmp_path), STORED)


def test_stills_of_one_series_are_cases_of_their_own(tmp_path, film):
    """As two views of a chest: the segmentation refers to one of them."""
    frames, mask = film
    for number in (4, 5):
        path = write_film(tmp_path / f"view_{number}.dcm", frames[number : number + 1])
    write_segmentation(tmp_path / "seg.dcm", [path], mask[5:6])
    found = discover.discover(tmp_path, STORED)
    assert [problem.kind for problem in found.problems] == ["no_label"]
    (source,) = found.sources
    case = formats.read(tmp_path, source, STORED)
    np.testing.assert_array_equal(case.image, frames[5])
    np.testing.assert_array_equal(case.labels[0].values, mask[5])
    (one,) = curate.slices_of(case, source, STORED, curate.Counts())
    assert one.spacing == (0.25, 0.5, 0)


@pytest.mark.parametrize(
    "syntax",
    [
        "RLELossless",
        "JPEGLosslessProcess14",
        "JPEGLosslessProcess14_1",
        "JPEGLSLossless",
        "JPEG2000Lossless",
        "JPEG2000",
        "DeflatedExplicitVRLittleEndian",
        "ExplicitVRBigEndian",
    ],
)
def test_what_archives_compress_by_is_decoded(tmp_path, image, syntax):
    gdcm = pytest.importorskip("gdcm", reason="needs the extra `data`")
    for path in write_series(tmp_path / "ct", image):
        reader = gdcm.ImageReader()
        reader.SetFileName(str(path))
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFileName(str(path))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
    kept = pydicom.dcmread(path).file_meta.TransferSyntaxUID
    assert kept != pydicom.uid.ExplicitVRLittleEndian
    write_structures(tmp_path / "rs.dcm", [square(4, 3, 9)])
    case = formats.read(tmp_path, only(tmp_path), STORED)
    np.testing.assert_array_equal(case.image, 2 * image.astype(int) - 1000)


@pytest.mark.parametrize("orientation", ["stored", "anatomical"])
def test_a_series_may_have_its_labels_in_nifti(tmp_path, image, orientation):
    nibabel = extra.require("nibabel", "data")
    write_series(tmp_path / "set/CT/image", image)
    label = np.zeros(image.shape, np.uint8)
    label[3:9, 2:12, 4:6] = 1
    affine = np.diag([-2.0, -0.5, 3.0, 1.0])
    affine[:3, 3] = (-10, -20, -7)
    nibabel.save(nibabel.Nifti1Image(label, affine), tmp_path / "set/CT_mask.nii.gz")
    options = CurationOptions(orientation=orientation)
    source = only(tmp_path, options)
    assert source.labels == (("set/CT_mask.nii.gz", ""),)
    case = formats.read(tmp_path, source, options)
    expected = label if orientation == "stored" else label[:, :, ::-1]
    np.testing.assert_array_equal(case.labels[0].values, expected)
    affine[0, 3] += 5
    nibabel.save(nibabel.Nifti1Image(label, affine), tmp_path / "set/CT_mask.nii.gz")
    with pytest.raises(CaseError, match=r"CT_mask.nii.gz: expected labels at the image's place"):
        formats.read(tmp_path, source, options)


def test_series_of_one_description_get_distinct_names(tmp_path, image):
    for uid in ("1.2.3", "1.2.4"):
        write_series(tmp_path / uid, image, uid, SeriesDescription="axial")
        write_structures(tmp_path / f"{uid}.dcm", [square(4, 3, 9)], uid)
    found = discover.discover(tmp_path, STORED)
    assert not found.problems
    assert len({source.id for source in found.sources}) == 2
    assert {source.subject for source in found.sources} == {"P7"}
    assert all(source.name.startswith("P7_axial_") for source in found.sources)
