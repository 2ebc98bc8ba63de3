"""Depth branch of the Medical SAM Adapter: the slices of a chunk see each other, and no others."""

import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.core import meta
from small import TINY_TINY_VIT, random_params

from samjax import models
from samjax.models import PeftConfig, interpolation
from samjax.models.image_encoder import VitAttention, VitBlock
from samjax.tasks.trainable import TrainableConfig

# Windows of 3 pad the grid of 4; block 0 has them, block 1 attends globally.
PLAIN = models.tiny(peft=PeftConfig("msa"))
PARAMS = random_params(PLAIN)["image_encoder"]
RNG = np.random.default_rng(1)
TOKENS = RNG.normal(size=(4, 4, 4, PLAIN.embed_dim)).astype(np.float32)


def with_depth(depth, **fields):
    return dataclasses.replace(PLAIN, peft=PeftConfig("msa", depth=depth), **fields)


def apply_block(config, tokens=TOKENS, index=0, adapters=True, **changes):
    """Returns a block's output; `changes` replace parts of its adapter."""
    params = PARAMS[f"blocks_{index}"]
    params = {**params, "adapter": {**params["adapter"], **changes}}
    return np.asarray(compiled(config, index, adapters)({"params": params}, jnp.asarray(tokens)))


@functools.cache
def compiled(config, index, adapters):
    return jax.jit(functools.partial(VitBlock(config, index).apply, adapters=adapters))


@pytest.mark.parametrize("padding", ["zero", "norm_bias"])
@pytest.mark.parametrize("index", [0, pytest.param(1, marks=pytest.mark.heavy)])
def test_slices_mix_within_their_chunk_alone(padding, index):
    """Bit for bit. Published files mix them in global blocks, and windows of a slice in others."""
    config = with_depth(2, window_padding=padding)
    assert (index in config.global_attn_indexes) == (index == 1)
    before = apply_block(config, index=index)
    other = TOKENS.copy()
    other[3] = RNG.normal(size=other[3].shape)
    changed = (apply_block(config, other, index) != before).any(axis=(1, 2, 3))
    mixes = padding == "zero" or index == 1
    assert changed.tolist() == [False, False, mixes, True]


def test_without_depth_nothing_changes():
    """Bit for bit: depth 0 and 1, other depth adapters, and adapters that are not used."""
    plain = apply_block(PLAIN)
    other = jax.tree.map(np.ones_like, PARAMS["blocks_0"]["adapter"]["depth"])
    np.testing.assert_array_equal(apply_block(with_depth(1)), plain)
    np.testing.assert_array_equal(apply_block(PLAIN, depth=other), plain)
    assert np.abs(apply_block(with_depth(2)) - plain).max() > 0.01
    assert np.abs(apply_block(with_depth(2), depth=other) - plain).max() > 0.01
    dropped = apply_block(with_depth(2), adapters=False)
    np.testing.assert_array_equal(dropped, apply_block(PLAIN, adapters=False))


def test_it_adds_the_adapter_of_what_a_place_attends_to_in_all_slices():
    """Against its definition, literally; the tables of relative positions are not zero."""
    rows, columns = 2, 3
    module = VitAttention(2, 4, jnp.float32)
    x = RNG.normal(size=(5, rows, columns, 8)).astype(np.float32)
    padding = jnp.zeros((1, 1, 1, 8))
    declared = jax.eval_shape(lambda: module.init(jax.random.key(0), jnp.asarray(x), padding))
    params = jax.tree.map(lambda leaf: RNG.normal(size=leaf.shape), meta.unbox(declared)["params"])
    found = jax.jit(functools.partial(module.apply, whole=True))({"params": params}, x, padding)
    qkv = x.reshape(5, -1, 8) @ params["qkv"]["kernel"] + params["qkv"]["bias"]
    q, k, v = qkv.reshape(5, -1, 3, 2, 4).transpose(2, 0, 3, 1, 4)
    by_row, by_column = (
        interpolation.linear(params[f"rel_pos_{axis}"], 0, 2 * side - 1)
        for axis, side in (("h", rows), ("w", columns))
    )
    scores = q @ k.swapaxes(-1, -2) / 2
    for i, j in np.ndindex(rows * columns, rows * columns):
        dy, dx = i // columns - j // columns, i % columns - j % columns
        scores[..., i, j] += q[:, :, i] @ (by_row[dy + rows - 1] + by_column[dx + columns - 1])
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    mixed = (weights @ v).transpose(0, 2, 1, 3).reshape(x.shape)
    expected = mixed @ params["proj"]["kernel"] + params["proj"]["bias"]
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_the_depth_adapter_trains_where_it_takes_part():
    block, tokens = VitBlock(with_depth(2), 1), jnp.asarray(TOKENS)
    loss = jax.jit(jax.grad(lambda p: block.apply({"params": p}, tokens, adapters=True).std()))
    gradients = dict(models.named_leaves(loss(PARAMS["blocks_1"])["adapter"]["depth"]))
    frozen = [TrainableConfig().frozen(with_depth(d).peft, iou_head=True) for d in (0, 1, 2)]
    assert len(gradients) == 4
    for path, gradient in gradients.items():
        assert (gradient != 0).any(), path
        path = f"image_encoder/blocks_1/adapter/depth/{path}"
        assert [bool(re.fullmatch(each, path)) for each in frozen] == [True, True, False]


def test_what_does_not_fit_is_refused():
    config = with_depth(4)
    images = jnp.zeros((6, config.image_size, config.image_size, 3))
    with pytest.raises(ValueError, match=r"images: .* of model\.peft\.depth = 4 .*found 6"):
        models.encode_image(config, {}, images)
    for kind in ("none", "lora"):
        with pytest.raises(ValueError, match=f"depth: expected its default 0, .*kind={kind}"):
            PeftConfig(kind, depth=4)
    with pytest.raises(ValueError, match=r"peft\.depth: expected 0 or 1 with encoder tiny_vit"):
        dataclasses.replace(TINY_TINY_VIT, peft=PeftConfig("msa", depth=2))
