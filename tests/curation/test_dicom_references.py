"""Labels go to the series that they were drawn on, and to no other."""

import numpy as np
import pytest
from dicom_files import base, nested, square, write_segmentation, write_series

from samjax import extra
from samjax.curation import discover, formats, local, prepare
from samjax.curation.case import CaseError
from samjax.curation.formats.dicom.references import LabelPart, SeriesIndex
from samjax.curation.options import CurationOptions

pydicom = extra.require("pydicom", "data")
STORED, ONE = CurationOptions(orientation="stored"), local.with_processes(1)
CT, MR = "1.2.3", "4.5.6"


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 1000, (16, 18, 12)).astype(np.int16)


@pytest.fixture
def study(tmp_path, image):
    """Writes a CT and an MR, each in its own frame of reference; returns the images of both."""
    files = {
        CT: write_series(tmp_path / "ct", image, CT, FrameOfReferenceUID=CT + ".1"),
        MR: write_series(
            tmp_path / "mr", image, MR, Modality="MR", FrameOfReferenceUID=MR + ".1", PatientID="P7"
        ),
    }
    return tmp_path, files


def uids(files):
    """Returns the UIDs of images, from the lowest slice on."""
    slices = sorted((pydicom.dcmread(p) for p in files), key=lambda d: d.ImagePositionPatient[2])
    return [data.SOPInstanceUID for data in slices]


def write_regions(path, listed, regions):
    """Writes an RTSTRUCT that lists series, and (name, its frame, [(slice, its image), ...])."""
    data = base("9.9.9", "RTSTRUCT")
    data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
    del data.FrameOfReferenceUID
    data.ReferencedFrameOfReferenceSequence = [
        frame
        for uid in listed
        for frame in nested(
            FrameOfReferenceUID=uid + ".1",
            RTReferencedStudySequence=nested(
                RTReferencedSeriesSequence=nested(SeriesInstanceUID=uid)
            ),
        )
    ]
    data.StructureSetROISequence, data.ROIContourSequence = [], []
    for number, (name, frame, drawn) in enumerate(regions, start=1):
        data.StructureSetROISequence += nested(
            ROINumber=number, ROIName=name, ReferencedFrameOfReferenceUID=frame
        )
        contours = []
        for z, image in drawn:
            corners = square(z, 3, 9)
            contours += nested(
                ContourGeometricType="CLOSED_PLANAR",
                NumberOfContourPoints=len(corners),
                ContourData=[float(x) for x in np.ravel(corners)],
            )
            if image:
                contours[-1].ContourImageSequence = nested(ReferencedSOPInstanceUID=image)
        data.ROIContourSequence += nested(ReferencedROINumber=number, ContourSequence=contours)
    data.save_as(path, enforce_file_format=True)


def labels(root):
    """Returns names and slices of every series' labels, and problems except missing labels."""
    found = discover.discover(root, STORED)
    slices_of = {}
    for source in found.sources:
        case = formats.read(root, source, STORED)
        slices_of[source.images[0].split("/")[0]] = {
            label.name_of(int(value)): np.flatnonzero((label.values == value).any((0, 1))).tolist()
            for label in case.labels
            for value in np.unique(label.values)
            if value
        }
    return slices_of, [p for p in found.problems if p.kind != "no_label"]


@pytest.mark.parametrize("with_images", [True, False])
@pytest.mark.parametrize("listed", [(CT, MR), (MR, CT)])
def test_a_region_goes_to_its_own_frame_of_reference(study, listed, with_images):
    root, files = study
    image = uids(files[CT])[4] if with_images else ""
    write_regions(root / "rs.dcm", listed, [("GTV", CT + ".1", [(4, image)])])
    assert labels(root) == ({"ct": {"GTV": [4]}}, [])


@pytest.mark.parametrize("with_images", [True, False])
def test_regions_of_one_file_go_to_several_series(study, with_images):
    root, files = study
    of = {uid: uids(of) if with_images else [""] * 12 for uid, of in files.items()}
    regions = [("GTV", CT + ".1", [(4, of[CT][4])]), ("edema", MR + ".1", [(7, of[MR][7])])]
    write_regions(root / "rs.dcm", (MR, CT), regions)
    assert labels(root) == ({"ct": {"GTV": [4]}, "mr": {"edema": [7]}}, [])


def test_contours_of_one_region_go_to_their_own_images(study):
    root, files = study
    drawn = [(4, uids(files[CT])[4]), (7, uids(files[MR])[7])]
    write_regions(root / "rs.dcm", (CT, MR), [("GTV", "", drawn)])
    assert labels(root) == ({"ct": {"GTV": [4]}, "mr": {"GTV": [7]}}, [])


def test_a_region_of_no_series_is_named_and_the_others_go_on(study):
    root, files = study
    regions = [("GTV", CT + ".1", [(4, uids(files[CT])[4])]), ("dose", "7.7.1", [(7, "")])]
    write_regions(root / "rs.dcm", (CT, "7.7"), regions)
    labelled, problems = labels(root)
    assert labelled == {"ct": {"GTV": [4]}}
    (problem,) = problems
    assert problem.detail == ("rs.dcm: dose: expected the series that it labels, found none here")
    summary = prepare.prepare(
        root, root.parent / f"{root.name}_target", CurationOptions(axes="z"), ONE
    )
    assert not summary.is_clean
    assert summary.cases == 1


def test_a_region_whose_images_are_gone_goes_to_what_its_file_lists(study):
    """As after a series was exported again; also beside a region of another series."""
    root, _ = study
    regions = [("GTV", CT + ".1", [(4, "0.0.4"), (5, "0.0.5")]), ("edema", MR + ".1", [(7, "")])]
    write_regions(root / "rs.dcm", (CT, MR), regions)
    assert labels(root) == ({"ct": {"GTV": [4, 5]}, "mr": {"edema": [7]}}, [])


def part(images=(), listed=(), frame=""):
    return LabelPart(1, "GTV", frozenset(images), frozenset(listed), frame)


HERE = SeriesIndex(
    {name: name.split("_")[0] for name in ("CT_1", "CT_2", "PET_1", "MR_1", "CT", "PET", "MR")},
    {"CT": "A", "PET": "A", "MR": "B"},
)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (part(["CT_2"]), {"CT"}),
        (part(["CT_1", "MR_1"]), {"CT", "MR"}),
        (part(["CT_1", "MR_1"], frame="B"), {"MR"}),
        (part(["CT_1"], ["PET"], "A"), {"CT"}),  # Images before what is listed.
        (part(["gone"], ["PET"], "A"), {"PET"}),
        (part([], ["CT", "MR"], "B"), {"MR"}),
        (part([], ["PET_1"], "A"), {"PET"}),
        (part([], [], "B"), {"MR"}),
        (part([], ["gone"], "B"), {"MR"}),
        (part(["CT_1"], [], "renamed"), {"CT"}),
    ],
)
def test_images_decide_then_what_is_listed_then_the_frame(found, expected):
    assert HERE.labelled_by(found) == expected


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (part([], [], "A"), "found 2 that fit"),
        (part([], ["CT", "PET"], "A"), "found 2 that fit"),
        (
            part(["CT_1"], ["CT"], "B"),
            "found its images in another frame of reference",
        ),
        (part([], [], "C"), "found none here"),
        (part(), "found none here"),
    ],
)
def test_a_part_that_nothing_places_is_refused(found, reason):
    with pytest.raises(CaseError, match=f"series that it labels, {reason}"):
        HERE.labelled_by(found)


@pytest.fixture
def segmented(study, image):
    """Writes a SEG of the CT's slices 4 and 5."""
    root, files = study
    mask = np.zeros((image.shape[2], image.shape[1], image.shape[0]), bool)
    mask[4:6, 3:9, 2:7] = True
    write_segmentation(root / "seg.dcm", files[CT], mask)
    return root, pydicom.dcmread(root / "seg.dcm")


@pytest.mark.parametrize("changed", ["no list", "several listed", "no frame", "only derived"])
def test_a_segmentation_is_found_by_the_images_it_was_derived_from(segmented, changed):
    root, data = segmented
    if changed in ("no list", "only derived"):
        del data.ReferencedSeriesSequence
    if changed == "several listed":
        other = nested(SeriesInstanceUID=MR, ReferencedInstanceSequence=[])
        data.ReferencedSeriesSequence = [*other, *data.ReferencedSeriesSequence]
    if changed in ("no frame", "only derived"):
        del data.FrameOfReferenceUID
    data.save_as(root / "seg.dcm")
    assert labels(root) == ({"ct": {"liver": [4, 5]}}, [])


def test_frames_of_a_segmentation_go_to_several_series(segmented):
    root, data = segmented
    ct, mr = (uids((root / name).iterdir()) for name in ("ct", "mr"))
    for group in data.PerFrameFunctionalGroupsSequence:
        source = group.DerivationImageSequence[0].SourceImageSequence[0]
        if source.ReferencedSOPInstanceUID == ct[5]:
            source.ReferencedSOPInstanceUID = mr[5]
    del data.FrameOfReferenceUID
    data.save_as(root / "seg.dcm")
    assert labels(root) == ({"ct": {"liver": [4]}, "mr": {"liver": [5]}}, [])
