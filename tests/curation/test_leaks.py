"""Subjects, from a folder of files to a split without leaks."""

import csv
import json

import cv2
import numpy as np
import pytest
from PIL import Image

from samjax.cli import main
from samjax.curation import discover, naming, quality_check, subjects
from samjax.curation.case import CaseSource
from samjax.curation.options import CurationOptions, Dataset
from samjax.data import duplicates, index

RNG = np.random.default_rng(3)


def scene(seed, shape=(96, 80)):
    """Returns a picture with soft and sharp structures, without symmetry."""
    rng = np.random.default_rng(seed)
    image = cv2.resize(rng.uniform(20, 220, (7, 6)).astype(np.float32), shape[::-1])
    cv2.circle(image, (int(rng.integers(20, 60)), int(rng.integers(20, 70))), 12, 240.0, -1)
    return np.clip(image + rng.normal(0, 3, shape), 0, 255).astype(np.uint8)


MASK = np.zeros((96, 80), np.uint8)
MASK[30:60, 20:50] = 255


def pictures(names):
    """Writes different pictures of those names, each with a mask beside it."""
    found = {}
    for seed, name in enumerate(names):
        found[f"{name}.png"], found[f"{name}_mask.png"] = scene(seed), MASK
    return found


def sides(target):
    with (target / "manifest.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {
        side: {row["subject"] for row in rows if row["split"] == side} for side in ("train", "test")
    }


def run(source, target, *options):
    return main(["data", "prepare", str(source), str(target), "--processes", "1", *options])


def test_a_patient_is_on_one_side_and_is_reported(write_pictures, tmp_path, capsys):
    names = [f"patient{i}/{part}" for i in range(4) for part in ("T1_image", "T2_image")]
    source = write_pictures(pictures(names))
    assert run(source, tmp_path / "target") == 0
    output = capsys.readouterr().out.splitlines()
    assert output[0] == "subjects of source: 4 in 8 images, a name such as patient1"
    assert output[1] == "  patient0/T1_image.png -> patient0"
    found = sides(tmp_path / "target")
    assert found["train"] | found["test"] == {f"patient{i}" for i in range(4)}
    assert not found["train"] & found["test"]
    assert main(["data", "check", str(tmp_path / "target")]) == 0
    assert "subjects of source: 4 in 8 images" in capsys.readouterr().out


def test_a_pattern_overrides_the_layout_and_a_description_the_pattern(write_pictures, tmp_path):
    source = write_pictures(pictures(["a/p1_x1", "a/p2_x1", "b/p3_x2", "b/p4_x2"]))
    options = CurationOptions((Dataset("b", subject=r"(p\d)"),), subject_pattern=r"_(x\d)")
    found = discover.discover(source, options)
    assert [s.subject for s in found.sources] == ["x1", "x1", "p3", "p4"]
    with pytest.raises(ValueError, match="subject_pattern: expected a group"):
        CurationOptions(subject_pattern="x")


def dicom(image, subject, study):
    return CaseSource("dicom", image, subject, "d", "ct_00", (image,), study=study)


def of_series(*sources):
    found = subjects.assign(None, [dicom(*one) for one in sources], CurationOptions())  # pyrefly: ignore
    return [source.subject for source in found.sources]


def test_dicom_without_an_id_is_of_its_study_or_folder():
    assert of_series(("1.dcm", "", "1.2"), ("2.dcm", "", "1.3"), ("3.dcm", "", "1.2")) == [
        "1.2", "1.3", "1.2",
    ]  # fmt: skip
    assert of_series(("P1/CT/1.dcm", "", "1.2"), ("P1/MR/1.dcm", "anonymous", "1.3")) == ["P1"] * 2


def test_all_that_shares_an_id_a_study_or_a_patients_folder_is_one():
    series = [("P1/CT/1.dcm", "A", "1"), ("P1/MR/1.dcm", "B", "2"), ("P2/CT/1.dcm", "C", "3")]
    assert of_series(*series) == ["A", "A", "C"]
    assert of_series(("x/1.dcm", "A", "1"), ("y/1.dcm", "B", "1")) == ["A", "A"]


def test_names_of_any_alphabet_stay_apart(write_pictures, tmp_path):
    names = ["患者一", "患者二", "Мария", "Марта", "Müller", "Muller", "राम", "रमा", "x y", "x-y"]
    assert len({naming.safe(name) for name in names[:-2]}) == 8
    assert all(naming.safe(name).isascii() for name in names)
    source = write_pictures(pictures(names))
    assert run(source, tmp_path / "target") == 0
    with (tmp_path / "target/manifest.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["source_image"] for row in rows} == {f"{name}.png" for name in names}
    assert len({row["image"] for row in rows}) == len(names)


# Copies


def jpeg(image, quality=80):
    return cv2.imdecode(cv2.imencode(".jpg", image, [1, quality])[1], -1)


COPIES = {
    "same": lambda x: x,
    "flipped": lambda x: x[:, ::-1],
    "turned": lambda x: np.rot90(x),
    "turned and flipped": lambda x: np.rot90(x)[:, ::-1],
    "brighter": lambda x: np.clip(x.astype(int) + 1, 0, 255).astype(np.uint8),
    "jpeg": jpeg,
    "resized": lambda x: cv2.resize(x, (76, 91), interpolation=cv2.INTER_AREA),
    "colour": lambda x: np.dstack([x] * 3),
    "all at once": lambda x: jpeg(cv2.resize(x, (88, 105))[::-1]),
}


@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_is_known(kind):
    for seed in range(20):
        one, other = (duplicates.thumbnail(image) for image in
                      (scene(seed), np.ascontiguousarray(COPIES[kind](scene(seed)))))  # fmt: skip
        assert list(duplicates.find_duplicates([one, other], [0, 1])) == [(0, 1)]


def test_what_differs_is_no_copy():
    thumbnails = [duplicates.thumbnail(scene(seed)) for seed in range(40)]
    assert not list(duplicates.find_duplicates(thumbnails, range(40)))
    assert duplicates.thumbnail(np.full((50, 50), 7, np.uint8)) is None
    assert duplicates.thumbnail(RNG.integers(7, 9, (50, 50)).astype(np.uint8)) is None
    base = scene(1)
    slices = [base.copy() for _ in range(2)]
    cv2.circle(slices[1], (40, 48), 12, 0, -1)  # The next slice: nearly all is the same.
    thumbnails = [duplicates.thumbnail(image) for image in slices]
    assert not list(duplicates.find_duplicates(thumbnails, [0, 1]))


def data_folder(root, train, test, table=""):
    """Writes a data folder by hand: {name: pixels} of both splits."""
    (root / "images").mkdir(parents=True)
    content = [{}, {}]
    for side, of_side in enumerate((train, test)):
        for name, pixels in of_side.items():
            mask = np.zeros(pixels.shape[:2], np.uint8)
            mask[20:60, 20:60] = 255
            Image.fromarray(pixels).save(root / f"images/{name}.png")
            Image.fromarray(mask).save(root / f"images/{name}_x_0.png")
            content[side][f"images/{name}.png"] = [f"images/{name}_x_0.png"]
    for name, of_side in zip(("train", "test"), content, strict=True):
        (root / f"image2label_{name}.json").write_text(json.dumps(of_side))
    if table:
        (root / "manifest.csv").write_text(table)
    return root


@pytest.mark.parametrize("kind", ["flipped", "turned", "brighter", "jpeg", "resized"])
def test_the_check_finds_copies_and_fix_takes_them_out(tmp_path, capsys, kind):
    copy = np.ascontiguousarray(COPIES[kind](scene(7)))
    train = {"a": scene(1), "b": copy}
    root = data_folder(tmp_path / "data", train, {"c": scene(7)})
    assert main(["data", "check", str(root)]) == 1
    assert "images/b.png (train) is in test as images/c.png" in capsys.readouterr().out
    assert main(["data", "check", str(root), "--fix"]) == 0
    assert [s.image for s in index.load_index(root, "train")] == ["images/a.png"]


def test_the_check_finds_a_subject_on_both_sides(tmp_path, capsys):
    train = {"p1_001": scene(1), "p2_001": scene(2), "p2_002": scene(4)}
    root = data_folder(tmp_path / "data", train, {"p1_002": scene(3)})
    assert main(["data", "check", str(root)]) == 1
    assert "subject unknown/p1: images/p1_001.png (train) is in test" in capsys.readouterr().out
    assert main(["data", "check", str(root), "--subject-pattern", r"(p\d_\d+)"]) == 0
    assert main(["data", "check", str(root), "--fix"]) == 0
    left = [s.image for s in index.load_index(root, "train")]
    assert left == ["images/p2_001.png", "images/p2_002.png"]


@pytest.mark.parametrize(
    ("columns", "rows", "kind"),
    [
        ("subject", ["S", "T", "S"], "subject"),
        ("source_image", ["patient1/a.png", "patient2/a.png", "patient1/b.png"], "folder"),
    ],
)
def test_the_check_reads_the_manifest(tmp_path, columns, rows, kind):
    names = ["q", "r", "s"]
    lines = [f"images/{n}.png,images/{n}_x_0.png,{r}" for n, r in zip(names, rows, strict=True)]
    table = "\n".join([f"image,mask,{columns}", *lines])
    train = {"q": scene(1), "r": scene(2)}
    root = data_folder(tmp_path / "data", train, {"s": scene(3)}, table)
    found = quality_check.check_folder(root, ("train", "test"))
    assert [(p.path, p.kind) for p in found.leaks] == [("images/q.png", kind)]


def test_a_hold_out_of_a_folder_without_a_table_keeps_patients_whole(tmp_path):
    names = [f"patient{i}_{part}_{n}" for i in range(5) for part in "ab" for n in range(3)]
    content = {f"images/{name}.png": [f"images/{name}_m_0.png"] for name in names}
    (tmp_path / "image2label_train.json").write_text(json.dumps(content))
    samples = index.load_index(tmp_path, "train")
    assert {s.case for s in samples} == {f"patient{i}" for i in range(5)}
    kept, held = index.hold_out(samples, 0.4, 0)
    assert not {s.image.split("_")[0] for s in kept} & {s.image.split("_")[0] for s in held}
    films = {f"photo_00--F--{film}_{n:04d}--x_0000.png": ["m"] for film in ("V1", "V2")
             for n in range(3)}  # fmt: skip
    (tmp_path / "image2label_train.json").write_text(json.dumps(films))
    assert {s.case for s in index.load_index(tmp_path, "train")} == {"V1", "V2"}
