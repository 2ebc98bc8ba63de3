"""Label names stored in the files become the classes."""

import json

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from dicom_files import square, write_segmentation, write_series, write_structures

from samjax.curation import discover, formats, local, prepare
from samjax.curation.case import CaseError
from samjax.curation.options import CurationOptions, Dataset

SHAPE = (20, 18, 16)
ONE = local.with_processes(1)


def box(low, high, shape=SHAPE):
    mask = np.zeros(shape, bool)
    mask[low:high, low:high, low:high] = True
    return mask


def write_itk(path, values, origin=(0, 0, 0), **fields):
    """Writes (x, y, z) or (x, y, z, layers) with fields."""
    order = (2, 1, 0, 3)[: values.ndim]
    image = sitk.GetImageFromArray(values.transpose(order), isVector=values.ndim == 4)
    image.SetSpacing((1, 2, 3))
    image.SetOrigin([o * s for o, s in zip(origin, (1, 2, 3), strict=True)])
    for name, value in fields.items():
        image.SetMetaData(name, str(value))
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))


def segments(*named):
    """Returns Slicer's fields of (name, label, layer)."""
    return {
        f"Segment{number}_{field}": value
        for number, each in enumerate(named)
        for field, value in zip(("Name", "LabelValue", "Layer"), each, strict=True)
    }


def write_case(root, name, values, origin=(0, 0, 0), **fields):
    scan = np.random.default_rng(0).integers(0, 1000, SHAPE).astype(np.int16)
    write_itk(root / f"{name}.nrrd", scan)
    write_itk(root / f"{name}.seg.nrrd", values.astype(np.uint8), origin, **fields)


def masks(root, options=None, reader=None):
    """Returns every case's masks by class, and the number of unnamed labels."""
    options = options or CurationOptions(orientation="stored")
    found = discover.discover(root, options)
    assert not found.problems, found.problems
    cases, unnamed = {}, 0
    for source in found.sources:
        case = formats.read(root, source, options)
        unnamed += sum(label.unnamed for label in case.labels)
        cases[source.name] = {
            label.name_of(int(value)): label.values == value
            for label in case.labels
            for value in np.unique(label.values)
            if value
        }
    return cases, unnamed


def test_slicers_segments_keep_their_names(tmp_path):
    """Also if their numbers differ between files."""
    liver, spleen = box(2, 6), box(8, 14)
    both = segments(("liver", 1, 0), ("spleen", 2, 0))
    write_case(tmp_path, "a", liver + 2 * spleen, **both)
    write_case(tmp_path, "b", 7 * liver + 3 * spleen, **segments(("spleen", 3, 0), ("liver", 7, 0)))
    found, _ = masks(tmp_path)
    for name in ("a", "b"):
        assert set(found[name]) == {"liver", "spleen"}
        np.testing.assert_array_equal(found[name]["liver"], liver)
        np.testing.assert_array_equal(found[name]["spleen"], spleen)


@pytest.mark.parametrize("fields", ["with layers", "before there were layers"])
def test_segments_in_layers_may_overlap(tmp_path, fields):
    layers = np.stack([box(2, 12), box(6, 9)], axis=3)
    named = segments(("liver", 1, 0), ("tumour", 1, 1))
    if fields == "before there were layers":
        named = {key: value for key, value in named.items() if key.endswith("Name")}
    write_case(tmp_path, "a", layers, **named)
    found, _ = masks(tmp_path)
    np.testing.assert_array_equal(found["a"]["liver"], box(2, 12))
    np.testing.assert_array_equal(found["a"]["tumour"], box(6, 9))


def test_segments_that_were_cut_out_are_put_back(tmp_path):
    cut = box(5, 9)[4:12, 3:10, 5:11]
    write_case(tmp_path, "a", cut, origin=(4, 3, 5), **segments(("liver", 1, 0)))
    found, _ = masks(tmp_path)
    np.testing.assert_array_equal(found["a"]["liver"], box(5, 9))
    write_case(tmp_path, "a", cut, origin=(14, 3, 5), **segments(("liver", 1, 0)))
    with pytest.raises(CaseError, match=r"a.seg.nrrd: expected labels of the image's shape"):
        masks(tmp_path)


def test_a_segment_without_its_layer_is_refused(tmp_path):
    write_case(tmp_path, "a", box(2, 6), **segments(("liver", 1, 3)))
    with pytest.raises(CaseError, match=r"a.seg.nrrd: Segment0: expected a label in one of 1 lay"):
        masks(tmp_path)


@pytest.mark.parametrize(
    ("classes", "kept", "unnamed"),
    [
        ({"liver": 1}, {"liver": box(2, 6)}, 1),  # By its name; number 1 is the spleen.
        ({"organ": 2}, {"organ": box(2, 6)}, 1),
        ({"liver": 9, "spleen": 8}, {"liver": box(2, 6), "spleen": box(8, 14)}, 0),
    ],
)
def test_a_description_chooses_among_names(tmp_path, classes, kept, unnamed):
    write_case(
        tmp_path, "a", 2 * box(2, 6) + box(8, 14), **segments(("spleen", 1, 0), ("liver", 2, 0))
    )
    options = CurationOptions((Dataset(classes=classes),), orientation="stored")
    found, left = masks(tmp_path, options)
    assert left == unnamed
    assert set(found["a"]) == set(kept)
    for name, mask in kept.items():
        np.testing.assert_array_equal(found["a"][name], mask)


def test_a_table_in_nifti_names_labels(tmp_path):
    scan = np.random.default_rng(0).integers(0, 1000, SHAPE).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(scan, np.eye(4)), tmp_path / "a.nii.gz")
    image = nibabel.Nifti1Image((box(2, 6) * 5 + box(8, 14) * 2).astype(np.uint8), np.eye(4))
    table = """<?xml version="1.0"?><CaretExtension><VolumeInformation Index="0"><LabelTable>
      <Label Key="0" Red="0">???</Label>
      <Label Key="5" Red="1" Green="0"><![CDATA[liver]]></Label>
      <Label Key="2" Red="1">left &amp; right kidney</Label>
    </LabelTable></VolumeInformation></CaretExtension>"""
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension(0, table.encode()))
    nibabel.save(image, tmp_path / "a_mask.nii.gz")
    found, _ = masks(tmp_path)
    assert set(found["a"]) == {"liver", "left & right kidney"}
    np.testing.assert_array_equal(found["a"]["liver"], box(2, 6))


@pytest.fixture
def series(tmp_path):
    image = np.random.default_rng(0).integers(0, 1000, (16, 18, 12)).astype(np.int16)
    return tmp_path, image, write_series(tmp_path / "ct", image)


def test_a_table_beside_a_series_names_its_labels(series):
    root, image, _ = series
    labels = box(3, 7, image.shape) + 2 * box(8, 11, image.shape)
    affine = np.diag([-2.0, -0.5, 3.0, 1.0])
    affine[:3, 3] = (-10, -20, -7)
    path = root / "ct_mask.nii.gz"
    nibabel.save(nibabel.Nifti1Image(labels.astype(np.uint8), affine), path)
    (root / "ct/labels.json").write_text(json.dumps({"liver": 1, "spleen": 2}))
    (found,) = masks(root)[0].values()
    assert set(found) == {"liver", "spleen"}


@pytest.mark.parametrize(
    ("classes", "name"), [({"liver": 5}, "liver"), ({"organ": 1}, "organ"), ({"other": 9}, "")]
)
def test_a_description_chooses_among_segments_of_dicom(series, classes, name):
    root, image, files = series
    mask = np.zeros((image.shape[2], image.shape[1], image.shape[0]), bool)
    mask[4:6, 3:9, 2:7] = True
    write_segmentation(root / "seg.dcm", files, mask)  # Its only segment is number 1, the liver.
    options = CurationOptions((Dataset(classes=classes),), orientation="stored")
    if name:
        (found,) = masks(root, options)[0].values()
        assert set(found) == {name}
    else:
        with pytest.raises(CaseError, match="found none; 1 labels that the table of classes does"):
            masks(root, options)


def test_regions_that_a_table_does_not_name_are_counted(series):
    root, _, _ = series
    write_structures(root / "a.dcm", [square(4, 3, 9)], name="GTV")
    write_structures(root / "b.dcm", [square(5, 3, 9)], name="BODY")
    described = CurationOptions((Dataset(classes={"GTV": 1}),), axes="z", smallest_share=0)
    summary = prepare.prepare(root, root.parent / f"{root.name}_target", described, ONE)
    assert summary.is_clean
    assert (summary.counts.unnamed, summary.counts.masks) == (1, 1)
    assert "left out, not named in a table of classes: 1 labels" in str(summary)
    assert "left out: 1 files of labels that show nothing on their series" in str(summary)
