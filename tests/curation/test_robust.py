"""A fault of a file or a process is reported, and the rest continues."""

import errno
import gzip
import json
import os
from pathlib import Path

import cv2
import nibabel
import numpy as np
import pytest

from samjax.cli import main
from samjax.curation import curate, left_out, local, prepare, stats
from samjax.curation.discovery_result import DiscoveryResult
from samjax.curation.walk import files
from samjax.data import index

ONE = local.with_processes(1)


def test_odd_entries_of_a_folder_are_named(tmp_path):
    root = tmp_path / "root"
    (root / "inner").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    for path in ("root/inner/a.png", "elsewhere/b.png", "root/.hidden"):
        (tmp_path / path).write_bytes(b"x")
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "inner/nothing").symlink_to(tmp_path / "gone")
    (root / "inner/circle").symlink_to(root)
    (root / "again").symlink_to(root / "inner")
    (root / "linked_again").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(root / "pipe")
    found = DiscoveryResult()
    assert files(root, found) == ["inner/a.png", "linked/b.png"]
    assert {problem.where: problem.detail.split("found ")[1] for problem in found.problems} == {
        "inner/nothing": "a link to nothing",
        "inner/circle": "a link to one that it lies in",
        "pipe": "a device, pipe or socket",
    }


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_named(tmp_path):
    (tmp_path / "closed").mkdir(mode=0)
    (tmp_path / "a.png").touch(mode=0)
    found = DiscoveryResult()
    assert files(tmp_path, found) == []
    assert {problem.where for problem in found.problems} == {"closed", "a.png"}
    (tmp_path / "closed").chmod(0o700)


def volumes(root, image):
    """Writes a volume with labels that cannot be used, and one that can."""
    labels = np.zeros((24, 24, 24), np.uint8)
    labels[6:18, 6:18, 6:18] = 1
    good = np.random.default_rng(0).normal(size=labels.shape).astype(np.float32)
    root.mkdir()
    for name, pixels in (("a", image), ("b", good)):
        nibabel.save(nibabel.Nifti1Image(pixels, np.eye(4)), root / f"{name}_image.nii.gz")
        nibabel.save(nibabel.Nifti1Image(labels, np.eye(4)), root / f"{name}_mask.nii.gz")
    return root


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_volume_without_a_number_is_named(tmp_path, value, capsys):
    source = volumes(tmp_path / "source", np.full((24, 24, 24), value, np.float32))
    assert main(["data", "prepare", str(source), str(tmp_path / "out"), "--processes", "1"]) == 1
    output = capsys.readouterr().out
    assert "1 cases with masks" in output
    assert "a_image.nii.gz: cannot be used: ValueError: expected intensities" in output


def broken(one, reason):
    if one == 3:
        os._exit(9) if reason == "dies" else None
    return one


def lost(one, reason):
    return f"{one} lost"


@pytest.mark.heavy
def test_a_process_that_dies_takes_only_its_own_piece_with_it():
    found = [*local.run("test", broken, [*range(8)], ("dies",), lost, processes=2)]
    assert found == [0, 1, 2, "3 lost", 4, 5, 6, 7]


def test_too_little_memory_for_a_case_ends_only_that(scans, tmp_path, monkeypatch):
    def read(root, one, *rest):
        if "case3" in one.id:
            raise MemoryError
        yield from real(root, one, *rest)

    real = curate.curate
    monkeypatch.setattr(curate, "curate", read)
    summary = prepare.prepare(scans, tmp_path / "target", executor=ONE)
    assert summary.cases == 7
    (problem,) = summary.problems
    assert problem.where.endswith("case3_0001")
    assert "MemoryError" in problem.detail


@pytest.mark.parametrize("damage", ["deleted", "emptied", "cut", "edited"])
def test_what_is_damaged_in_the_target_is_made_again(scans, tmp_path, damage):
    target = tmp_path / "target"
    prepare.prepare(scans, target, executor=ONE)
    path = target / index.load_index(target, "train")[0].image
    content = path.read_bytes()
    path.unlink()
    if damage != "deleted":
        other = {"emptied": b"", "cut": content[:50], "edited": content[:-1] + b"x"}[damage]
        path.write_bytes(other)
    assert prepare.prepare(scans, target, executor=ONE).done == 1
    kept = path.with_name(path.name + ".before")  # Somebody's work, perhaps.
    assert kept.exists() == (damage in ("cut", "edited"))
    assert path.read_bytes() == content
    assert prepare.prepare(scans, target, executor=ONE).done == 0


def test_what_a_check_took_out_stays_out(scans, tmp_path, capsys):
    target = tmp_path / "target"
    prepare.prepare(scans, target, executor=ONE)
    bad = index.load_index(target, "train")[0].masks[0]
    (target / bad).write_bytes(b"")
    assert main(["data", "check", str(target), "--fix"]) == 0
    summary = prepare.prepare(scans, target, executor=ONE)
    assert summary.done == 1
    masks = [m for s in ("train", "test") for one in index.load_index(target, s) for m in one.masks]
    assert len(masks) == 15
    assert bad not in masks
    assert f"1 masks that a check took out, see {target / left_out.NAME}" in str(summary)
    assert f"made again, as they were missing or changed: 1 files, the first {target / bad}" in str(
        summary
    )
    (target / left_out.NAME).unlink()
    prepare.prepare(scans, target, executor=ONE)
    assert bad in [m for one in index.load_index(target, "train") for m in one.masks]


def full(path, *_):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("name", ["manifest.csv", "report.json"])
def test_a_full_disk_is_one_line_that_names_the_file(scans, tmp_path, monkeypatch, capsys, name):
    """No partial file stays."""
    target, real = tmp_path / "target", Path.open

    def opened(self, mode="r", *arguments, **options):
        if "w" in mode and self.name == f"{name}.partial":
            full(self)
        return real(self, mode, *arguments, **options)

    monkeypatch.setattr(Path, "open", opened)
    arguments = ["data", "prepare", str(scans), str(target), "--processes", "1"]
    assert main(arguments) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("samjax: error: [Errno 28] No space left on device")
    assert str(target / name) in error
    assert not [*target.rglob("*.partial")]
    monkeypatch.undo()
    assert main(arguments) == 0


def test_a_mask_that_is_listed_three_times_counts_once(scans, tmp_path, capsys):
    target = tmp_path / "target"
    prepare.prepare(scans, target, executor=ONE)
    samples = index.load_index(target, "train")
    content = {one.image: list(one.masks) for one in samples}
    content[samples[0].image] += [samples[0].masks[0], f"./{samples[0].masks[0]}"]
    content[f"images/../{samples[1].image}"] = [samples[1].masks[0]]
    path = target / "image2label_train.json"
    path.write_text(json.dumps(content))
    assert index.load_index(target, "train") == samples
    assert stats.stats(target, ["train"])["masks"] == {"train": 12}
    assert main(["data", "check", str(target)]) == 0
    output = capsys.readouterr().out
    assert "worth a look: 3 repeated" in output
    assert f"{target / samples[0].masks[0]}: listed 3 times in the split train, used once" in output
    assert main(["data", "check", str(target), "--fix"]) == 0
    assert "listed once: 3 files" in capsys.readouterr().out
    assert json.loads(path.read_text()) == {one.image: [*one.masks] for one in samples}


def test_a_name_that_an_index_has_twice_loses_nothing(scans, tmp_path, capsys):
    """JSON allows it, and a dict would keep only the last."""
    target = tmp_path / "target"
    prepare.prepare(scans, target, executor=ONE)
    samples = index.load_index(target, "train")
    pairs = [(one.image, mask) for one in samples for mask in one.masks]
    (target / "image2label_train.json").write_text(
        "{" + ", ".join(f'"{image}": ["{mask}"]' for image, mask in pairs) + "}"
    )
    assert index.load_index(target, "train") == samples
    (target / "image2label_train.json").unlink()
    (target / "label2image_train.json").write_text(
        "{" + ", ".join(f'"{mask}": "{image}"' for image, mask in pairs * 3) + "}"
    )
    assert index.load_index(target, "train") == samples
    assert main(["data", "check", str(target)]) == 0
    assert "worth a look: 12 repeated" in capsys.readouterr().out


@pytest.mark.parametrize("count", [1, 2])
def test_there_is_a_picture_of_a_single_area(write_pictures, tmp_path, count):
    square = np.zeros((40, 40), np.uint8)
    square[10:20, 10:20] = 255
    source = write_pictures(
        {f"{kind}/case{i}.png": square for kind in ("images", "masks") for i in range(count)}
    )
    target = tmp_path / "target"
    prepare.prepare(source, target, executor=ONE)
    assert main(["data", "stats", str(target)]) == 0
    assert cv2.imread(str(target / "stats/stats.png")) is not None


def test_there_is_a_picture_without_a_mask(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((20, 30), np.uint8))
    (tmp_path / "image2label_train.json").write_text('{"a.png": []}')
    assert main(["data", "stats", str(tmp_path)]) == 0
    assert (tmp_path / "stats/stats.png").stat().st_size


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_header_that_declares_more_than_the_file_holds_is_reported(tmp_path, capsys, suffix):
    """Before memory is allocated."""
    source = volumes(tmp_path / "source", np.zeros((24, 24, 24), np.float32))
    header = nibabel.Nifti1Image(np.zeros((1, 1, 1), np.uint8), np.eye(4)).header
    header.set_data_shape((30000, 30000, 3000))
    packed = gzip.compress if suffix.endswith("gz") else bytes
    (source / "a_image.nii.gz").unlink()
    (source / f"a_image{suffix}").write_bytes(packed(header.binaryblock + bytes(500)))
    assert main(["data", "prepare", str(source), str(tmp_path / "out"), "--processes", "1"]) == 1
    output = capsys.readouterr().out
    assert f"a_image{suffix}: expected 2,700,000,000,000 bytes of voxels" in output
    assert "1 cases with masks" in output


def test_statistics_name_what_they_cannot_read_and_count_the_rest(scans, tmp_path, capsys):
    target = tmp_path / "target"
    prepare.prepare(scans, target, executor=ONE)
    first, second = index.load_index(target, "train")[:2]
    (target / first.image).write_bytes(b"")
    (target / second.masks[0]).unlink()
    assert main(["data", "stats", str(target)]) == 1
    output = capsys.readouterr()
    assert "train: 5 images, 9 masks, test: 2 images, 4 masks" in output.out
    assert f"not counted: {target / first.image}: expected an image, found an empty" in output.err
    assert f"not counted: {target / second.masks[0]}: no such file" in output.err
