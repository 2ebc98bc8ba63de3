import json

import cv2
import numpy as np
import pytest

from samjax.cli import main
from samjax.curation import local, prepare, quality_check, show, stats
from samjax.data import duplicates, index, quality


@pytest.fixture
def folder(scans, tmp_path):
    """Prepares a folder with six training and two test images, to be damaged."""
    root = tmp_path / "folder"
    prepare.prepare(scans, root, executor=local.with_processes(1))
    return root


def train(root):
    return index.load_index(root, "train")


def test_a_sound_folder_is_clean(folder, capsys):
    assert main(["data", "check", str(folder)]) == 0
    assert "8 images with 16 masks checked\nno problem found" in capsys.readouterr().out


def damage(root, kind):
    """Damages one file; returns it and the expected kind of problem."""
    one, two = train(root)[:2]
    image, mask = root / one.image, root / one.masks[0]
    pixels = cv2.imread(str(mask), cv2.IMREAD_UNCHANGED)
    if kind == "missing":
        mask.unlink()
    elif kind == "unreadable":
        image.write_bytes(image.read_bytes()[:40])
        return one.image, kind
    elif kind == "shape":
        cv2.imwrite(str(mask), pixels[:-1])
    elif kind == "empty":
        cv2.imwrite(str(mask), pixels * 0)
    elif kind == "layout":
        cv2.imwrite(str(mask), pixels // 255 * 7)
    elif kind == "not_binary":
        cv2.imwrite(str(mask), cv2.blur(pixels, (3, 3)))
    elif kind == "inverted":
        cv2.imwrite(str(mask), 255 - pixels)
    elif kind == "copy":
        test = index.load_index(root, "test")[0]
        image.write_bytes((root / test.image).read_bytes())
        return one.image, kind
    elif kind == "flat":
        cv2.imwrite(str(root / two.image), np.full((60, 50), 90, np.uint8))
        return two.image, kind
    return one.masks[0], kind


KINDS = ["missing", "unreadable", "shape", "empty", "layout", "not_binary", "inverted", "copy",
         "flat"]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_damage_is_found_and_named(folder, kind, capsys):
    path, kind = damage(folder, kind)
    found = quality_check.check_folder(folder, ("train", "test"))
    assert (path, kind) in {
        (p.path, p.kind) for p in (*found.errors, *found.leaks, *found.warnings)
    }
    harmless = kind in ("not_binary", "inverted", "flat")
    assert main(["data", "check", str(folder)]) == (0 if harmless else 1)
    assert kind in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["missing", "unreadable", "shape", "empty", "layout", "copy"])
def test_what_cannot_be_used_leaves_the_indexes_alone(folder, kind, capsys):
    path, _ = damage(folder, kind)
    before = {s.image: s.masks for s in train(folder)}
    assert main(["data", "check", str(folder), "--fix"]) == 0
    after = {s.image: s.masks for s in train(folder)}
    output = capsys.readouterr().out
    assert "left out of image2label_train.json, SAMed2D_v1.json: 1 files" in output
    assert "no problem found" in output
    lost = {p for i, m in before.items() for p in (i, *m)} - {
        p for i, m in after.items() for p in (i, *m)
    }
    owner = next(i for i, m in before.items() if path in (i, *m))
    assert lost == ({owner, *before[owner]} if path == owner else {path})
    kept = json.loads((folder / "image2label_train.json.before").read_text())
    assert {i: tuple(m) for i, m in kept.items()} == before


def test_grey_edges_are_written_anew(folder, capsys):
    path, _ = damage(folder, "not_binary")
    assert main(["data", "check", str(folder), "--fix"]) == 0
    assert "written anew as 0 and 255: 1 masks" in capsys.readouterr().out
    assert set(np.unique(cv2.imread(str(folder / path), -1))) == {0, 255}


def test_a_missing_index_is_an_error(tmp_path, capsys):
    assert main(["data", "check", str(tmp_path)]) == 2
    assert "image2label_train.json" in capsys.readouterr().err


def test_blue_skin_is_suspicious():
    image = np.random.default_rng(0).integers(40, 60, (20, 20, 3)).astype(np.uint8)
    image[..., 0] += 120
    assert quality.inspect_image(image, "rgb", "dermoscopy") is None
    kind, detail = quality.inspect_image(image, "bgr", "dermoscopy")
    assert kind == "colour_order"
    assert "is it stored as BGR" in detail
    assert quality.inspect_image(image, "bgr", "ultrasound") is None
    assert quality.inspect_image(image // 100 * 100, "bgr", "x")[0] == "two_values"


def test_a_copy_is_known_in_another_file_and_in_colour():
    image = np.random.default_rng(0).integers(0, 255, (20, 30)).astype(np.uint8)
    assert duplicates.pixel_digest(image) == duplicates.pixel_digest(np.dstack([image] * 3))
    assert duplicates.pixel_digest(image) != duplicates.pixel_digest(image.reshape(30, 20))
    assert duplicates.pixel_digest(image * 0) == ""


def test_stats_count_and_measure(folder, capsys):
    assert main(["data", "stats", str(folder)]) == 0
    assert "train: 6 images, 12 masks, test: 2 images, 4 masks" in capsys.readouterr().out
    found = json.loads((folder / "stats/stats.json").read_text())
    assert found["by_class"] == {"object": {"images": 8, "masks": 16, "subjects": 8}}
    assert found["overlaps"]["train"]["images"] == 0  # One class.
    assert found["sides"] == [[50, 60]] * 8
    assert sum(found["intensities"]["unknown_00"]) == pytest.approx(1, abs=1e-4)
    assert found["area_share"] == pytest.approx([s for s in found["area_share"] if s > 0.0015])
    picture = cv2.imread(str(folder / "stats/stats.png"))
    assert picture.shape[0] > 500
    assert stats.stats(folder, ["test"])["masks"] == {"test": 4}


def test_contact_sheets_show_images_with_their_masks(folder, tmp_path, capsys):
    assert main(["data", "show", str(folder), "--out", str(tmp_path / "sheets")]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    sheet = cv2.imread(line)
    assert line.endswith("unknown_00--source.jpg")
    assert sheet.shape[1] >= show.SIDE * show.COLUMNS
    colourful = sheet.max(-1).astype(int) - sheet.min(-1) > 60
    assert colourful.sum() > 200  # Contours.
    (folder / train(folder)[0].image).unlink()
    assert main(["data", "show", str(folder), "--count", "3"]) == 0  # It says so in its place.


def test_prepare_prints_a_summary(scans, tmp_path, capsys):
    (tmp_path / "d.toml").write_text(
        "[[dataset]]\nfolder = '.'\nname = 'Clinic'\nmodality = 'us_00'\nclass_name = 'cyst'\n"
    )
    (scans / "images/case8_0001.png").write_bytes((scans / "images/case1_0001.png").read_bytes())
    target = tmp_path / "target"
    call = ["data", "prepare", str(scans), str(target), "--processes", "1"]
    assert main([*call, "--describe", str(tmp_path / "d.toml"), "--axes", "z"]) == 1
    output = capsys.readouterr().out
    assert "8 cases with masks (8 cases curated now), images: 6 train + 2 test, 16 masks" in output
    assert "no_label: images/case8_0001.png: expected labels of that name" in output
    samples = train(target)
    assert {s.dataset for s in samples} == {"Clinic"}
    about = index.load_metadata(target, samples)
    assert {m.class_name for m in about.values()} == {"cyst"}
    assert main([*call, "--describe", str(tmp_path / "gone.toml")]) == 2
    assert "gone.toml: no such file" in capsys.readouterr().err
    assert main([*call, "--window", "kidney"]) == 2
    assert "window: expected two numbers or one of" in capsys.readouterr().err


def test_a_single_subject_is_all_for_training(scans, tmp_path, capsys):
    for path in scans.rglob("case[1-7]_0001.png"):
        path.unlink()
    target = tmp_path / "target"
    assert main(["data", "prepare", str(scans), str(target), "--processes", "1"]) == 0
    assert "images: 1 train + 0 test" in capsys.readouterr().out
    assert index.list_splits(target) == ["train"]
    for command in ("check", "stats", "show"):
        assert main(["data", command, str(target)]) == 0
