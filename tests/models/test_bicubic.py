"""Bicubic resizing of position embeddings at every call."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small import TINY, TINY_TINY_VIT, random_params

from samjax import models
from samjax.models import bicubic


@pytest.mark.parametrize(("old", "new"), [(8, 8), (8, 3), (6, 16), (1, 4), (64, 14)])
def test_it_is_that_of_torch(old, new):
    torch = pytest.importorskip("torch")
    maps = np.random.default_rng(0).normal(size=(1, old, old, 3)).astype(np.float32)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(maps.transpose(0, 3, 1, 2)), (new, new), mode="bicubic"
    )
    found = bicubic.resize(jnp.asarray(maps), new)  # PyTorch rounds its positions to float32.
    np.testing.assert_allclose(found, expected.numpy().transpose(0, 2, 3, 1), atol=2e-5)


def test_a_constant_stays_and_a_slope_rises():
    slope = jnp.broadcast_to(jnp.arange(8.0)[None, :, None, None], (1, 8, 8, 1))
    np.testing.assert_allclose(bicubic.resize(slope * 0 + 3, 5), 3, rtol=1e-6)
    resized = np.asarray(bicubic.resize(slope, 16))
    assert (np.diff(resized, axis=1)[:, 2:-2] > 0).all()
    np.testing.assert_allclose(resized, 7 - resized[:, ::-1], atol=1e-5)


@pytest.mark.heavy
def test_a_network_resizes_its_positions_at_every_call():
    config = dataclasses.replace(TINY, pos_embed_size=6, image_size=32)
    params = random_params(config)
    assert params["image_encoder"]["pos_embed"].shape == (1, 6, 6, TINY.embed_dim)
    resized = {**params["image_encoder"]}
    resized["pos_embed"] = np.asarray(bicubic.resize(jnp.asarray(resized["pos_embed"]), 4))
    images = jnp.ones((1, 32, 32, 3))
    found, expected = (
        jax.jit(functools.partial(models.encode_image, each))(of, images)
        for each, of in (
            (config, params),
            (dataclasses.replace(config, pos_embed_size=0), {**params, "image_encoder": resized}),
        )
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)
    with pytest.raises(ValueError, match="pos_embed_size: expected 0 with encoder tiny_vit"):
        dataclasses.replace(TINY_TINY_VIT, pos_embed_size=6)
