"""Kinds of parameter-efficient fine-tuning, on both image encoders."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small import TINY, TINY_TINY_VIT, random_params, shapes

from samjax import models
from samjax.models import PeftConfig, groups

# Kinds that are the identity at first, by default.
IDENTITY = ("msa", "lora", "fact", "adaptformer")
ENCODERS = {"vit": TINY, "tiny_vit": TINY_TINY_VIT}


def with_peft(encoder, peft, **fields):
    return dataclasses.replace(ENCODERS[encoder], peft=peft, **fields)


def encode(config, params, adapters=True):
    images = np.random.default_rng(3).normal(size=(2, config.image_size, config.image_size, 3))
    run = jax.jit(functools.partial(models.encode_image, config, adapters=adapters))
    return np.asarray(run(params, jnp.asarray(images, jnp.float32)))


def size(config):
    parts = groups.split(config, shapes(config))
    return sum(int(np.prod(leaf.shape)) for leaf in parts["adapter"].values())


CASES = [("vit", "lora"), ("vit", "msa")] + [
    pytest.param(encoder, kind, marks=pytest.mark.heavy)
    for encoder, kinds in (("vit", ("fact", "ssf", "adaptformer")), ("tiny_vit", IDENTITY))
    for kind in kinds
]


@pytest.mark.parametrize(("encoder", "kind"), CASES)
def test_fresh_is_the_identity_and_dropped_is_plain(encoder, kind):
    config = with_peft(encoder, PeftConfig(kind))
    plain = with_peft(encoder, PeftConfig("none"))
    trained = random_params(config)
    dropped = encode(config, trained, adapters=False)
    expected = encode(plain, models.without_adapters(trained))
    np.testing.assert_array_equal(dropped, expected)
    assert np.abs(encode(config, trained) - expected).max() > 0.01 * np.abs(expected).max()
    fresh = groups.split(config, models.init(config, jax.random.key(0)))["adapter"]
    params = groups.merge({**groups.split(config, trained), "adapter": fresh})
    scale = np.abs(expected).max()  # XLA fuses another sum.
    np.testing.assert_allclose(encode(config, params), expected, atol=1e-5 * scale)


@pytest.mark.parametrize("encoder", ["vit", pytest.param("tiny_vit", marks=pytest.mark.heavy)])
def test_a_gradient_reaches_all_but_the_depth_adapters_of_msa(encoder):
    config = with_peft(encoder, PeftConfig("msa"))
    images = jnp.ones((1, config.image_size, config.image_size, 3))
    loss = jax.jit(jax.grad(lambda p: models.encode_image(config, p, images).std()))
    gradients = groups.split(config, loss(random_params(config)))["adapter"]
    for path, gradient in gradients.items():
        assert bool((gradient != 0).any()) == ("/depth/" not in path), path


@pytest.mark.heavy
def test_merged_lora_of_a_tiny_vit_equals_unmerged():
    peft = PeftConfig("lora", rank=2, scale=0.5, targets=("v", "q"))
    config = with_peft("tiny_vit", peft)
    params = random_params(config)
    expected = encode(config, params)
    plain, merged = models.merge_lora(config, params)
    assert plain.peft == PeftConfig("none")
    scale = np.abs(expected).max()
    np.testing.assert_allclose(encode(plain, merged), expected, atol=1e-5 * scale)
    assert np.abs(encode(config, params, adapters=False) - expected).max() > 0.01 * scale


def test_initial_values_of_msa_as_published():
    """PyTorch's: U(-a, a) with a = 1 / sqrt(fan_in), biases too; ours have its variance."""
    config = models.tiny(peft=PeftConfig("msa", init="kaiming"), embed_dim=128, num_heads=2)
    params = dict(models.named_leaves(models.init(config, jax.random.key(0))))
    for name in ("space", "mlp", "depth"):
        for layer, fan_in in (("fc1", 128), ("fc2", 32)):
            for kind in ("kernel", "bias"):
                values = params[f"image_encoder/blocks_1/adapter/{name}/{layer}/{kind}"]
                expected = (3 * fan_in) ** -0.5
                assert values.std() == pytest.approx(expected, rel=4 / values.size**0.5)
    params = dict(
        models.named_leaves(models.init(with_peft("vit", PeftConfig("msa")), jax.random.key(0)))
    )
    assert not params["image_encoder/blocks_1/adapter/space/fc2/kernel"].any()
    assert params["image_encoder/blocks_1/adapter/space/fc1/bias"].any()


@pytest.mark.heavy
def test_sizes_in_vit_b():
    """Three adapters of 295,872 parameters in each of twelve blocks (two of them in use)."""
    assert size(models.vit_b(peft=PeftConfig("msa"))) == 36 * 295_872
    assert size(models.vit_b(peft=PeftConfig("fact"))) == 12 * (2 * 768 * 4 + 2 * 4 * 4)
    assert size(models.vit_b(peft=PeftConfig("ssf"))) == 12 * 2 * 11 * 768
    adaptformer = PeftConfig("adaptformer", ratio=64 / 768)
    assert size(models.vit_b(peft=adaptformer)) == 12 * (2 * 768 * 64 + 64 + 768 + 1)


def test_ssf_is_refused_on_a_tiny_vit():
    with pytest.raises(ValueError, match=r"peft\.kind: expected .*adaptformer with .*found ssf"):
        dataclasses.replace(TINY_TINY_VIT, peft=PeftConfig("ssf"))


def test_padding_by_the_norm_bias():
    """Windows of 3 do not divide the grid of 4; windows of 4 do."""
    for window, differ in ((3, True), (4, False)):
        config = with_peft("vit", PeftConfig("none"), window_size=window)
        padded = dataclasses.replace(config, window_padding="norm_bias")
        params = random_params(config)
        same = np.array_equal(encode(config, params), encode(padded, params))
        assert same != differ
    params["image_encoder"]["blocks_0"]["norm1"]["bias"][:] = 0
    with pytest.raises(ValueError, match="window_padding: expected zero with encoder tiny_vit"):
        dataclasses.replace(TINY_TINY_VIT, window_padding="norm_bias")
