"""Images to tune on: of no subject of the test."""

import dataclasses

import pytest

from samjax.data import index
from samjax.data.files import DataError
from samjax.data.index import Sample
from samjax.evaluation import tune_automatic

TEST = Sample("images/a.png", ("masks/a.png",), "ct_chest", "patient_1")
OTHER = Sample("images/b.png", ("masks/b.png",), "ct_chest", "patient_2")
NAMELESS = Sample("images/c.png", ("masks/c.png",))


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setattr(index, "list_splits", lambda root: ["train", "test"])
    monkeypatch.setattr(
        index, "load_index", lambda root, split: [TEST, dataclasses.replace(NAMELESS, image="d")]
    )
    return tmp_path


@pytest.mark.parametrize(
    "sample",
    [TEST, dataclasses.replace(OTHER, case=TEST.case), dataclasses.replace(NAMELESS, image="d")],
)
def test_a_subject_or_an_image_of_the_test_is_refused(folder, sample):
    with pytest.raises(DataError, match=f"^{sample.image}: expected an image to tune on"):
        tune_automatic.check_apart(folder, [OTHER, sample])


def test_other_subjects_pass_and_unknown_ones_are_not_taken_for_the_same(folder, monkeypatch):
    tune_automatic.check_apart(folder, [OTHER, NAMELESS])
    monkeypatch.setattr(index, "list_splits", lambda root: ["train"])
    tune_automatic.check_apart(folder, [TEST])


def test_the_splits_of_real_images_are_apart(real_data):
    tune_automatic.check_apart(real_data, index.load_index(real_data, "train"))
    with pytest.raises(DataError, match="not in the split test"):
        tune_automatic.check_apart(real_data, index.load_index(real_data, "test"))
