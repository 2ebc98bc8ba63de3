import dataclasses
import functools

import jax
import numpy as np
import pytest
import small

from samjax import models
from samjax.data import inputs
from samjax.models import PeftConfig
from samjax.pretrained import Pretrained

TINY = dataclasses.replace(small.TINY, peft=PeftConfig(init="kaiming"))


def random_params(config):
    """Parameters of a network in which everything matters, without compiling its initialisation."""
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        fan_in = np.prod(leaf.shape[:-1]) if path[-1].key == "kernel" else 4
        mean = 1 if path[-1].key == "scale" else 0
        return rng.normal(mean, fan_in**-0.5, leaf.shape).astype(np.float32)

    shapes = jax.eval_shape(functools.partial(models.init, config), jax.random.key(0))
    return jax.tree_util.tree_map_with_path(draw, shapes)


@pytest.fixture(scope="session")
def pretrained():
    return Pretrained(TINY, inputs.InputConfig("pad_or_stretch"), random_params(TINY))


@pytest.fixture(scope="session")
def expecting_logits(pretrained):
    """The same network, but one that takes raw logits as its mask prompt, as SAM does."""
    fed = dataclasses.replace(pretrained.input, mask_prompt="logits")
    return dataclasses.replace(pretrained, input=fed)


@pytest.fixture
def photo():
    """Makes uint8 images of any shape, the same for the same shape."""

    def make(*shape):
        return np.random.default_rng(sum(shape)).integers(0, 256, shape, dtype=np.uint8)

    return make
