"""Real files in all formats; needs ../shared/data/raw."""

import collections
import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from samjax import extra
from samjax.curation import curate, discover, formats, local, prepare, quality_check
from samjax.curation.options import CurationOptions, Dataset, read_description
from samjax.data import index

DESCRIPTION = Path(__file__).with_name("raw.toml")
pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def raw(real_data) -> Path:
    path = real_data.parent / "raw"
    if not path.is_dir():
        pytest.skip(f"needs the uncurated images in {path}")
    return path


@pytest.fixture(scope="module")
def prepared(raw, tmp_path_factory):
    target = tmp_path_factory.mktemp("raw") / "target"
    options = CurationOptions(
        read_description(DESCRIPTION), axes="z"
    )  # All axes: below, on some of it.
    return target, prepare.prepare(raw, target, options, executor=local.with_processes(1))


def test_the_whole_mixture_is_curated(prepared):
    target, summary = prepared
    assert summary.cases == 125
    assert {(p.kind, p.where) for p in summary.problems} == {
        ("bad", "ultrasound_00--BUSI--onebit_busi_benign_benign_4"),
        ("no_label", "nifti_hippocampus/images/hippocampus_118.nii.gz"),
        *(("no_image", f"dicom_ibsi_sts_002/{m}_mask.nii.gz") for m in ("CT", "MR_T1", "PET")),
        ("no_mask", "ct_00--CURVAS--10012_412"),
        ("no_mask", "mr_cine--ACDC--10020"),
        ("no_mask", "histopathology_00--MoNuSeg--jpeg_monuseg_TCGA_IZ_8196_01A_01_BS1"),
    }
    found = quality_check.check_folder(target, ("train", "test"))
    assert found.is_clean, str(found)


def test_the_manifest_lists_all_masks(prepared):
    target, summary = prepared
    with (target / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    parquet = extra.require("pyarrow.parquet", "data").read_table(target / "manifest.parquet")
    assert len(rows) == parquet.num_rows == summary.counts.masks
    assert parquet.column_names == [*rows[0]]
    classes = collections.defaultdict(set)
    for row in rows:
        classes[row["dataset"]].add(row["class"])
        assert float(row["area_share"]) >= 100 / 256**2 - 1e-6
    assert classes["ACDC"] == {"left_ventricle", "myocardium", "right_ventricle"}
    assert classes["BraTS2023"] == {
        "brain_tumor_core",
        "brain_tumor_edema",
        "brain_tumor_enhancing",
    }
    assert classes["DRIVE"] == {"retinal_vessel"}
    assert classes["IBSI_STS_DICOM"] == {"GTV_Mass_CT", "GTV_Mass_MR_T1", "GTV_Mass_PET"}
    assert "liver" in classes["TotalSegmentator"]
    assert not any(name.startswith(("label_", "colour_")) for of in classes.values() for name in of)


def test_no_subject_is_on_both_sides(prepared):
    target, _ = prepared
    train, test = ({s.case for s in index.load_index(target, split)} for split in ("train", "test"))
    assert not train & test
    assert len(test) / (len(train) + len(test)) == pytest.approx(0.2, abs=0.05)


def test_structures_equal_the_masks_that_were_made_of_them(raw):
    """The DICOM series and its RTSTRUCT against the NIfTI files of the same patient."""
    nibabel = extra.require("nibabel", "data")
    options = CurationOptions((Dataset(folder="dicom_ibsi_sts_002"),), orientation="stored")
    sources = discover.discover(raw, options).sources
    sources = [source for source in sources if source.reader == "dicom"]
    assert len(sources) == 3
    for source in sources:
        name = source.images[0].split("/")[1]
        case = formats.read(raw, source, options)
        mask = nibabel.load(raw / f"dicom_ibsi_sts_002/{name}_mask.nii.gz")
        image = nibabel.load(raw / f"nifti_ibsi_sts/STS_002/{name}_image.nii.gz")
        np.testing.assert_array_equal(case.labels[0].values, np.asarray(mask.dataobj))
        np.testing.assert_allclose(case.image, np.asarray(image.dataobj), atol=1e-5)


def test_the_rules_make_the_masks_that_were_curated_by_hand(raw, real_data):
    """The same slices of the hippocampus in `samed2d_mini`: the same masks, and images."""
    known = Dataset(
        folder="nifti_hippocampus",
        percentiles=(0.5, 99.5),
        classes={"hippocampus_anterior": 1, "hippocampus_posterior": 2},
    )
    options = CurationOptions((known,), orientation="stored")
    curated = collections.defaultdict(list)
    with (real_data / "split.csv").open() as file:
        for row in csv.DictReader(file):
            if row["dataset"] == "Hippocampus":
                curated[row["image"]].append(row)
    compared = 0
    for source in discover.discover(raw, options).sources:
        if source.known is not known:
            continue
        case = formats.read(raw, source, options)
        for one in curate.slices_of(case, source, options, curate.Counts()):
            place = f"{source.name}--{one.axis}_{one.number:04d}"
            rows = curated.get(f"images/mr_00--Hippocampus--{place}.png")
            if rows is None:
                continue
            image = cv2.imread(str(real_data / rows[0]["image"]), cv2.IMREAD_UNCHANGED)
            assert np.abs(image.astype(int) - one.image).max() <= 1
            assert [name for name, _ in one.masks] == [row["class"] for row in rows]
            for row, (_, mask) in zip(rows, one.masks, strict=True):
                stored = cv2.imread(str(real_data / row["mask"]), cv2.IMREAD_UNCHANGED)
                np.testing.assert_array_equal(mask, stored > 127)
            compared += 1
    assert compared > 150


def test_touching_instances_stay_apart(raw):
    """65 nuclei in the picture, 51 in the volume: told apart by their number."""
    options = CurationOptions((Dataset(folder="tif_instances_stardist", kind="instances"),))
    found = [s for s in discover.discover(raw, options).sources if s.known.kind == "instances"]
    counts = {
        source.name: len(np.unique(formats.read(raw, source, options).labels[0].values)) - 1
        for source in found
    }
    assert counts == {"2d": 65, "3d": 51}
