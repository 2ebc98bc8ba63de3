"""Whole runs of `samjax.training.loop.train` on phantoms, on all virtual devices."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest
import toy
from small import random_params

from samjax import signals
from samjax.conversion import families, naming, torch_writer
from samjax.data.config import DataConfig
from samjax.data.files import DataError
from samjax.evaluation.evaluator import EvalConfig
from samjax.models import PeftConfig, directory
from samjax.training import checkpoint, loop, setup, sharding, validation
from samjax.training.config import (
    Experiment,
    LogConfig,
    RunConfig,
    ValidationConfig,
    from_config_dict,
    from_dict,
    to_config_dict,
)
from samjax.training.optim import OptimConfig
from samjax.training.writer import Writer


@pytest.fixture(scope="module")
def experiment(phantom_root):
    return Experiment(
        model=toy.MODEL,
        data=DataConfig(
            root=str(phantom_root), batch_size=8, masks_per_image=1, validation_fraction=0.25
        ),
        prompting=dataclasses.replace(toy.PROMPTING, iterations=2, point_counts=(1,)),
        optim=toy.STEP.optim,
        run=RunConfig(steps=4, report=False),
        validation=ValidationConfig(every=2, evaluation=EvalConfig(protocols=("bbox",))),
        checkpoint=checkpoint.CheckpointConfig(every=2),
        log=LogConfig(every=1, picture_every=4),
    )


@pytest.fixture(scope="module")
def finished(experiment, tmp_path_factory):
    """A run of four batches; the compiled step serves the other tests, too."""
    workdir = tmp_path_factory.mktemp("runs") / "finished"
    return workdir, loop.train(experiment, workdir)


def rows(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def identical(one, other):
    return all(jax.tree.leaves(jax.tree.map(np.array_equal, one, other)))


def score(monkeypatch, *dice):
    """Makes validation find these numbers, one after another."""
    found = iter(dice)
    monkeypatch.setattr(validation, "scores", lambda *_: {"validation/dice": next(found)})


def spoil(monkeypatch, number):
    """Puts a pixel that is not a number into the batch of this number."""
    place, seen = sharding.place_batch, []

    def place_spoilt(batch, mesh):
        seen.append(batch)
        if len(seen) == number:
            image = batch.image.copy()
            image[0, 0, 0, 0] = np.nan
            batch = batch.replace(image=image)
        return place(batch, mesh)

    monkeypatch.setattr(sharding, "place_batch", place_spoilt)


@pytest.mark.heavy
def test_what_a_run_leaves(finished, experiment):
    workdir, trained = finished
    assert {path.name for path in workdir.iterdir()} >= {
        *("config.json", "metrics.jsonl", "tensorboard", "pictures", "checkpoints", "last", "best")
    }
    assert not list(workdir.rglob("*partial*"))
    assert from_dict(json.loads((workdir / "config.json").read_text())) == experiment
    assert sorted(path.name for path in (workdir / "checkpoints").iterdir()) == ["2", "4"]
    assert [path.name for path in (workdir / "pictures").iterdir()] == ["predictions_000004.png"]
    assert trained.steps == 4
    assert trained.model_dir == workdir / "best"


@pytest.mark.heavy
def test_what_is_logged(finished, experiment):
    training = [row for row in rows(finished[0]) if "loss" in row]
    assert [row["step"] for row in training] == [1, 2, 3, 4]
    for row in training:
        assert all(np.isfinite(value) for value in row.values())
        assert row["learning_rate"] == pytest.approx(experiment.optim.learning_rate)
    validated = {
        row["step"]: row["validation/dice"] for row in rows(finished[0])[1:] if len(row) == 3
    }
    assert set(validated) == {2, 4}
    best = max(validated, key=validated.get)
    assert finished[1].best == checkpoint.BestScore(validated[best], best, int(best == 2))


@pytest.mark.heavy
def test_last_and_best_are_models(finished, experiment):
    workdir, trained = finished
    last, best = directory.load(workdir / "last"), directory.load(workdir / "best")
    assert last.config == best.config == experiment.model
    assert (
        last.preprocessing
        == best.preprocessing
        == dataclasses.replace(experiment.preprocessing, point_prompts=True)
    )
    assert identical(last.params, best.params) == (trained.best.best_step == 4)


@pytest.mark.heavy
def test_the_same_command_after_the_end_changes_nothing(finished, experiment):
    workdir, trained = finished
    before = (workdir / "metrics.jsonl").read_text(), directory.load(workdir / "last").params
    again = loop.train(experiment, workdir)
    assert again == trained
    assert (workdir / "metrics.jsonl").read_text() == before[0]
    assert identical(directory.load(workdir / "last").params, before[1])


@pytest.mark.heavy
def test_other_settings_are_named(finished, experiment):
    workdir, _ = finished
    changed = dataclasses.replace(
        experiment,
        optim=dataclasses.replace(experiment.optim, learning_rate=0.5),
        data=dataclasses.replace(experiment.data, seed=7),
    )
    message = "data.seed: 0 then, 7 now; optim.learning_rate: 0.002 then, 0.5 now"
    with pytest.raises(ValueError, match=message):
        loop.train(changed, workdir)


@pytest.mark.heavy
def test_settings_that_change_nothing_learned_may_differ(finished, experiment):
    workdir, trained = finished
    changed = dataclasses.replace(
        experiment,
        log=LogConfig(every=3),
        checkpoint=checkpoint.CheckpointConfig(every=1),
        data=dataclasses.replace(experiment.data, threads=1, prefetch=1),
    )
    assert loop.train(changed, workdir) == trained


@pytest.mark.heavy
def test_the_best_model_is_kept(experiment, tmp_path, monkeypatch):
    score(monkeypatch, 0.5, 0.4)
    trained = loop.train(experiment, tmp_path)
    assert trained.best == checkpoint.BestScore(0.5, 2, 1)
    last, best = (directory.load(tmp_path / name).params for name in ("last", "best"))
    assert not identical(last, best)


@pytest.mark.heavy
def test_training_stops_when_validation_no_longer_improves(experiment, tmp_path, monkeypatch):
    score(monkeypatch, 0.5, 0.4, 0.3)
    patient = dataclasses.replace(experiment.validation, every=1, patience=2)
    experiment = dataclasses.replace(experiment, validation=patient)
    trained = loop.train(experiment, tmp_path)
    assert trained.steps == 3
    assert trained.best == checkpoint.BestScore(0.5, 1, 2)
    assert [row["step"] for row in rows(tmp_path) if "loss" in row] == [1, 2, 3]
    assert loop.train(experiment, tmp_path) == trained  # And stays stopped.


@pytest.mark.heavy
def test_a_plateau_lowers_the_rate_and_survives_a_resume(experiment, tmp_path, monkeypatch):
    plateau = OptimConfig(learning_rate=1e-3, schedule="plateau", decay=0.1, plateau_patience=0)
    experiment = dataclasses.replace(
        experiment, optim=plateau, validation=dataclasses.replace(experiment.validation, every=1)
    )
    score(monkeypatch, 0.5, 0.5, 0.6, 0.6)
    loop.train(experiment, tmp_path / "alone")
    found = [row["learning_rate"] for row in rows(tmp_path / "alone") if "loss" in row]
    np.testing.assert_allclose(found, [1e-3, 1e-3, 1e-4, 1e-4], rtol=1e-6)
    shutil.copytree(tmp_path / "alone", tmp_path / "resumed")
    shutil.rmtree(tmp_path / "resumed" / "checkpoints" / "4")
    score(monkeypatch, 0.6, 0.6)
    loop.train(experiment, tmp_path / "resumed")
    ends = [tmp_path / name for name in ("alone", "resumed")]
    assert identical(*(directory.load(end / "last").params for end in ends))
    states = [(end / "checkpoints/4/plateau/metadata").read_text() for end in ends]
    assert states[0] == states[1]
    assert json.loads(states[0])["factor"] == pytest.approx(0.01)


@pytest.mark.heavy
def test_divergence_is_an_error_and_the_last_good_checkpoint_kept(
    experiment, tmp_path, monkeypatch
):
    spoil(monkeypatch, 4)
    with pytest.raises(signals.Diverged) as told:
        loop.train(experiment, tmp_path)
    good = tmp_path / "checkpoints/2"
    assert "step 4: the loss or a parameter is no longer a finite number" in str(told.value)
    assert f"last good checkpoint: {good}" in str(told.value)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["2"]
    assert not (tmp_path / "last").exists()
    assert [row["step"] for row in rows(tmp_path) if "loss" in row] == [1, 2, 3]
    monkeypatch.undo()
    assert loop.train(experiment, tmp_path).steps == 4  # From there it can go on.


@pytest.mark.heavy
def test_divergence_before_any_checkpoint(experiment, tmp_path, monkeypatch):
    spoil(monkeypatch, 1)
    with pytest.raises(signals.Diverged, match=r"step 1: .*none was saved yet"):
        loop.train(experiment, tmp_path)


@pytest.mark.parametrize("kind", ["sam_med2d", "none"])
@pytest.mark.heavy
def test_a_run_starts_from_a_model_directory(finished, experiment, kind):
    workdir, _ = finished
    peft = dataclasses.replace(experiment.model.peft, kind=kind)
    model = dataclasses.replace(experiment.model, peft=peft)
    trainable = dataclasses.replace(experiment.trainable, encoder="full")
    begin = setup.prepare_model(
        dataclasses.replace(
            experiment, init_from=str(workdir / "last"), model=model, trainable=trainable
        )
    )
    saved = directory.load(workdir / "last").params
    assert begin.config == model
    for name in ("prompt_encoder", "mask_decoder"):
        assert identical(begin.params[name], saved[name])
    for name, block in saved["image_encoder"].items():
        if name.startswith("blocks_") and kind == "none":
            block = {part: value for part, value in block.items() if part != "adapter"}
        assert identical(begin.params["image_encoder"][name], block)


@pytest.mark.heavy
def test_adapters_are_added_where_a_model_has_none(experiment, tmp_path, finished):
    params = directory.load(finished[0] / "last").params
    for name, block in params["image_encoder"].items():
        if name.startswith("blocks_"):
            del block["adapter"]
    plain = dataclasses.replace(experiment.model, peft=PeftConfig("none"))
    directory.save(tmp_path / "plain", directory.Model(plain, experiment.preprocessing, params))
    begin = setup.prepare_model(dataclasses.replace(experiment, init_from=str(tmp_path / "plain")))
    assert begin.config == experiment.model
    adapter = begin.params["image_encoder"]["blocks_1"].pop("adapter")
    assert adapter["spatial_0"]["kernel"].shape == (3, 3, 16, 16)
    assert identical(begin.params["image_encoder"]["blocks_1"], params["image_encoder"]["blocks_1"])


def test_init_family_sets_the_preprocessing(experiment, tmp_path, caplog):
    bare = tmp_path / "bare.pth"
    plain = dataclasses.replace(toy.MODEL, peft=PeftConfig("none"))
    torch_writer.write(bare, naming.state_dict(random_params(plain)))
    model = dataclasses.replace(toy.MODEL, decoder_heads=8)  # As such a file is taken to have.
    begun = dataclasses.replace(
        experiment, init_from=str(bare), preprocessing_from="checkpoint", model=model
    )
    assert setup.prepare_model(begun).preprocessing == families.SAM_PREPROCESSING
    assert "this is a guess" in caplog.text and "init_family=ft_sam" in caplog.text
    caplog.clear()
    said = dataclasses.replace(begun, init_family="medsam")
    assert setup.prepare_model(said).preprocessing == families.MEDSAM_PREPROCESSING
    assert "this is a guess" not in caplog.text
    with pytest.raises(ValueError, match=r"init_family: expected none where no init_from"):
        setup.prepare_model(dataclasses.replace(said, init_from=""))


def test_no_place_to_start_from(experiment, tmp_path):
    lost = dataclasses.replace(experiment, init_from=str(tmp_path / "lost"))
    with pytest.raises(FileNotFoundError, match="lost"):
        setup.prepare_model(lost)


def test_no_data_folder(experiment, tmp_path):
    nowhere = dataclasses.replace(experiment, data=DataConfig(root=""))
    with pytest.raises(ValueError, match=r"data.root: expected the path of a data folder"):
        setup.prepare_data(nowhere, tmp_path)


def test_a_dataset_can_be_left_out(experiment, tmp_path):
    """Phantoms are of one dataset; a second one is made of half of them."""
    root = tmp_path / "two"
    shutil.copytree(experiment.data.root, root)
    index = json.loads((root / "image2label_train.json").read_text())
    images = sorted(index)
    named = [f"{image},{index[image][0]},{'BA'[i % 2]}" for i, image in enumerate(images)]
    (root / "split.csv").write_text("\n".join(["image,mask,dataset", *named]))
    data = dataclasses.replace(experiment.data, root=str(root), leave_out=("A",))
    prepared = setup.prepare_data(dataclasses.replace(experiment, data=data), tmp_path)
    used = {sample.image for sample in (*prepared.train, *prepared.validation)}
    assert used == set(images[::2])
    with pytest.raises(DataError, match="found 'C'"):
        data = dataclasses.replace(data, leave_out=("C",))
        setup.prepare_data(dataclasses.replace(experiment, data=data), tmp_path)


def test_a_config_survives_conversion(experiment):
    assert from_config_dict(to_config_dict(experiment)) == experiment
    assert from_dict(json.loads(json.dumps(dataclasses.asdict(experiment)))) == experiment


def test_logs_of_lost_batches_are_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"step": 4, "lo')
    writer = Writer(tmp_path, 2)
    writer.scalars(3, {"loss": 0.5})
    writer.close()
    assert rows(tmp_path) == [{"step": 1}, {"step": 2}, {"step": 3, "loss": 0.5}]


def test_adapters_cannot_learn_where_there_are_none():
    plain = dataclasses.replace(toy.MODEL, peft=PeftConfig("none"))
    with pytest.raises(ValueError, match=r"trainable.encoder: .*expects .*model.peft.kind='none'"):
        Experiment(model=plain)
