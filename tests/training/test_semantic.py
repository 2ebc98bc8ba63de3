"""Semantic training on phantoms, from start to end."""

import json

import jax
import numpy as np
import pytest
import toy
from small import random_params

from samjax import models
from samjax.data.classes import with_colors
from samjax.models import HeadConfig, directory
from samjax.models.directory import Model
from samjax.training import config as training_config
from samjax.training import loop

PEFT = models.PeftConfig("lora")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return toy.write_phantoms(tmp_path_factory.mktemp("data"))


def recipe(data, **fields):
    network = models.tiny(peft=PEFT, head=HeadConfig("semantic"))
    return toy.recipe(training_config.Experiment(model=network), data, **fields)


@pytest.mark.heavy
def test_from_a_model_of_masks_to_classes_and_on(data, tmp_path):
    plain = models.tiny(peft=models.PeftConfig("none"))
    directory.save(
        tmp_path / "sam", Model(plain, training_config.Preprocessing(), random_params(plain))
    )
    first = loop.train(recipe(data, init_from=str(tmp_path / "sam")), tmp_path / "a")
    model = directory.load(first.model_dir)
    assert model.config.head.classes == len(model.classes) > 1
    assert model.params["mask_decoder"]["mask_tokens"].shape[0] == len(model.classes) + 1
    start = models.named_leaves(random_params(plain))
    after = dict(models.named_leaves(model.params))
    frozen = [name for name, leaf in start if name.startswith("image_encoder/")]
    for name, leaf in models.named_leaves(random_params(plain)):
        if name in frozen or "point_embeddings" in name or ("layers_0" in name and "iou" in name):
            np.testing.assert_array_equal(after[name], leaf, err_msg=name)
    rows = [json.loads(line) for line in (tmp_path / "a/metrics.jsonl").read_text().splitlines()]
    assert len(rows) == 3 and {"ce", "dice_loss", "dice"} <= set(rows[0])
    again = loop.train(recipe(data, init_from=str(first.model_dir)), tmp_path / "b")
    assert directory.load(again.model_dir).classes == model.classes


def test_other_classes_than_those_of_the_model_are_named(data, tmp_path):
    config = models.tiny(peft=PEFT, head=HeadConfig("semantic", classes=1))
    model = Model(
        config, training_config.Preprocessing(), random_params(config), with_colors(["x"])
    )
    directory.save(tmp_path / "x", model)
    with pytest.raises(ValueError, match=r"data.classes: expected those of .*, x, found"):
        loop.train(recipe(data, init_from=str(tmp_path / "x")), tmp_path / "run")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"data.classes": ("moon",)}, "data.classes: expected some of .*, found moon"),
        ({"data.classes": ("",)}, "data.classes: expected some of "),
        ({"model.head.classes": 99}, "model.head.classes: expected .*, found 99"),
        ({"model.head.kind": "masks", "data.classes": ("a",)}, "expected none with .*kind=masks"),
    ],
)
def test_classes_that_cannot_be(data, tmp_path, fields, message):
    with pytest.raises(ValueError, match=message):
        loop.train(recipe(data, **fields), tmp_path / "run")


def test_a_network_of_masks_has_no_classes():
    config = models.tiny()
    embedding = jax.numpy.zeros((1, config.grid_size, config.grid_size, config.prompt_dim))
    with pytest.raises(ValueError, match=r"model.head.kind: expected a semantic head"):
        models.predict_classes(config, {}, embedding)
