import csv
import json
import tomllib

import numpy as np
import pytest

from samjax.curation import discover, formats, local, prepare
from samjax.curation.options import CurationOptions, Dataset, read_description
from tests.curation import miniatures
from tests.curation.public_data_sets import DATA_SETS


def prepared(source, target, *datasets):
    return prepare.prepare(
        source, target, CurationOptions(datasets, axes="z"), executor=local.with_processes(1)
    )


def rows_of(target):
    with (target / "manifest.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", DATA_SETS)
def test_a_public_data_set_is_read_as_it_is_downloaded(tmp_path, name):
    files, masks, cases, patients, noted = DATA_SETS[name]
    source = miniatures.write(tmp_path / "downloads" / name, files)
    summary = prepared(source, tmp_path / "out")
    assert not summary.problems
    assert summary.cases == cases
    rows = rows_of(tmp_path / "out")
    assert {(row["modality"], row["class"]) for row in rows} == masks
    if patients:
        assert len({row["subject"] for row in rows}) == patients
    for note in noted:
        assert note in str(summary)


def test_files_of_objects_stay_apart(tmp_path):
    source = miniatures.write(tmp_path / "dsb", DATA_SETS["DSB2018"][0])
    prepared(source, tmp_path / "out")
    assert len(rows_of(tmp_path / "out")) == 4  # Two nuclei that touch in each of two pictures.


def test_a_label_picture_lies_on_its_slice(tmp_path):
    """Files of a series are not in the order of its slices, and the pictures follow the files."""
    root = miniatures.write(tmp_path / "chaos", DATA_SETS["CHAOS"][0])
    ground = root / "Train_Sets/CT/1/Ground"
    miniatures.write(ground, {f"liver_GT_{z:03d}.png": [0] * z + [255] for z in range(3)})
    source = next(
        s for s in discover.discover(root, CurationOptions()).sources if "CT/1/" in s.images[0]
    )
    case = formats.read(root, source, CurationOptions(orientation="stored"))
    # The names of the files are 03, 10 and 17 for the slices 0, 1 and 2.
    for number in range(3):
        expected = miniatures.pixels([0] * number + [1], (24, 24), "") > 0
        np.testing.assert_array_equal(case.labels[0].values[:, :, number].T > 0, expected)


def test_a_series_with_too_few_label_pictures_is_reported(tmp_path):
    root = miniatures.write(tmp_path / "chaos", DATA_SETS["CHAOS"][0])
    (root / "Train_Sets/CT/1/Ground/liver_GT_001.png").unlink()
    kinds = {problem.kind for problem in discover.discover(root, CurationOptions()).problems}
    assert kinds == {"no_label", "no_image"}


def test_a_users_description_overrides_a_layout(tmp_path):
    source = miniatures.write(tmp_path / "src", DATA_SETS["ACDC"][0])
    known = Dataset(modality="mr_00", classes={"blood": 3})
    sources = discover.discover(source, CurationOptions((known,))).sources
    assert {(s.modality, tuple(s.known.classes)) for s in sources} == {("mr_00", ("blood",))}
    assert {s.dataset for s in sources} == {"ACDC"}


@pytest.mark.parametrize("name", ["Kvasir-SEG", "DRIVE", "CVC-ClinicDB"])
def test_the_source_may_be_the_data_set_itself(tmp_path, name):
    """Also beside a user's table for all of the source, as the command line makes one."""
    root = miniatures.write(tmp_path, DATA_SETS[name][0]) / name
    sources = discover.discover(root, CurationOptions((Dataset(),))).sources
    expected = {class_name for _, class_name in DATA_SETS[name][1]}
    assert {source.known.class_name for source in sources} == expected
    assert {source.modality for source in sources} == {m for m, _ in DATA_SETS[name][1]}


def test_a_layout_does_not_apply_to_its_neighbours(tmp_path):
    files = {"volume-0.nii": None, "segmentation-0.nii": [1], "other/a.nii.gz": None,
             "other/a_mask.nii.gz": [1]}  # fmt: skip
    source = miniatures.write(tmp_path / "src", files)
    found = {s.images[0]: s for s in discover.discover(source, CurationOptions()).sources}
    assert found["volume-0.nii"].known.classes == {"liver": 1, "liver_tumor": 2}
    assert not found["other/a.nii.gz"].known.classes


def test_one_picture_may_be_three_channels(tmp_path):
    table = {"channel_names": {"0": "R", "1": "G", "2": "B"}, "file_ending": ".png",
             "labels": {"background": 0, "cell": 1}}  # fmt: skip
    files = {"Dataset120_Cells/dataset.json": table,
             "Dataset120_Cells/imagesTr/x_0000.png": None,
             "Dataset120_Cells/labelsTr/x.png": [1]}  # fmt: skip
    source = miniatures.write(tmp_path / "src", files)
    found = discover.discover(source, CurationOptions())
    assert [s.images for s in found.sources] == [("Dataset120_Cells/imagesTr/x_0000.png",)]
    assert not found.problems


def test_a_missing_channel_of_three_is_reported(tmp_path):
    table = {"channel_names": {"0": "T1", "1": "T2", "2": "FLAIR"}, "labels": {"tumor": 1}}
    files = {"D/dataset.json": table, "D/imagesTr/x_0000.nii.gz": None,
             "D/imagesTr/x_0002.nii.gz": None, "D/labelsTr/x.nii.gz": [1]}  # fmt: skip
    (problem,) = discover.discover(
        miniatures.write(tmp_path / "src", files), CurationOptions()
    ).problems
    assert problem.kind == "no_image"
    assert "expected the image D/imagesTr/x_0001.nii.gz, found none" in problem.detail


def test_a_series_beside_its_mask_is_found_by_its_folder(tmp_path):
    files = {"p1/scan/": {}, "p1/scan_mask.nii.gz": [1]}
    found = discover.discover(miniatures.write(tmp_path / "src", files), CurationOptions())
    assert [dict(s.labels) for s in found.sources] == [{"p1/scan_mask.nii.gz": ""}]
    assert not found.problems


def test_a_description_is_suggested_for_an_unknown_layout(tmp_path):
    files = {f"weird/pics/shot_{n}.png": None for n in range(3)}
    files |= {f"weird/truth_of/drawn-{n}-a.png": [255] for n in range(3)}
    files |= {"good/a.png": None, "good/a_mask.png": [255]}
    source = miniatures.write(tmp_path / "src", files)
    (problem,) = discover.discover(source, CurationOptions()).problems
    assert (problem.where, problem.kind) == ("weird", "unclear")
    assert "3 x pics/shot_#.png" in problem.detail
    assert "3 x truth_of/drawn-#-a.png" in problem.detail
    text = problem.detail.partition("reads it:\n")[2]
    assert tomllib.loads(text)["dataset"][0]["folder"] == "weird"
    (tmp_path / "d.toml").write_text(text)
    known = read_description(tmp_path / "d.toml")
    found = discover.discover(source, CurationOptions(known))
    assert not found.problems
    pairs = {s.images[0]: s.labels[0][0] for s in found.sources}
    assert pairs["weird/pics/shot_2.png"] == "weird/truth_of/drawn-2-a.png"


def test_many_without_a_partner_are_one_line(tmp_path):
    files = {f"images/p{n}.png": None for n in range(9)} | {"masks/p0.png": [255]}
    (problem,) = discover.discover(
        miniatures.write(tmp_path / "src", files), CurationOptions()
    ).problems
    assert problem.kind == "no_label"
    assert "expected labels of that name for each of 8 files, found none" in problem.detail


def test_a_report_holds_what_was_noted(tmp_path):
    source = miniatures.write(tmp_path / "src", DATA_SETS["BTCV"][0])
    prepared(source, tmp_path / "out")
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert any("read as BTCV" in note for note in report["notes"])


def test_names_that_differ_only_in_capitals_are_no_one_file(tmp_path):
    files = {"A.png": None, "a.png": None, "A_mask.png": [255], "a_mask.png": [0, 255]}
    source = miniatures.write(tmp_path / "src", files)
    summary = prepared(source, tmp_path / "out")
    rows = rows_of(tmp_path / "out")
    assert len({row["image"].lower() for row in rows}) == len(rows) == 2
    assert {row["source_image"]: row["source_labels"] for row in rows} == {
        "A.png": "A_mask.png",
        "a.png": "a_mask.png",
    }
    assert "names that differ only in capitals" in str(summary)


def test_names_of_symbols_stay_apart(tmp_path):
    names = ("😀", "😁", "🫀_1", "🫁_1", "пациент_1")
    files = {f"images/{name}.png": None for name in names}
    files |= {f"masks/{name}.png": [255] for name in names}
    summary = prepared(miniatures.write(tmp_path / "src", files), tmp_path / "out")
    assert summary.is_clean
    assert len({row["image"] for row in rows_of(tmp_path / "out")}) == len(names)
