import dataclasses

import numpy as np
import pytest
import small
from small import random_params

from samjax.data import inputs
from samjax.models import PeftConfig
from samjax.models.directory import Model

TINY = dataclasses.replace(small.TINY, peft=PeftConfig(init="kaiming"))


@pytest.fixture(scope="session")
def model():
    return Model(TINY, inputs.Preprocessing("pad_or_stretch"), random_params(TINY))


@pytest.fixture(scope="session")
def expecting_logits(model):
    """The same network, but one that takes raw logits as its mask prompt, as SAM does."""
    fed = dataclasses.replace(model.preprocessing, mask_prompt="logits")
    return dataclasses.replace(model, preprocessing=fed)


@pytest.fixture
def photo():
    """Makes uint8 images of any shape, the same for the same shape."""

    def make(*shape):
        return np.random.default_rng(sum(shape)).integers(0, 256, shape, dtype=np.uint8)

    return make
