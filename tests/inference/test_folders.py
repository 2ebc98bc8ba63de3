"""Folders of predictions: results are in the manifest, made once, and replace nothing."""

import json
import os
import signal

import cv2
import numpy as np
import pytest

from samjax import signals
from samjax.data.files import DataError
from samjax.inference import ObjectPrompt, Predictor, batch, files, image_files, manifest

CLICK = ObjectPrompt(points=[[10, 12]], labels=[1])
BOX = ObjectPrompt(box=[5, 6, 30, 40])


@pytest.fixture(scope="module")
def predictor(model):
    return Predictor(model)


@pytest.fixture
def scans(tmp_path, photo):
    """A folder of three images."""
    (tmp_path / "in").mkdir()
    for number, name in enumerate("abc"):
        cv2.imwrite(str(tmp_path / f"in/{name}.png"), photo(50 + number, 60, 3))
    return tmp_path / "in"


@pytest.fixture
def run(predictor, scans, tmp_path):
    """Predicts all the images, or some, into `out`."""

    def run_with(names="abc", prompts=None, **options):
        found = image_files.find_images([scans / f"{name}.png" for name in names], tmp_path / "out")
        jobs = {image: prompts or {"1": BOX, "2": CLICK} for image in found}
        return files.predict_files(predictor, jobs, tmp_path / "out", **options)

    return run_with


def masks_of(folder):
    return {p.name for p in folder.glob("*.png")}


def content(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def written(folder):
    return json.loads((folder / manifest.MANIFEST).read_text())


def test_finished_images_are_not_predicted_again(run, tmp_path, monkeypatch):
    assert run("ab") == {}
    before = content(tmp_path / "out")
    monkeypatch.setattr(Predictor, "set_image", lambda *_: pytest.fail("done again"))
    run("ab")
    assert content(tmp_path / "out") == before


def test_more_images_join_the_manifest(run, tmp_path):
    run("a")
    run("bc")
    found = written(tmp_path / "out")
    assert list(found["images"]) == ["a.png", "b.png", "c.png"]
    named = {file for entry in found["images"].values() for file in manifest.entry_files(entry)}
    assert named == masks_of(tmp_path / "out")
    assert not (tmp_path / "out" / manifest.JOURNAL).exists()


@pytest.mark.parametrize("change", [{"multimask": True}, {"prompts": {"1": CLICK}}])
def test_results_with_other_settings_are_refused_or_replaced(run, tmp_path, change):
    run()
    before = content(tmp_path / "out")
    with pytest.raises(DataError, match=r"--overwrite to replace"):
        run(**change)
    assert content(tmp_path / "out") == before
    run("a", overwrite=True, **change)
    found = written(tmp_path / "out")
    assert list(found["images"]) == ["a.png"]
    assert masks_of(tmp_path / "out") == set(manifest.entry_files(found["images"]["a.png"]))


def test_another_model_is_refused(run, tmp_path, model, scans):
    run("a")
    other = Predictor(model, adapters=False)
    found = image_files.find_images([scans / "b.png"], tmp_path / "out")
    with pytest.raises(DataError, match=r"\(adapters: True then, False now\)"):
        files.predict_files(other, {found[0]: {"1": BOX}}, tmp_path / "out")


def test_another_image_of_the_same_name_is_named(run, tmp_path, scans, photo):
    run("ab")
    before = content(tmp_path / "out")
    cv2.imwrite(str(scans / "a.png"), photo(90, 70))
    failed = run("ab")
    assert list(failed) == ["a.png"] and "found another (70 x 90" in failed["a.png"]
    after = content(tmp_path / "out")
    assert {n: after[n] for n in after if n != manifest.MANIFEST} == {
        n: before[n] for n in before if n != manifest.MANIFEST
    }


def test_files_of_other_programs_are_kept(run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b_1.png").write_text("mine")
    with pytest.raises(DataError, match=r"b_1\.png: expected room .* no manifest here names"):
        run()
    assert content(tmp_path / "out") == {"b_1.png": b"mine"}


def test_a_manifest_of_another_program_is_kept(run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / manifest.MANIFEST).write_text("[]")
    for overwrite in (False, True):
        with pytest.raises(DataError, match="expected a manifest of samjax"):
            run(overwrite=overwrite)


def test_a_missing_mask_is_made_again(run, tmp_path):
    run()
    before = content(tmp_path / "out")
    (tmp_path / "out" / "b_2.png").unlink()
    run()
    assert content(tmp_path / "out") == before


@pytest.mark.parametrize("moment", range(1, 9))
def test_a_run_that_ends_at_any_moment_leaves_every_mask_in_the_manifest(
    run, tmp_path, monkeypatch, moment
):
    """Killed while writing: every mask there is named, and the same command gives the same."""
    run()
    expected = content(tmp_path / "out")
    for name in expected:
        (tmp_path / "out" / name).unlink()
    written_files, write = [], files.files.write_whole

    def dying(path, data):
        if len(written_files) == moment:
            raise SystemExit  # Nothing of ours takes it.
        written_files.append(path)
        write(path, data)

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(files.files, "write_whole", dying)
        run()
    assert masks_of(tmp_path / "out") <= manifest.result_files(tmp_path / "out")
    assert not (tmp_path / "out" / manifest.MANIFEST).exists()
    assert run() == {}
    assert content(tmp_path / "out") == expected


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_on_request(run, tmp_path, monkeypatch, capsys, number, code):
    set_image, seen = Predictor.set_image, []
    # What runs in the background of a script is started with Ctrl-C ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def stopping(self, *arguments):
        seen.append(arguments)
        if len(seen) == 3:
            os.kill(os.getpid(), number)
        set_image(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "set_image", stopping)
        code_found = signals.run_command("samjax", lambda: bool(run()))
    signal.signal(signal.SIGINT, before)
    assert code_found == code
    line = "samjax: stopped: 2 of 3 images are done; the same command goes on\n"
    assert capsys.readouterr().err.endswith(line)
    run()
    assert len(seen) == 3
    assert list(written(tmp_path / "out")["images"]) == ["a.png", "b.png", "c.png"]


def test_masks_are_made_a_few_at_a_time(predictor, scans, tmp_path, monkeypatch):
    """Many objects on a large image: no more masks at its size than the budget allows."""
    made, restore = [], batch.restore

    def counting(*arguments, **named):
        found = restore(*arguments, **named)
        made.append(found.shape)
        return found

    monkeypatch.setattr(batch, "restore", counting)
    monkeypatch.setattr(batch, "MAX_PIXELS", 4 * 256**2)
    (image,) = image_files.find_images([scans / "a.png"], tmp_path)
    objects = {str(n): ObjectPrompt(box=[n, n, n + 20, n + 20]) for n in range(5)}
    files.predict_files(predictor, {image: objects}, tmp_path / "best")
    assert made == [(4, 1, 256, 256), (1, 1, 256, 256)]
    files.predict_files(predictor, {image: objects}, tmp_path / "all", multimask=True)
    assert {shape[:2] for shape in made[2:]} == {(1, 3)}
    best, every = (written(tmp_path / name)["images"]["a.png"] for name in ("best", "all"))
    for one, other in zip(best["objects"], every["objects"], strict=True):
        np.testing.assert_allclose(one["scores"], other["scores"], atol=1e-5)
        best_file = other["masks"][other["best"]]
        found = [(tmp_path / "best" / one["masks"][0]), (tmp_path / "all" / best_file)]
        np.testing.assert_array_equal(*(cv2.imread(str(path)) for path in found))


def test_a_strip_and_images_that_break_end_no_run(run, scans, tmp_path, monkeypatch):
    cv2.imwrite(str(scans / "a.png"), np.zeros((60, 3000), np.uint8))
    set_image = Predictor.set_image

    def breaking(self, image, order):
        if image.shape[0] == 51:
            raise MemoryError
        set_image(self, image, order)

    monkeypatch.setattr(Predictor, "set_image", breaking)
    assert run() == {"b.png": "MemoryError"}
    assert set(written(tmp_path / "out")["images"]) == {"a.png", "c.png"}
    assert cv2.imread(str(tmp_path / "out/a_1.png"), cv2.IMREAD_UNCHANGED).shape == (60, 3000)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["left kidney", "liver"], ["left_kidney", "liver"]),
        (["肝臓", "печень"], ["肝臓", "печень"]),
        (["a/b", "..", "a\\b\n"], ["a_b-", "..", "a_b_"]),
        (["a b", "a/b"], ["a_b-", "a_b-"]),
        (["Liver", "liver"], ["Liver-", "liver-"]),
        (["overlay", "Overlay"], ["overlay-", "Overlay-"]),
        (["x" * 300, "x" * 301], ["xxx", "xxx"]),
        (["?", "*"], ["_-", "_-"]),
    ],
)
def test_names_of_objects_become_names_of_files(names, expected):
    found = files.file_names(names)
    assert list(found) == names
    parts = [*found.values()]
    if expected[0] == "a_b-":
        expected = [part.rstrip("-") for part in expected]
    for part, start in zip(parts, expected, strict=True):
        assert part.startswith(start) and len(part.encode()) < 120
        assert not set(part) & set('/\\?*:"<>|\n ')
        assert start.endswith("-") or part == start or len(start) == 3
    assert len({part.casefold() for part in parts}) == len(parts)


def test_entries_match_however_the_path_is_spelt(tmp_path):
    for name in ("in/sub/a.png", "in/b.png", "in/caf\u00e9.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    found = image_files.find_images([tmp_path / "in"], tmp_path / "out")
    by_name = {image.name: image for image in found}
    spelt = {
        "sub\\a.png": "sub/a.png",
        str(tmp_path / "in" / "b.png"): "b.png",
        "cafe\u0301.png": "caf\u00e9.png",
    }
    prompts = {key: {"1": BOX} for key in [*spelt, "none.png", "C:\\other\\b.png"]}
    assigned, unmatched = image_files.assign(prompts, found)
    assert assigned == {by_name[name]: {"1": BOX} for name in spelt.values()}
    assert unmatched == ["none.png", "C:\\other\\b.png"]


def test_results_of_another_run_are_no_images(run, scans, tmp_path, caplog):
    run("a")
    (tmp_path / "out").rename(scans / "before")
    found = image_files.find_images([scans], tmp_path / "out")
    assert [image.name for image in found] == ["a.png", "b.png", "c.png"]
    assert "left out: 3 files that a predictions.json names" in caplog.text
