"""Workdirs: a run is resumed exactly, or an error names the difference or damage."""

import csv
import dataclasses
import io
import json
import logging
import re
import shutil
from pathlib import Path

import jax.numpy as jnp
import pytest
import toy

from samjax import digests, lock
from samjax.data import split_table
from samjax.data.config import DataConfig
from samjax.data.files import DataError
from samjax.evaluation.evaluator import EvalConfig
from samjax.training import checkpoint, loop, resume, setup, step, validation
from samjax.training.config import Experiment, LogConfig, RunConfig, ValidationConfig


def no_learning(config, state, batch, factor):
    """Replaces the training step in tests that do not need it."""
    one = jnp.ones(1)
    terms = dict.fromkeys(("focal", "dice_loss", "iou_error", "dice"), one)
    return state.replace(step=state.step + 1), step.Metrics(one, one > 0, terms)


@pytest.fixture(scope="module", autouse=True)
def nothing_computed():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step, "train_step", no_learning)
        patch.setattr(validation, "scores", lambda *_: {"validation/dice": 0.5})
        yield


@pytest.fixture(scope="module")
def experiment(phantom_root):
    return Experiment(
        model=toy.MODEL,
        data=DataConfig(
            root=str(phantom_root), batch_size=8, masks_per_image=1, validation_fraction=0.25
        ),
        prompting=dataclasses.replace(toy.PROMPTING, iterations=1),
        optim=toy.STEP.optim,
        run=RunConfig(steps=2, report=False),
        validation=ValidationConfig(every=2, evaluation=EvalConfig(protocols=("bbox",))),
        checkpoint=checkpoint.CheckpointConfig(every=1),
        log=LogConfig(every=1, picture_every=0),
    )


@pytest.fixture(scope="module")
def finished(experiment, tmp_path_factory):
    """A run of two batches, with a checkpoint after each. Not to be written to."""
    workdir = tmp_path_factory.mktemp("runs") / "finished"
    loop.train(experiment, workdir)
    return workdir


@pytest.fixture
def workdir(finished, tmp_path):
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture
def data(experiment, tmp_path):
    """A copy of the data folder that may be changed."""
    return Path(shutil.copytree(experiment.data.root, tmp_path / "data"))


def changed(experiment, **sections):
    """The experiment with other fields in some sections."""
    fields = {
        name: dataclasses.replace(getattr(experiment, name), **values)
        for name, values in sections.items()
    }
    return dataclasses.replace(experiment, **fields)


def contents(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def rewrite_index(root, change):
    path = root / "image2label_train.json"
    index = json.loads(path.read_text())
    path.write_text(json.dumps(change(index)))


def first(index):
    return next(iter(index))


def without_first(index):
    return {image: masks for image, masks in index.items() if image != first(index)}


def fewer_masks(index):
    return index | {first(index): index[first(index)][1:]}


def reordered(index):
    return dict(reversed(index.items()))


def on_root(experiment, root):
    return changed(experiment, data={"root": str(root)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_first, r"1 training images removed \(images/.*p0000--z_0000.png\)"),
        (fewer_masks, r"1 images with other masks \(images/.*p0000--z_0000.png\)"),
    ],
)
def test_a_run_does_not_go_on_with_another_index(experiment, workdir, data, change, message):
    experiment = on_root(experiment, data)
    rewrite_index(data, change)
    before = contents(workdir)
    with pytest.raises(ValueError, match=rf"run holds a run on other data \(.*{message}"):
        loop.train(experiment, workdir)
    assert contents(workdir) == before


def test_a_run_goes_on_with_its_data_elsewhere_and_in_another_order(experiment, workdir, data):
    before = (workdir / "data.csv").read_bytes()
    rewrite_index(data, reordered)
    experiment = on_root(experiment, data)
    now = setup.prepare_data(experiment, workdir)
    assert now.table != before
    data = resume.in_order_of_run(now, workdir)
    assert data.table == before == split_table.build(data.train, data.validation, described(before))
    saved = checkpoint.Checkpoints(workdir, experiment.checkpoint)
    resume.check_settings(experiment, workdir, saved)
    resume.check_data(data.table, workdir, saved)


def described(table):
    rows = csv.DictReader(io.StringIO(table.decode()))
    return {row["image"]: row["content"] for row in rows}


def test_another_root_that_is_not_read_is_another_setting(experiment, workdir, data):
    unread = changed(experiment, data={"root": str(data), "check": "none"})
    with pytest.raises(ValueError, match=r"other settings \(data.check: .*; data.root: "):
        loop.train(unread, workdir)


def test_subjects_that_change_sides_are_named(experiment, workdir, data):
    """With fewer subjects, others are drawn to validate on: some of them had been trained on."""
    experiment = on_root(experiment, data)
    rewrite_index(data, lambda index: dict(list(index.items())[:9]))
    with pytest.raises(ValueError, match=r"subjects to validate on that were trained on \(phantom"):
        loop.train(experiment, workdir)
    (workdir / "data.csv").unlink()  # The checkpoint knows the subjects, too.
    with pytest.raises(ValueError, match=r"subjects to validate on that were trained on \(phantom"):
        loop.train(experiment, workdir)


def test_a_mask_with_other_content_is_noticed(experiment, workdir, data):
    experiment = on_root(experiment, data)
    masks = next(iter(json.loads((data / "image2label_train.json").read_text()).values()))
    shutil.copy(data / masks[1], data / masks[0])
    with pytest.raises(ValueError, match=r"1 images with other content, in themselves or their"):
        loop.train(experiment, workdir)


def test_the_images_and_subjects_of_both_sides_are_kept(finished):
    rows = (finished / "data.csv").read_text().splitlines()
    assert rows[0] == "image,side,subject,dataset,masks,content"
    assert sum(",training,phantom/p" in row for row in rows) == 12
    saved = json.loads((finished / "checkpoints/2/data/metadata").read_text())
    assert saved["training"]["images"] == 12
    assert len(saved["validation"]["subjects"]) == 4
    assert not {*saved["validation"]["subjects"]} & {*saved["training"]["subjects"]}


def test_a_run_without_a_list_of_images_is_resumed_with_a_warning(experiment, workdir, caplog):
    (workdir / "data.csv").unlink()
    for saved in (workdir / "checkpoints").iterdir():
        shutil.rmtree(saved / "data")
        (saved / digests.NAME).unlink()
    with caplog.at_level(logging.WARNING, logger="samjax"):
        loop.train(experiment, workdir)
    assert "kept no list of its images" in caplog.text
    assert "2 has no digests" in caplog.text
    assert (workdir / "data.csv").exists()


@pytest.mark.parametrize(
    ("sections", "error", "message"),
    [
        ({"data": {"root": "nowhere"}}, DataError, "nowhere"),
        ({"data": {"leave_out": ("other",)}}, DataError, "found 'other'"),
        ({"data": {"batch_size": 12}}, ValueError, "data.batch_size: expected a multiple of the 8"),
        ({"data": {"batch_size": 16}}, DataError, "data.batch_size = 16 images, found 12"),
        ({"mesh": {"model": 3}}, ValueError, "mesh.model: expected a divisor of 8"),
        (
            {"run": {"phantoms": True}, "phantoms": {"count_train": 4, "count_test": 1}},
            DataError,
            "data.batch_size = 8",
        ),
    ],
)
def test_nothing_stays_of_a_start_that_fails(experiment, tmp_path, sections, error, message):
    with pytest.raises(error, match=message):
        loop.train(changed(experiment, **sections), tmp_path / "runs/new")
    assert not list(tmp_path.iterdir())
    lost = dataclasses.replace(experiment, init_from="lost")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(FileNotFoundError, match="lost"):
        loop.train(lost, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_settings_count_once_something_was_learned(experiment, workdir, monkeypatch):
    shutil.rmtree(workdir / "checkpoints")
    shutil.rmtree(workdir / "best")
    shutil.rmtree(workdir / "last")
    monkeypatch.setattr(loop._Run, "run", lambda _: None)
    loop.train(changed(experiment, optim={"learning_rate": 0.5}), workdir)
    assert json.loads((workdir / "config.json").read_text())["optim"]["learning_rate"] == 0.5


def test_a_workdir_in_use_is_left_alone(experiment, workdir):
    before = contents(workdir)
    with lock.exclusive(workdir):
        with pytest.raises(ValueError, match="is in use by process"):
            loop.train(experiment, workdir)
        assert contents(workdir).keys() - before.keys() == {lock.NAME}
    assert contents(workdir) == before


def flip(saved):
    path = max((saved / "state/ocdbt.process_0/d").iterdir(), key=lambda p: p.stat().st_size)
    held = bytearray(path.read_bytes())
    held[len(held) // 2] ^= 1
    path.write_bytes(held)


def cut(saved):
    path = saved / "state/manifest.ocdbt"
    path.write_bytes(path.read_bytes()[:-1])


def without_metadata(saved):
    (saved / "_CHECKPOINT_METADATA").unlink()


def without_state(saved):
    shutil.rmtree(saved / "state")


def without_any_file(saved):
    for path in saved.rglob("*"):
        if path.is_file():
            path.unlink()


@pytest.mark.parametrize("damage", [flip, cut, without_metadata, without_state, without_any_file])
def test_a_damaged_checkpoint_is_named(experiment, workdir, damage):
    damage(workdir / "checkpoints/2")
    before = contents(workdir)
    message = r"checkpoints/2 is damaged \(.*\); checkpoint.fallback=True goes on from the one"
    with pytest.raises(ValueError, match=message):
        loop.train(experiment, workdir)
    assert contents(workdir) == before


def test_fallback_resumes_from_the_checkpoint_before(experiment, workdir, finished, caplog):
    flip(workdir / "checkpoints/2")
    forgiving = changed(experiment, checkpoint={"fallback": True})
    with caplog.at_level(logging.INFO, logger="samjax"):
        loop.train(forgiving, workdir)
    assert "checkpoints/2 is damaged" in caplog.text
    assert "after step 1 of 2" in caplog.text
    digests.check(workdir / "checkpoints/2")  # It was made again.
    for part in ("best", "last"):
        assert (workdir / part / "config.json").read_bytes() == (
            finished / part / "config.json"
        ).read_bytes()
    for saved in (workdir / "checkpoints").iterdir():
        flip(saved)
    with pytest.raises(ValueError, match=r"expected a checkpoint that is whole, found none"):
        loop.train(forgiving, workdir)
    assert {path.name for path in (workdir / "checkpoints").iterdir()} == {"1", "2"}


@pytest.mark.heavy
def test_what_cannot_be_saved_leaves_the_checkpoint_before(experiment, tmp_path, monkeypatch):
    write, full = digests.write, OSError(28, "No space left on device")

    def write_some(folder):
        if folder.name == "2":
            raise full
        write(folder)

    monkeypatch.setattr(digests, "write", write_some)
    with pytest.raises(OSError, match=r"checkpoints/2: cannot be written: no space is left on"):
        loop.train(experiment, tmp_path)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["1"]
    monkeypatch.undo()
    assert loop.train(experiment, tmp_path).steps == 2


def test_a_disk_without_room_is_told_at_the_start(experiment, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OSError, match=r"expected room for a checkpoint of .* MB, found 0 MB free"):
        loop.train(experiment, tmp_path / "run")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", ["", '{"model": {', "[1]", '{"format": 2, "model": {}}'])
def test_settings_that_cannot_be_read_are_named(experiment, workdir, content):
    (workdir / "config.json").write_text(content)
    with pytest.raises(ValueError, match=r"run/config.json: expected the settings of a run"):
        loop.train(experiment, workdir)
    (workdir / "config.json").unlink()
    with pytest.raises(ValueError, match=r"other settings \(run.seed: 0 then, 1 now\)"):
        loop.train(changed(experiment, run={"seed": 1}), workdir)


def test_a_missing_test_split_is_an_error_at_the_start(experiment, tmp_path, data):
    for name in ("label2image_test.json", "SAMed2D_v1.json"):
        (data / name).unlink()
    reporting = changed(experiment, run={"report": True}, data={"root": str(data)})
    with pytest.raises(DataError, match=r"run.report: expected a test split .*run.report=False"):
        loop.train(reporting, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"data": {"validation_fraction": 0.0}}, "validation.every: expected 0 where data.valid"),
        ({"validation": {"every": 0, "patience": 2}}, "validation.patience: expected 0 where val"),
        (
            {"validation": {"every": 0}, "optim": {"schedule": "plateau"}},
            "optim.schedule: expected another than plateau where validation.every = 0",
        ),
        ({"validation": {"every": 3, "patience": 2}}, "validation.patience: .*at most 2: the run"),
    ],
)
def test_validation_that_cannot_happen_is_refused(experiment, tmp_path, sections, message):
    with pytest.raises(ValueError, match=message):
        loop.train(changed(experiment, **sections), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("every", [0, 3])
def test_a_warning_names_validation_that_will_not_happen(
    experiment, tmp_path, monkeypatch, caplog, every
):
    monkeypatch.setattr(loop._Run, "run", lambda _: None)
    with caplog.at_level(logging.WARNING, logger="samjax"):
        loop.train(changed(experiment, validation={"every": every}), tmp_path)
    assert f"validation.every = {every}" in caplog.text


def test_old_settings_without_validation_go_on(experiment, tmp_path, monkeypatch):
    """An earlier version took `validation.every` where nothing was held out, without effect."""
    monkeypatch.setattr(loop._Run, "run", lambda self: self._save())
    plain = changed(experiment, data={"validation_fraction": 0.0}, validation={"every": 0})
    loop.train(plain, tmp_path)
    path = tmp_path / "config.json"
    fields = json.loads(path.read_text())
    fields["validation"]["every"] = 500
    path.write_text(json.dumps(fields))
    loop.train(plain, tmp_path)


def test_a_run_under_earlier_names_goes_on(experiment, workdir):
    path = workdir / "config.json"
    fields = json.loads(path.read_text())
    peft = fields["model"].pop("peft")
    assert [peft[name] for name in ("kind", "ratio", "init")] == ["sam_med2d", 0.25, "kaiming"]
    fields["model"] |= {"adapters": True, "adapter_ratio": 0.25, "adapter_init": "reference"}
    path.write_text(json.dumps(fields))
    assert loop.train(experiment, workdir).steps == 2
    peft = dataclasses.replace(experiment.model.peft, ratio=0.5)
    with pytest.raises(ValueError, match=r"\(model.peft.ratio: 0.25 then, 0.5 now\)"):
        loop.train(changed(experiment, model={"peft": peft}), workdir)


def test_leakage_from_the_run_of_init_from_is_reported(finished, experiment, tmp_path, caplog):
    """With another seed, others are held out than in the run that the weights come from."""
    data = setup.prepare_data(changed(experiment, data={"seed": 5}), tmp_path)
    further = dataclasses.replace(experiment, init_from=str(finished / "last"))
    with caplog.at_level(logging.WARNING, logger="samjax"):
        setup.warn_of_leakage(further, setup.prepare_data(experiment, tmp_path))
    assert not caplog.text
    with caplog.at_level(logging.WARNING, logger="samjax"):
        setup.warn_of_leakage(further, data)
    assert re.search(r"was trained on [1-4] of the 4 subjects to validate on", caplog.text)
