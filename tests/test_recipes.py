"""The recipes that users start from."""

import importlib

import pytest

from samjax import models
from samjax.training import experiment

NAMES = ["demo", "reference", "sam_med2d", "ft_sam", "full"]


def recipe(name):
    return experiment.from_config_dict(importlib.import_module(f"configs.{name}").get_config())


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_is_one_that_can_work(name):
    assert isinstance(recipe(name), experiment.Experiment)


def test_the_default_is_what_is_right():
    """`sam_med2d` takes every section's own defaults; `reference` says what it does otherwise."""
    plain = experiment.Experiment()
    ours, published = recipe("sam_med2d"), recipe("reference")
    for section in ("model", "input", "session", "loss", "trainable", "optim"):
        assert getattr(ours, section) == getattr(plain, section)
        assert getattr(published, section) != getattr(plain, section)


@pytest.mark.parametrize("name", ["reference", "sam_med2d", "ft_sam", "full"])
def test_the_network_is_vit_b_at_256(name):
    assert recipe(name).model.image_size == 256
    sizes = ("embed_dim", "depth", "num_heads", "global_attn_indexes")
    for field in sizes:
        assert getattr(recipe(name).model, field) == getattr(models.vit_b(), field)


def test_only_adapters_learn_in_an_encoder_unless_all_of_it_does():
    assert recipe("sam_med2d").trainable.encoder == "adapters"
    assert recipe("ft_sam").trainable.encoder == "frozen"
    assert not recipe("ft_sam").model.adapters
    assert recipe("full").trainable.encoder == "full"
