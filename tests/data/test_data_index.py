import dataclasses
import json
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samjax.data.files import DataError
from samjax.data.index import Sample, hold_out, load_index, load_metadata, select_datasets
from samjax.data.metadata import CLASSES

SCAN = "images/ct_00--A--{case}--z_{slice:04d}.png"


def folder_index(cases=10, slices=3):
    images = [SCAN.format(case=f"p{c}", slice=s) for c in range(cases) for s in range(slices)]
    return {i: [i.replace("images", "masks").replace(".png", "--0001_000.png")] for i in images}


def write(path, content):
    path.write_text(json.dumps(content))


def test_both_index_files_of_sam_med2d(tmp_path):
    write(tmp_path / "image2label_train.json", {"i/a_1.png": ["m/x.png", "m/y.png"]})
    masks = {"m/z.png": "i/c_1.png", "m/w.png": "i/b_1.png", "m/v.png": "i/c_1.png"}
    write(tmp_path / "label2image_test.json", masks)
    assert load_index(tmp_path, "train") == [Sample("i/a_1.png", ("m/x.png", "m/y.png"), case="a")]
    assert load_index(str(tmp_path), "test") == [
        Sample("i/c_1.png", ("m/z.png", "m/v.png"), case="c"),
        Sample("i/b_1.png", ("m/w.png",), case="b"),
    ]


def test_a_folder_of_sa_med2d_is_split_by_subject(tmp_path):
    write(tmp_path / "SAMed2D_v1.json", folder_index())
    train, test = load_index(tmp_path, "train"), load_index(tmp_path, "test")
    assert (len(train), len(test)) == (24, 6)
    assert not {s.subject for s in train} & {s.subject for s in test}
    assert train[0].dataset == "A"
    with pytest.raises(DataError, match=r"expected one of the splits \['train', 'test'\]"):
        load_index(tmp_path, "validation")


def test_the_split_of_a_table_goes_by_mask(tmp_path):
    write(tmp_path / "SAMed2D_v1.json", {"a.png": ["a1.png", "a2.png"], "b.png": ["b1.png"]})
    rows = ["image,mask,split,case", "a.png,a1.png,train,one", "b.png,b1.png,validation,two"]
    (tmp_path / "split.csv").write_text("\n".join(rows))
    assert load_index(tmp_path, "train") == [Sample("a.png", ("a1.png",), case="one")]
    assert load_index(tmp_path, "validation") == [Sample("b.png", ("b1.png",), case="two")]
    with pytest.raises(DataError, match=r"splits \['train', 'validation'\], found 'test'"):
        load_index(tmp_path, "test")


def test_a_folder_with_a_split_is_never_split_anew(tmp_path):
    write(tmp_path / "SAMed2D_v1.json", folder_index())
    write(tmp_path / "image2label_train.json", folder_index())
    with pytest.raises(DataError, match=r"found image2label_train\.json"):
        load_index(tmp_path, "test")


def test_paths_that_name_the_folder_again_or_are_absolute(tmp_path, monkeypatch):
    root = tmp_path / "demo"
    (root / "images").mkdir(parents=True)
    (root / "images/x.png").touch()
    for prefix in ("", "demo/", f"{root}/"):
        index = {"demo/none.png": ["m.png"], f"{prefix}images/x.png": [f"{prefix}masks/x.png"]}
        write(root / "image2label_train.json", index)
        assert load_index(root, "train")[1] == Sample("images/x.png", ("masks/x.png",), case="x")
    monkeypatch.chdir(root)
    write(root / "image2label_train.json", {"demo/images/x.png": ["demo/masks/x.png"]})
    assert load_index(".", "train")[0].masks == ("masks/x.png",)


def test_paths_may_not_climb_out_of_the_folder(tmp_path):
    for image, mask in (("../a.png", "m.png"), ("a.png", "m/../../m.png")):
        write(tmp_path / "image2label_train.json", {image: [mask]})
        with pytest.raises(DataError, match="expected paths inside"):
            load_index(tmp_path, "train")
    write(tmp_path / "image2label_train.json", {"/elsewhere/a.png": ["m/../m.png"]})
    assert load_index(tmp_path, "train") == [Sample("/elsewhere/a.png", ("m.png",), case="a")]


def test_an_index_that_makes_no_sense_is_named(tmp_path):
    with pytest.raises(DataError, match=r"expected image2label_train\.json, .* found none of them"):
        load_index(tmp_path, "train")
    for content, message in (
        ({}, "has no images"),
        ({"a.png": "m.png"}, r"a\.png: expected a list of mask paths, found 'm\.png'"),
        (["a.png"], "expected a JSON object, found a list"),
    ):
        write(tmp_path / "image2label_train.json", content)
        with pytest.raises(DataError, match=message):
            load_index(tmp_path, "train")
    write(tmp_path / "label2image_test.json", {"m.png": ["a.png"]})
    with pytest.raises(DataError, match=r"m\.png: expected the path of an image"):
        load_index(tmp_path, "test")


samples = st.lists(
    st.builds(
        Sample,
        image=st.text(max_size=3),
        masks=st.just(("m",)),
        dataset=st.sampled_from("AB"),
        case=st.sampled_from("pqrstuvw"),
    ),
    max_size=40,
).filter(lambda found: len({sample.subject for sample in found}) > 1)


@given(samples, st.floats(0.01, 0.99), st.integers(0, 5))
def test_a_hold_out_never_cuts_through_a_subject(found, fraction, seed):
    kept, held = hold_out(found, fraction, seed)
    assert kept
    assert held
    assert sorted(map(repr, kept + held)) == sorted(map(repr, found))
    assert not {s.subject for s in kept} & {s.subject for s in held}
    assert (kept, held) == hold_out(found, fraction, seed)


def test_a_hold_out_takes_its_share_of_every_dataset():
    found = [Sample(f"{n}", ("m",), d, f"p{n}") for d, count in (("A", 50), ("B", 10))
             for n in range(count)]  # fmt: skip
    _, held = hold_out(found, 0.2, 0)
    assert [sum(s.dataset == name for s in held) for name in "AB"] == [10, 2]
    assert held != hold_out(found, 0.2, 1)[1]


def test_a_hold_out_needs_two_subjects_and_a_fraction():
    found = [Sample("a", ("m",), case="p"), Sample("b", ("n",), case="p")]
    with pytest.raises(DataError, match="needs two subjects, found only 'p'"):
        hold_out(found, 0.5, 0)
    with pytest.raises(ValueError, match="between 0 and 1, found 1"):
        hold_out(found, 1, 0)


def test_samples_by_dataset():
    found = [Sample(str(i), (), dataset=name) for i, name in enumerate("ABCA")]
    assert [sample.image for sample in select_datasets(found, ["C", "A"])] == ["0", "2", "3"]
    with pytest.raises(DataError, match=r"one of the datasets \['A', 'B', 'C'\], found 'D'"):
        select_datasets(found, ["A", "D"])


def test_metadata_comes_by_mask_from_the_table_or_the_names(phantom_root, tmp_path):
    found = load_index(phantom_root, "test")
    by_mask = load_metadata(phantom_root, found)
    assert list(by_mask) == [mask for sample in found for mask in sample.masks]
    first = by_mask[found[0].masks[0]]
    assert (first.modality, first.dataset, first.case) == ("ct", "phantom", "p0012")
    shutil.copy(phantom_root / CLASSES, tmp_path)
    named = load_metadata(tmp_path, found)[found[0].masks[0]]
    assert named == dataclasses.replace(first, anatomy="unknown")


@pytest.mark.parametrize(("name", "found"), [("file", "a file"), ("lost", "nothing of that name")])
def test_a_path_without_a_folder_is_refused(tmp_path, name, found):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=f"{name}: expected a data folder, found {found}"):
        load_index(tmp_path / name, "train")
