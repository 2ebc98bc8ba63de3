"""COCO as tools write it: unusable annotations are reported, and the rest is used."""

import json
import re

import numpy as np
import pytest

from samjax.curation import formats, local, prepare
from samjax.curation.case import CaseError
from samjax.curation.discover import discover
from samjax.curation.options import CurationOptions, Dataset
from samjax.data.files import read_mask

GREY = np.full((96, 128), 90, np.uint8)
RING = [10, 20, 50, 20, 50, 60, 10, 60]
IMAGE = {"id": 1, "file_name": "a.png", "height": 96, "width": 128}
GOOD = {"id": 1, "image_id": 1, "category_id": 5, "segmentation": [RING]}


@pytest.fixture
def coco(write_pictures):
    """Writes a picture with its annotations and finds the sources."""

    def write(annotations, images=(IMAGE,), picture=GREY, name="a.png", **fields):
        root = write_pictures({name: picture})
        content = {"images": images, "annotations": annotations} | fields
        content.setdefault("categories", [{"id": 5, "name": "cell"}])
        (root / "annotations.json").write_text(json.dumps(content))
        return root, discover(root, CurationOptions())

    return write


def read(root, found):
    (source,) = found.sources
    return formats.read(root, source, CurationOptions())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"segmentation": []}, "expected polygons or run lengths, found nothing"),
        ({"segmentation": [], "bbox": [1, 1, 5, 5]}, "run lengths, found only a box"),
        ({"segmentation": [[1, 2, 3, 4]]}, "expected a polygon of x, y, x, y, x, y"),
        ({"segmentation": [[1, 2, 3, 4, 5, float("nan")]]}, "expected a polygon"),
        ({"segmentation": {"size": [3, 4], "counts": [12]}}, "expected run lengths of 96 x 128"),
        ({"segmentation": "nonsense"}, "found .nonsense"),
        ({"segmentation": None}, "expected polygons or run lengths, found nothing"),
        ({"segmentation": [[x + 500 for x in RING]]}, "expected an object in the picture"),
        ({"category_id": 7}, r"expected one of the categories \['5'\], found 7"),
    ],
)
def test_a_bad_annotation_is_named_and_the_others_are_used(coco, fields, message):
    case = read(*coco([GOOD, {**GOOD, "id": 7, **fields}]))
    (label,) = case.labels
    assert label.values.sum() == 1600
    (bad,) = case.bad
    assert re.match(f"annotations.json: annotation 7 of a.png: .*{message}", bad)


def test_of_a_bad_polygon_among_good_ones_only_itself_is_lost(coco):
    other = [x + 30 for x in RING]
    case = read(*coco([{**GOOD, "segmentation": [RING, [1, 2], other]}]))
    (label,) = case.labels
    assert label.values[21:59, 11:49].all()
    assert label.values[51:89, 41:79].all()
    assert len(case.bad) == 1


def test_what_is_bad_is_a_problem_of_the_run(coco, tmp_path):
    root, _ = coco([GOOD, {**GOOD, "id": 7, "segmentation": [[1, 2]]}])
    one = local.with_processes(1)
    for _ in range(2):  # It is told again by a run that has nothing to do.
        summary = prepare.prepare(root, tmp_path / "target", executor=one)
        assert summary.counts.masks == 1
        assert [p.kind for p in summary.problems] == ["bad_part"]
        assert "annotation 7" in str(summary)
        assert not summary.is_clean


def test_another_size_than_declared_is_an_error_or_scaled(coco):
    root, found = coco([GOOD], picture=np.full((48, 64), 90, np.uint8))
    with pytest.raises(CaseError, match=r"a.png: .* 128 x 96 .*says, found 64 x 48.*rescale"):
        read(root, found)
    known = CurationOptions((Dataset(rescale=True),))
    (source,) = discover(root, known).sources
    (label,) = formats.read(root, source, known).labels
    assert label.values.shape == (48, 64)
    expected = np.zeros((48, 64), np.uint8)
    expected[10:30, 5:25] = 1
    np.testing.assert_array_equal(label.values, expected)


def test_without_sizes_a_polygon_far_beyond_the_picture_is_named(coco):
    bare = {"id": 1, "file_name": "a.png"}
    small = np.full((48, 64), 90, np.uint8)
    case = read(*coco([{**GOOD, "segmentation": [[10, 20, 120, 20, 120, 60]]}], [bare], small))
    assert not case.labels
    assert "expected a polygon within the picture of 64 x 48" in case.bad[0]


def test_ids_may_be_text_and_folders_may_be_those_of_windows(coco):
    image = {**IMAGE, "id": "1", "file_name": "sub\\a.png"}
    annotation = {**GOOD, "category_id": "5"}
    root, found = coco([annotation], [image], name="sub/a.png")
    (label,) = read(root, found).labels
    assert label.names == {1: "cell"}


def test_without_categories_every_number_is_a_class(coco):
    other = {**GOOD, "id": 2, "category_id": 6}
    labels = read(*coco([GOOD, other], categories=[])).labels
    assert [label.names[1] for label in labels] == ["category_5", "category_6"]
    assert read(*coco([GOOD], categories=[])).labels[0].names == {1: "object"}


def test_a_number_of_two_categories_is_named(coco):
    listed = [{"id": n, "name": name} for n, name in ((5, "cell"), (6, "liver"), (6, "spleen"))]
    case = read(*coco([GOOD, {**GOOD, "id": 2, "category_id": 6}], categories=listed))
    assert [label.names for label in case.labels] == [{1: "cell"}]
    assert "expected one category of number 6, found ['liver', 'spleen']" in case.bad[0]


def test_an_id_of_two_pictures_is_named(coco):
    _, found = coco([GOOD], [IMAGE, {**IMAGE, "file_name": "b.png"}])
    assert not found.sources
    assert "expected one image with the id 1, found a.png, b.png" in found.problems[0].detail


def test_an_edited_file_is_read_again(coco, tmp_path):
    """In one process: a cached table belongs to the file's former content."""
    for shift in (0, 30):
        root, _ = coco([{**GOOD, "segmentation": [[x + shift for x in RING]]}])
        prepare.prepare(root, tmp_path / "target", executor=local.with_processes(1))
        (mask,) = (tmp_path / "target/masks").iterdir()
        assert int(np.nonzero(read_mask(mask).any(0))[0][0]) == 10 + shift
