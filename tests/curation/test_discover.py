import json

import numpy as np
import pytest
from PIL import Image

from samjax.curation import discover, formats, options
from samjax.curation.case import CaseError
from samjax.curation.options import CurationOptions, Dataset
from samjax.data.files import DataError
from samjax.data.phantoms import PhantomConfig, write_phantoms

GREY = np.arange(1200, dtype=np.uint8).reshape(30, 40)
MASK = np.zeros((30, 40), np.uint8)
MASK[5:15, 8:20] = 255


def find(root, *datasets):
    return discover.discover(root, CurationOptions(datasets))


def test_every_folder_is_a_dataset_with_its_subjects(write_pictures):
    root = write_pictures(
        {
            "mri_t1/images/p1_0003.png": GREY,
            "mri_t1/masks/p1_0003.png": MASK,
            "clinic (b)/p9.png": GREY,
            "clinic (b)/p9_mask.png": MASK,
        }
    )
    found = find(root)
    assert not found.problems
    assert [(s.dataset, s.subject, s.modality, s.id) for s in found.sources] == [
        ("mri_t1", "p1", "mr_t1", "mr_t1--mri_t1--p1_0003"),
        ("clinic_b", "p9", "unknown_00", "unknown_00--clinic_b--p9"),
    ]


def test_a_source_may_be_one_dataset(write_pictures):
    root = write_pictures({"images/a.png": GREY, "masks/a.png": MASK})
    (source,) = find(root).sources
    assert (source.dataset, source.labels) == ("source", (("masks/a.png", ""),))


def test_a_description_overrides_detection(write_pictures):
    root = write_pictures(
        {"x/scan/21_training.tif": GREY, "x/hand/21_manual1.gif": MASK, "x/mask/21_mask.gif": MASK}
    )
    known = Dataset(
        folder="x",
        name="DRIVE",
        modality="fundus_photography",
        images="scan/*.tif",
        labels="hand/{id}_manual1.gif",
        match=r"(\d+)_training",
        subject=r"(\d)\d_",
        class_name="vessel",
    )
    (source,) = find(root, known).sources
    assert source.id == "fundus_photography--DRIVE--21_training"
    assert (source.subject, source.labels) == ("2", (("x/hand/21_manual1.gif", ""),))
    case = formats.read(root, source, CurationOptions())
    assert case.labels[0].name_of(1) == "vessel"
    np.testing.assert_array_equal(case.labels[0].values, MASK > 0)


def test_two_cases_of_one_name_are_not_mixed(write_pictures):
    root = write_pictures({"a/p.png": GREY, "a/p_mask.png": MASK, "b/p.png": GREY,
                           "b/p_mask.png": MASK})  # fmt: skip
    found = find(root, Dataset(folder="a", name="same"), Dataset(folder="b", name="same"))
    assert [source.images for source in found.sources] == [("a/p.png",)]
    assert [(p.where, p.kind) for p in found.problems] == [("b/p.png", "duplicate")]


def test_unclear_pairs_are_reported_not_guessed(write_pictures):
    root = write_pictures({"images/a.png": GREY, "masks/a.png": MASK, "labels/a.png": MASK,
                           "images/b.png": GREY, "masks/c.png": MASK})  # fmt: skip
    kinds = {problem.where: problem.kind for problem in find(root).problems}
    assert kinds == {
        "images/a.png": "unclear",
        "images/b.png": "no_label",
        "masks/c.png": "no_image",
    }


def test_nothing_to_curate_is_an_error(tmp_path):
    with pytest.raises(DataError, match="expected a folder, found none"):
        find(tmp_path / "nowhere")
    (tmp_path / "readme.txt").write_text("no image")
    with pytest.raises(DataError, match="expected images or volumes, found none among 1 files"):
        find(tmp_path)
    with pytest.raises(DataError, match="described, but no such folder"):
        find(tmp_path, Dataset(folder="gone"))


@pytest.mark.parametrize("version", [1, 2])
def test_nnunet_datasets_are_read(write_pictures, version):
    label = MASK // 255 * 2
    root = write_pictures(
        {
            "Dataset001_X/imagesTr/p1_0000.png": GREY,
            "Dataset001_X/imagesTr/p1_0001.png": GREY[::-1],
            "Dataset001_X/labelsTr/p1.png": label,
            "Dataset001_X/labelsTr/p2.png": label,
        }
    )
    content = {
        1: {"name": "Parts", "modality": {"0": "CT", "1": "T1"}, "labels": {"0": "b", "2": "node"},
            "file_ending": ".png"},
        2: {"name": "Parts", "channel_names": {"0": "CT", "1": "T1"},
            "labels": {"background": 0, "node": 2, "all": [1, 2]}, "file_ending": ".png"},
    }  # fmt: skip
    (root / "Dataset001_X/dataset.json").write_text(json.dumps(content[version]))
    found = find(root)
    assert [s.id for s in found.sources] == ["ct_00--Parts--p1", "mr_t1--Parts--p1"]
    assert {s.subject for s in found.sources} == {"p1"}
    assert {p.kind for p in found.problems} == {"no_image"}
    case = formats.read(root, found.sources[0], CurationOptions())
    assert case.labels[0].name_of(2) == "node"
    found = find(root, Dataset(folder="Dataset001_X", modality="mr_00"))
    assert [s.id for s in found.sources] == ["mr_00--Parts--p1_0000", "mr_00--Parts--p1_0001"]
    assert {s.subject for s in found.sources} == {"p1"}


@pytest.mark.parametrize("channels", ["[]", '"CT"', "null"])
def test_a_bad_nnunet_description_is_named(write_pictures, channels):
    root = write_pictures({"D/imagesTr/p1_0000.png": GREY, "D/labelsTr/p1.png": MASK})
    (root / "D/dataset.json").write_text(f'{{"channel_names": {channels}, "labels": {{"a": 1}}}}')
    (problem,) = find(root).problems
    assert (problem.kind, problem.where) == ("unreadable", "D/dataset.json")


def coco(root, images, annotations):
    content = {"images": images, "annotations": annotations,
               "categories": [{"id": 5, "name": "cell"}]}  # fmt: skip
    (root / "annotations.json").write_text(json.dumps(content))


def test_coco_polygons_and_run_lengths_are_read(write_pictures):
    root = write_pictures({"images/a.png": GREY, "images/b.png": GREY})
    polygon = {
        "id": 1,
        "image_id": 1,
        "category_id": 5,
        "segmentation": [[8, 5, 20, 5, 20, 15, 8, 15]],
    }
    runs = np.flatnonzero(np.diff(np.concatenate([[0], (MASK > 0).T.ravel(), [0]]).astype(int)))
    counts = np.diff(np.concatenate([[0], runs, [MASK.size]])).tolist()
    plain = {"id": 2, "image_id": 1, "category_id": 5,
             "segmentation": {"size": [30, 40], "counts": counts}}  # fmt: skip
    coco(root, [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}], [polygon, plain])
    first, second = find(root).sources
    case = formats.read(root, first, CurationOptions())
    assert [label.name_of(1) for label in case.labels] == ["cell", "cell"]
    for label in case.labels:
        np.testing.assert_array_equal(label.values, MASK > 0)
    assert not formats.read(root, second, CurationOptions()).labels


@pytest.mark.parametrize("name", ["../../secret.png", "/etc/secret.png", "x/../../secret.png"])
def test_file_names_may_not_lead_out(write_pictures, name):
    root = write_pictures({"images/a.png": GREY})
    write_pictures({"secret.png": GREY}, ".")
    coco(root, [{"id": 1, "file_name": name}], [])
    (problem, *_) = find(root).problems
    assert problem.kind == "unreadable"
    assert f"expected file names within {root}, found {name!r}" in problem.detail


def test_a_link_may_not_lead_out(write_pictures, tmp_path):
    root = write_pictures({"images/a.png": GREY})
    write_pictures({"secret.png": GREY}, "outside")
    (root / "images/b.png").symlink_to(tmp_path / "outside/secret.png")
    coco(root / "images", [{"id": 1, "file_name": "b.png"}], [])
    assert "expected file names within" in find(root).problems[0].detail


def test_our_own_layout_is_taken_as_it_is(tmp_path):
    write_phantoms(tmp_path / "phantoms", PhantomConfig(4, 2, 64))
    found = find(tmp_path)
    assert len(found.sources) == 6
    assert not found.problems
    source = found.sources[0]
    case = formats.read(tmp_path, source, CurationOptions())
    assert len(case.labels) == len(source.labels) > 0
    assert all(label.name_of(1) != "label_1" for label in case.labels)


@pytest.mark.parametrize("name", ["/etc/secret.png", "../secret.png"])
def test_an_index_may_not_lead_out(write_pictures, name):
    root = write_pictures({"images/a.png": GREY, "masks/a_x_0.png": MASK})
    write_pictures({"secret.png": GREY}, ".")
    content = {"images/a.png": ["masks/a_x_0.png"], name: ["masks/a_x_0.png"]}
    (root / "image2label_train.json").write_text(json.dumps(content))
    found = find(root)
    assert not found.sources
    assert [problem.kind for problem in found.problems] == ["unreadable"]


def test_pages_are_a_volume(tmp_path):
    pages = [Image.fromarray(np.full((20, 30), 10 * i, np.uint16)) for i in range(18)]
    pages[0].save(tmp_path / "img.tif", save_all=True, append_images=pages[1:])
    labels = [Image.fromarray(np.full((20, 30), i % 2, np.uint8)) for i in range(18)]
    labels[0].save(tmp_path / "mask.tif", save_all=True, append_images=labels[1:])
    (source,) = find(tmp_path).sources
    case = formats.read(tmp_path, source, CurationOptions())
    assert case.is_volume
    assert case.image.shape == (30, 20, 18)
    assert case.labels[0].values[3, 4, 1] == 1


def test_a_mask_of_another_size_is_refused(write_pictures):
    root = write_pictures({"a.png": GREY, "a_mask.png": MASK, "a_mask_1.png": MASK[:20]})
    (source,) = find(root).sources
    with pytest.raises(CaseError, match=r"a_mask_1.png: .* shape \(30, 40\), found \(20, 40\)"):
        formats.read(root, source, CurationOptions())


def test_a_picture_that_is_cut_off_is_refused(write_pictures):
    noise = np.random.default_rng(0).integers(0, 255, (30, 40), dtype=np.uint8)
    root = write_pictures({"a.png": noise, "a_mask.png": MASK})
    path = root / "a.png"
    path.write_bytes(path.read_bytes()[:600])
    (source,) = find(root).sources
    with pytest.raises(CaseError, match=r"a.png: cannot be decoded"):
        formats.read(root, source, CurationOptions())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "expected TOML"),
        ("[other]", "expected only"),
        ("[[dataset]]\nfolder = 'a'\ncolour = 1", r"dataset 1 \(a\): expected some of .*'colour'"),
        ("[[dataset]]\nname = 3", "name: expected text, found 3"),
        ("[[dataset]]\nkind = 'soup'", "kind: expected one of .* found 'soup'"),
        ("[[dataset]]\nwindow = 'kidney'", "window: expected two numbers or one of"),
        ("[[dataset]]\nsubject = '['", "subject: expected a regular expression"),
        ("[[dataset]]\nsubject = 'a'", "subject: expected a group in 'a', found none"),
        ("[[dataset]]\nclasses = {a = 'red'}", "classes.a: expected a value from 1 or a colour"),
        ("[[dataset]]\nclasses = 'liver'", "classes: expected a table, found 'liver'"),
        ("[[dataset]]\nrename = {'(' = 'a'}", "rename: expected a regular expression"),
        ("[[dataset]]\nrename = {a = 1}", "rename.a: expected text, found 1"),
        ("[[dataset]]\nclasses = {a = 0}", "classes.a: expected a value from 1 or a colour"),
    ],
)
def test_a_bad_description_is_explained(tmp_path, text, message):
    path = tmp_path / "d.toml"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        options.read_description(path)
