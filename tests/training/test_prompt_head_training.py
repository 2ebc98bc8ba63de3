"""Training of class-wise automatic prompts on phantoms, from start to end."""

import jax
import numpy as np
import pytest
import toy
from small import random_params

from samjax import models
from samjax.data.classes import SemanticClass
from samjax.data.config import DataConfig
from samjax.models import HeadConfig, directory
from samjax.models.directory import Model
from samjax.tasks import TrainableConfig
from samjax.training import config as training_config
from samjax.training import loop

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
    return toy.recipe(experiment, data, **{"optim.learning_rate": 3e-3, **fields})


@pytest.mark.heavy
def test_the_head_learns_and_all_else_stays(data, promptable, tmp_path):
    chosen = {"run.steps": 60, "data.validation_fraction": 0.25, "validation.every": 60}
    trained = loop.train(recipe(data, promptable, **chosen), tmp_path / "run")
    model = directory.load(trained.model_dir)
    assert model.config.head.kind == "prompts" and len(model.classes) > 1
    assert model.config.peft == PLAIN.peft  # As the decoder was trained with.
    before = directory.load(promptable)
    kept = {name: model.params[name] for name in before.params}
    jax.tree.map(np.testing.assert_array_equal, kept, before.params)
    assert np.abs(model.params["prompt_head"]["mean"]).max() > 0.1


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
