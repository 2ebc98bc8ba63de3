"""Training of class-wise automatic prompts on phantoms, from start to end."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import toy
from small import random_params

from samjax import models
from samjax.data import index
from samjax.data.classes import SemanticClass
from samjax.data.config import DataConfig
from samjax.evaluation import evaluator
from samjax.inference import Predictor
from samjax.models import HeadConfig, directory
from samjax.models.directory import Model
from samjax.tasks import TrainableConfig
from samjax.training import config as training_config
from samjax.training import loop
from samjax.training.prompt_head import standardised
from samjax.training.step import TrainState

PLAIN = models.tiny(peft=models.PeftConfig("conv_bottleneck"))
CLASS = SemanticClass("liver", (255, 0, 0))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return toy.write_phantoms(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def promptable(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "masks"
    directory.save(folder, Model(PLAIN, training_config.Preprocessing(), random_params(PLAIN)))
    return folder


def recipe(data, start, **fields):
    network = models.tiny(peft=models.PeftConfig("none"), head=HeadConfig("prompts"))
    experiment = training_config.Experiment(
        init_from=str(start),
        model=network,
        data=DataConfig("", cache_embeddings=True),
        trainable=TrainableConfig(encoder="frozen"),
        preprocessing_from="checkpoint",
    )
    return toy.recipe(
        experiment, data, **{"optim.learning_rate": 1e-2, "optim.schedule": "constant", **fields}
    )


@pytest.mark.heavy
def test_the_head_learns_and_all_else_stays(data, promptable, tmp_path):
    chosen = {"run.steps": 160, "data.validation_fraction": 0.25, "validation.every": 160}
    trained = loop.train(recipe(data, promptable, **chosen), tmp_path / "run")
    model = directory.load(trained.model_dir)
    assert model.config.head.kind == "prompts" and len(model.classes) > 1
    assert model.config.peft == PLAIN.peft  # As the decoder was trained with.
    before = directory.load(promptable)
    kept = {name: model.params[name] for name in before.params}
    jax.tree.map(np.testing.assert_array_equal, kept, before.params)
    assert np.abs(model.params["prompt_head"]["mean"]).max() > 0.1
    rows = [json.loads(row) for row in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows if "loss" in row]
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    evaluation = evaluator.evaluate(model, data, index.load_index(data, "test"), progress=False)
    assert evaluation.config.protocols == ("classes",)
    found, plain = Predictor(model), Predictor(before)  # It still takes prompts.
    for predictor in (found, plain):
        predictor.set_image(np.arange(48 * 40, dtype=np.uint8).reshape(48, 40) % 200)
    assert found.predict_classes().class_map.shape == (48, 40)
    box = np.array([5, 6, 30, 40])
    np.testing.assert_array_equal(found.predict(box=box)[2], plain.predict(box=box)[2])


def test_the_mean_of_embeddings_is_subtracted_once():
    config = dataclasses.replace(PLAIN, head=HeadConfig("prompts", 1))
    params = jax.device_put(random_params(config))
    state = TrainState(np.int32(0), params, {}, jax.random.key(0))
    grid = (config.grid_size, config.grid_size, config.prompt_dim)
    stored = {f"{i}": np.random.default_rng(i).normal(3, 2, grid) for i in range(40)}
    found = standardised(state, list(stored), stored.__getitem__).params["prompt_head"]
    whole = np.stack(list(stored.values()))
    np.testing.assert_allclose(found["mean"], whole.mean(0), atol=1e-5)
    np.testing.assert_allclose(
        found["deviation"], (whole - whole.mean(0)).std((0, 1, 2)), rtol=1e-4
    )
    later = dataclasses.replace(state, step=np.int32(5))
    assert standardised(later, list(stored), stored.__getitem__) is later


def test_what_it_cannot_start_from(data, promptable, tmp_path):
    with pytest.raises(ValueError, match=r"init_from: expected a model of masks, .*, found none"):
        loop.train(recipe(data, ""), tmp_path / "run")
    with pytest.raises(ValueError, match=r"data.cache_embeddings: expected True with .*prompts"):
        loop.train(recipe(data, promptable, **{"data.cache_embeddings": False}), tmp_path / "run")
    with pytest.raises(ValueError, match=r"trainable.encoder: expected frozen with .*, found full"):
        loop.train(recipe(data, promptable, **{"trainable.encoder": "full"}), tmp_path / "run")
    head = HeadConfig("linear", 1)
    config = models.tiny(peft=models.PeftConfig("none"), head=head)
    other = Model(config, training_config.Preprocessing(), random_params(config), (CLASS,))
    directory.save(tmp_path / "linear", other)
    with pytest.raises(ValueError, match=r"model.head.kind: expected linear, as .*, found prompts"):
        loop.train(recipe(data, tmp_path / "linear"), tmp_path / "run")
