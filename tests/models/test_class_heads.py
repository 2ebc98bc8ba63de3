"""Heads that predict classes without a prompt encoder."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small import random_params as random_arrays

from samjax import models
from samjax.models import HeadConfig, directory
from samjax.models.heads.autosam import AutosamHead

PREDICT = jax.jit(models.predict_classes, static_argnums=0)
KINDS = ("autosam", "cnn", "linear")


def network(kind, classes=2, **fields):
    head = HeadConfig(kind, classes, width=2)
    return models.tiny(head=head, peft=models.PeftConfig("none"), **fields)


def random_params(config):
    return jax.tree.map(jnp.asarray, random_arrays(config))


def embedding_for(config, images=2):
    shape = (images, config.grid_size, config.grid_size, config.prompt_dim)
    return jnp.asarray(np.random.default_rng(1).normal(size=shape).astype(np.float32))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_logits_of_every_class(kind, dtype):
    config = network(kind, dtype=dtype)
    params = random_params(config)
    assert params.keys() == {"image_encoder", "mask_decoder"}
    logits = PREDICT(config, params, embedding_for(config))
    assert logits.shape == (2, 3, config.mask_size, config.mask_size)
    assert logits.dtype == jnp.float32 and bool(jnp.isfinite(logits).all())
    names = {declared.group for declared in models.declarations(config).values()}
    assert names <= {"constant", "encoder", "decoder"}


def test_each_class_is_predicted_by_its_own_tokens():
    config = network("autosam")
    params, embedding = random_params(config), embedding_for(config)
    before = PREDICT(config, params, embedding)
    # Of class 1.
    tokens = params["mask_decoder"]["mask_tokens"].at[2:4].multiply(-1)
    changed = {**params, "mask_decoder": {**params["mask_decoder"], "mask_tokens": tokens}}
    after = PREDICT(config, changed, embedding)
    moved = np.abs(np.asarray(after - before)).max((0, 2, 3))
    assert moved[1] > 1e-3 and (moved[[0, 2]] == 0).all()


def test_classes_run_together_as_they_would_alone():
    """Rows of a batch do not depend on each other, whatever they share."""
    config, alone = network("autosam"), network("autosam", classes=0)
    params, embedding = random_params(config), embedding_for(config)
    logits = PREDICT(config, params, embedding)
    own = params["mask_decoder"]
    for k in range(3):
        single = {
            **own,
            "iou_token": own["iou_token"][k : k + 1],
            "mask_tokens": own["mask_tokens"][2 * k : 2 * k + 2],
        }
        one = PREDICT(alone, {**params, "mask_decoder": single}, embedding)
        np.testing.assert_allclose(logits[:, k : k + 1], one, atol=1e-5)


@pytest.mark.heavy
def test_scores_of_autosam():
    config = network("autosam")
    own, embedding = random_params(config)["mask_decoder"], embedding_for(config)
    logits, scores = AutosamHead(config).apply(
        {"params": own}, embedding, method=AutosamHead.with_scores
    )
    assert logits.shape[:2] == scores.shape == (2, 3)


def test_parameters_as_published():
    """AutoSAM with K = 4 trains 3,646,880 on SAM's sizes: neither its IoU parts nor its matrix."""
    config = models.vit_b(peft=models.PeftConfig("none"), head=HeadConfig("autosam", 3))
    counts = {
        name: int(np.prod(shape))
        for name, shape in models.shapes(config).items()
        if name.startswith("mask_decoder") and "iou" not in name and "pe_layer" not in name
    }
    assert sum(counts.values()) == 3_646_880


@pytest.mark.parametrize("kind", KINDS)
def test_directory(kind, tmp_path):
    from samjax.data.classes import numbered
    from samjax.data.inputs import Preprocessing

    config = network(kind)
    params = random_params(config)
    model = directory.Model(config, Preprocessing(), params, numbered(2))
    directory.save(tmp_path / "model", model)
    again = directory.load(tmp_path / "model")
    assert (again.config, again.classes) == (config, numbered(2))
    jax.tree.map(np.testing.assert_array_equal, again.params, params)


def test_depth_of_the_cnn():
    config = network("cnn")
    deeper = dataclasses.replace(config, head=dataclasses.replace(config.head, depth=5))
    for each in (config, deeper):
        logits = PREDICT(each, random_params(each), embedding_for(each))
        assert logits.shape[-1] == each.mask_size
