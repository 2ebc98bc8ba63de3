import csv
import errno
import json
import subprocess
import sys
from pathlib import Path

import cv2
import nibabel
import numpy as np
import pytest
from folders import tree

from samjax.curation import local, prepare, store
from samjax.curation.options import CurationOptions, Dataset
from samjax.data import index, quality
from samjax.data.files import DataError


def test_a_folder_becomes_a_training_set(scans, tmp_path):
    target = tmp_path / "target"
    summary = prepare.prepare(scans, target, executor=local.with_processes(1))
    assert summary.is_clean
    assert (summary.cases, summary.done, summary.counts.masks) == (8, 8, 16)
    train, test = (index.load_index(target, split) for split in ("train", "test"))
    assert (len(train), len(test)) == (6, 2) == tuple(summary.images.values())
    assert not {s.subject for s in train} & {s.subject for s in test}
    assert not quality.check_samples(target, [*train, *test], 256, "longest_side")
    about = index.load_metadata(target, train)
    assert {m.class_name for m in about.values()} == {"object"}
    with (target / store.MANIFEST).open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 16
    assert {row["source_image"] for row in rows} == {f"images/case{i}_0001.png" for i in range(8)}
    assert {row["split"] for row in rows} == {"train", "test"}
    assert all(int(row["area"]) >= 0.00153 * 3000 for row in rows)


def test_the_second_run_does_only_what_is_missing(scans, tmp_path, monkeypatch):
    target = tmp_path / "target"
    prepare.prepare(scans, target, executor=local.with_processes(1))
    before = tree(target)
    assert prepare.prepare(scans, target, executor=local.with_processes(1)).done == 0
    (scans / "masks/case3_0001.png").write_bytes((scans / "masks/case4_0001.png").read_bytes())
    (scans / "images/case7_0001.png").unlink()
    summary = prepare.prepare(scans, target, executor=local.with_processes(1))
    assert (summary.done, summary.cases) == (1, 7)
    assert [p.kind for p in summary.problems] == ["no_image"]
    after = tree(target)
    changed = {name for name in before if name.startswith("m") and before[name] != after.get(name)}
    assert {name.split("--")[2] for name in changed if "--" in name} == {"case3_0001", "case7_0001"}
    assert not [name for name in after if "case7" in name]


def test_a_killed_run_continues(scans, tmp_path, monkeypatch):
    prepare.prepare(scans, tmp_path / "whole", executor=local.with_processes(1))
    target, written = tmp_path / "target", []

    def dying(path, content):
        if len(written) == 20:
            raise KeyboardInterrupt
        written.append(path)
        real(path, content)

    real = prepare.write_whole
    monkeypatch.setattr(prepare, "write_whole", dying)
    with pytest.raises(KeyboardInterrupt):
        prepare.prepare(scans, target, executor=local.with_processes(1))
    assert not (target / index.FOLDER).exists()  # No index over half of it.
    monkeypatch.undo()
    summary = prepare.prepare(scans, target, executor=local.with_processes(1))
    assert 0 < summary.done < 8
    left_out = {store.REPORT}  # It says how many were done by the last run.
    whole, found = tree(tmp_path / "whole"), tree(target)
    assert {n: c for n, c in found.items() if n not in left_out} == {
        n: c for n, c in whole.items() if n not in left_out
    }


def test_sigterm_ends_after_the_case_in_progress(scans, tmp_path):
    """The command reports it, leaves no index, and the same command continues."""
    target = tmp_path / "target"
    program = (
        "import os, signal, sys\n"
        "from samjax.cli import main\n"
        "from samjax.curation import store\n"
        "write = store.write_case\n"
        "def writing(target, case):\n"
        "    write(target, case)\n"
        "    if len(store.cases(target)) == 3:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "store.write_case = writing\n"
        f"sys.exit(main(['data', 'prepare', {str(scans)!r}, {str(target)!r}, '--processes', '1']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 143, done.stderr
    assert "stopped after step 3 of 8; the same command goes on from there" in done.stdout
    assert len(store.cases(target)) == 3
    assert not (target / index.FOLDER).exists()
    assert prepare.prepare(scans, target, executor=local.with_processes(1)).done == 5


@pytest.mark.heavy
def test_several_processes_make_the_same(scans, tmp_path):
    prepare.prepare(scans, tmp_path / "one", executor=local.with_processes(1))
    prepare.prepare(scans, tmp_path / "two", executor=local.with_processes(2))
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_a_full_disk_stops_the_run_with_nothing_half_written(scans, tmp_path, monkeypatch):
    target, count = tmp_path / "target", [0]
    real = prepare.write_whole

    def full(path, content):
        count[0] += 1
        if count[0] > 10:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        real(path, content)

    monkeypatch.setattr(prepare, "write_whole", full)
    with pytest.raises(OSError, match="No space left on device"):
        prepare.prepare(scans, target, executor=local.with_processes(1))
    assert not (target / index.FOLDER).exists()
    assert not list(target.rglob("*.partial"))
    for name in store.cases(target):  # What has a record is whole.
        record = store.read_case(target, name)
        assert all((target / row.mask).exists() for row in record.rows)


def test_one_bad_case_does_not_stop_the_others(scans, tmp_path):
    (scans / "masks/case2_0001.png").write_bytes(b"no picture")
    summary = prepare.prepare(scans, tmp_path / "target", executor=local.with_processes(1))
    assert summary.cases == 7
    assert not summary.is_clean
    (problem,) = summary.problems
    assert problem.kind == "bad"
    assert "case2_0001.png: cannot be decoded" in problem.detail
    report = json.loads((tmp_path / "target" / store.REPORT).read_text())
    assert report["problems"][0]["detail"] == problem.detail
    assert not list((tmp_path / "target").rglob("*case2*"))


def test_a_case_that_turns_bad_leaves_the_target(scans, tmp_path):
    target = tmp_path / "target"
    prepare.prepare(scans, target, executor=local.with_processes(1))
    (scans / "masks/case2_0001.png").write_bytes(b"no picture")
    assert prepare.prepare(scans, target, executor=local.with_processes(1)).cases == 7
    assert not list(target.rglob("*case2*"))


def test_targets_that_cannot_be_are_refused(scans, tmp_path):
    with pytest.raises(DataError, match="expected a target outside of the source"):
        prepare.prepare(scans, scans / "out", executor=local.with_processes(1))
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        prepare.prepare(scans, tmp_path / "file", executor=local.with_processes(1))


def test_no_mask_at_all_is_an_error(scans, tmp_path):
    with pytest.raises(DataError, match="no mask is left"):
        prepare.prepare(
            scans,
            tmp_path / "target",
            CurationOptions(smallest_share=0.9),
            executor=local.with_processes(1),
        )


def test_numbers_of_classes_stay(scans, tmp_path):
    assert store.number_classes(tmp_path, ["b", "a"]) == {"a": 1, "b": 2}
    store.write_classes(tmp_path, {"b": 1, "c": 2})
    assert store.number_classes(tmp_path, ["a", "c"]) == {"b": 1, "c": 2, "a": 3}


def test_the_split_is_by_subject_by_default(scans, tmp_path, write_pictures):
    """Two slices of a subject are on one side; by image, as in the paper, they need not be."""
    for path in [*scans.rglob("*_0001.png")]:
        twin = path.with_name(path.name.replace("_0001", "_0002"))
        twin.write_bytes(path.read_bytes())
    prepare.prepare(scans, tmp_path / "by_subject", executor=local.with_processes(1))
    sides = [
        {s.subject for s in index.load_index(tmp_path / "by_subject", split)}
        for split in ("train", "test")
    ]
    assert not sides[0] & sides[1]
    options = CurationOptions(split_by="image", test_fraction=0.5)
    prepare.prepare(scans, tmp_path / "by_image", options, executor=local.with_processes(1))
    sides = [
        {s.subject for s in index.load_index(tmp_path / "by_image", split)}
        for split in ("train", "test")
    ]
    assert sides[0] & sides[1]


def test_the_windows_of_a_slice_are_on_one_side(tmp_path, volume):
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    for name, values in zip(("ct", "ct_label"), volume, strict=True):
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), source / f"{name}.nii.gz")
    known = Dataset(window="organ", classes={"liver": 1, "lung": 2})
    options = CurationOptions(datasets=(known,), split_by="image", test_fraction=0.5)
    prepare.prepare(source, target, options, executor=local.with_processes(1))
    sides = [
        {Path(s.image).name.split("--", 1)[1] for s in index.load_index(target, split)}
        for split in ("train", "test")
    ]
    assert all(sides)
    assert not sides[0] & sides[1]
    names = [path.name for path in (target / "images").iterdir()]
    assert len(names) > len(sides[0] | sides[1])  # Some slices are seen through both.


def test_a_patient_in_two_datasets_is_on_one_side(scans, tmp_path):
    for path in [*scans.rglob("*.png")]:
        for dataset in ("ct", "mr"):
            copy = scans / dataset / path.relative_to(scans)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
        path.unlink()
    summary = prepare.prepare(scans, tmp_path / "target", executor=local.with_processes(1))
    assert summary.images == {"train": 12, "test": 4}
    train, test = (index.load_index(tmp_path / "target", split) for split in ("train", "test"))
    assert not {s.case for s in train} & {s.case for s in test}
    for seed in range(10):  # Nor are they when a training holds some out.
        kept, held = index.hold_out(train, 0.5, seed)
        assert not {s.case for s in kept} & {s.case for s in held}
        assert {s.dataset for s in held} == {"ct", "mr"}


def test_pixels_survive(scans, tmp_path):
    """An 8-bit picture is stored as it is; its masks are 0 and 255."""
    prepare.prepare(scans, tmp_path / "target", executor=local.with_processes(1))
    (image,) = (tmp_path / "target").glob("images/*case5*.png")
    source = cv2.imread(str(scans / "images/case5_0001.png"))
    np.testing.assert_array_equal(cv2.imread(str(image), cv2.IMREAD_UNCHANGED), source)
    masks = [cv2.imread(str(p), -1) for p in (tmp_path / "target").glob("masks/*case5*.png")]
    union = np.maximum.reduce(masks)
    np.testing.assert_array_equal(union, cv2.imread(str(scans / "masks/case5_0001.png"), -1))
