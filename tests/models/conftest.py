import dataclasses

import jax
import jax.numpy as jnp
import pytest
from small import random_params

from samjax import models
from samjax.models import PeftConfig, SamConfig


@pytest.fixture(scope="session")
def tiny() -> SamConfig:
    """Returns a network with a 4 x 4 grid and windows of 3, so that these are padded."""
    return models.tiny(peft=PeftConfig(init="kaiming"))


@pytest.fixture(scope="session")
def params(tiny):
    return jax.tree.map(jnp.asarray, random_params(tiny))


@pytest.fixture(scope="session")
def images():
    return jax.random.normal(jax.random.key(1), (2, 32, 32, 3))


@pytest.fixture(scope="session")
def encode():
    """`models.encode_image`, compiled once for each architecture."""
    return jax.jit(models.encode_image, static_argnums=(0, 3))


@pytest.fixture(scope="session")
def embedding(encode, tiny, params, images):
    return encode(tiny, params, images, True)


@pytest.fixture
def change(tiny):
    return lambda **fields: dataclasses.replace(tiny, **fields)
