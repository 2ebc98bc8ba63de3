import dataclasses

import jax
import jax.numpy as jnp
import jaxtyping
import pytest
from small import random_params

from samjax import models
from samjax.models import PeftConfig, SamConfig


@pytest.fixture(scope="session")
def tiny() -> SamConfig:
    """A 4 x 4 grid with windows of 3, so that they are padded."""
    return SamConfig(
        image_size=32,
        patch_size=8,
        embed_dim=16,
        depth=2,
        num_heads=2,
        global_attn_indexes=(1,),
        window_size=3,
        peft=PeftConfig(init="kaiming"),
        prompt_dim=32,
        mask_in_chans=8,
        decoder_heads=2,
        decoder_mlp_dim=32,
        iou_head_hidden_dim=32,
    )


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


@pytest.fixture
def unchecked():
    """Shapes in signatures are checked in tests only: without that, as users have it."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
