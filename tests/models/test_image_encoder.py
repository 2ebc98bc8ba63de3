import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.core import meta
from small import random_params, shapes

from samjax import models
from samjax.models import PeftConfig, layers, peft
from samjax.models.image_encoder import VitAttention, VitBlock


def literal_window_attention(params, x, heads, window):
    """Computes it as published: zero tokens are appended, projected and attended to like others."""
    b, h, w, c = x.shape
    below, right = -h % window, -w % window
    x = np.pad(x, ((0, 0), (0, below), (0, right), (0, 0)))
    out = np.zeros_like(x)
    depth = c // heads
    for top in range(0, h + below, window):
        for left in range(0, w + right, window):
            rows, columns = slice(top, top + window), slice(left, left + window)
            tokens = x[:, rows, columns].reshape(b, window * window, c)
            qkv = tokens @ params["qkv"]["kernel"] + params["qkv"]["bias"]
            q, k, v = qkv.reshape(b, -1, 3, heads, depth).transpose(2, 0, 3, 1, 4)
            scores = (q * depth**-0.5) @ k.swapaxes(-1, -2)
            for i, j in np.ndindex(window * window, window * window):
                dy, dx = i // window - j // window, i % window - j % window
                position = (
                    params["rel_pos_h"][dy + window - 1] + params["rel_pos_w"][dx + window - 1]
                )
                scores[..., i, j] += q[:, :, i] @ position
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            weights /= weights.sum(-1, keepdims=True)
            mixed = (weights @ v).transpose(0, 2, 1, 3).reshape(b, window, window, c)
            out[:, rows, columns] = mixed
    out = out[:, :h, :w]
    return out @ params["proj"]["kernel"] + params["proj"]["bias"]


@pytest.mark.parametrize(("grid", "window"), [(5, 3), (4, 2), (3, 3), (2, 3)])
def test_window_attention_matches_the_published_one(grid, window):
    rng = np.random.default_rng(0)
    c, heads = 8, 2
    module = VitAttention(heads, window, jnp.float32)
    x = rng.normal(size=(2, grid, grid, c))
    padding = jnp.zeros((1, 1, 1, c))
    declared = jax.eval_shape(lambda: module.init(jax.random.key(0), jnp.asarray(x), padding))
    shape = meta.unbox(declared)["params"]
    params = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), shape)
    ours = jax.jit(module.apply)({"params": params}, x, padding)
    literal = literal_window_attention(params, x, heads, window)
    np.testing.assert_allclose(ours, literal, atol=2e-4)


def test_skipping_adapters_equals_a_network_without_them(tiny, params, images, encode, change):
    plain = change(peft=PeftConfig("none"))
    without = jax.tree.map(lambda x: x, params)
    for name, block in without["image_encoder"].items():
        if name.startswith("blocks_"):
            del block["adapter"]
    assert jax.tree.map(np.shape, without) == jax.tree.map(np.shape, shapes(plain))
    dropped = encode(tiny, params, images, False)
    np.testing.assert_array_equal(dropped, encode(plain, without, images, True))
    assert np.abs(dropped - encode(tiny, params, images, True)).max() > 0.01


@pytest.mark.heavy
@pytest.mark.parametrize("kind", ["sam_med2d", "conv_bottleneck"])
@pytest.mark.parametrize(("init", "adds"), [("zero", False), ("kaiming", True)])
def test_fresh_adapters(change, init, adds, kind):
    """With `zero` they add nothing, with `kaiming` they do, as published; both can learn."""
    config = change(peft=PeftConfig(kind, init=init))
    block = VitBlock(config, 1)
    x = jax.random.normal(jax.random.key(1), (1, 4, 4, 16))
    fresh = models.init(config, jax.random.key(0))["image_encoder"]["blocks_1"]

    def added(fresh):
        variables = {"params": fresh}
        return block.apply(variables, x, True) - block.apply(variables, x, False)

    assert bool((added(fresh) != 0).any()) == adds
    gradient = jax.jit(jax.grad(lambda fresh: jnp.square(added(fresh) - x).sum()))(fresh)
    last = {"sam_med2d": ("norm", "scale"), "conv_bottleneck": ("up", "kernel")}[kind]
    assert (gradient["adapter"][last[0]][last[1]] != 0).all()
    assert (gradient["adapter"][last[0]]["bias"] != 0).all()


def test_a_bottleneck_adapter_depends_on_neighbouring_tokens(change):
    """One step in every direction: what is added at a token depends on the eight around it."""
    block = VitBlock(change(peft=PeftConfig("conv_bottleneck", init="kaiming")), 1)
    x = jax.random.normal(jax.random.key(1), (1, 6, 6, 16))
    drawn = random_params(block.config)["image_encoder"]["blocks_1"]["adapter"]
    params = jax.tree.map(jnp.asarray, drawn)
    adapter = peft.make(block.config.peft, block.config.dtype)

    def at_the_centre_of(x):
        return adapter.apply({"params": params}, x, method="beside_mlp")[0, 2, 3].sum()

    at_the_centre = jax.grad(at_the_centre_of)(x)
    expected = np.zeros((6, 6), bool)
    expected[1:4, 2:5] = True
    np.testing.assert_array_equal((at_the_centre[0] != 0).any(-1), expected)


@pytest.mark.parametrize("size", [40, 24, 8])  # Grids of 5, 3 and 1 tokens.
def test_odd_grids_work_with_adapters(change, encode, size):
    config = change(image_size=size)
    drawn = random_params(config)
    images = jax.random.normal(jax.random.key(0), (1, size, size, 3))
    embedded = encode(config, drawn, images, True)
    assert embedded.shape == (1, size // 8, size // 8, 32)
    assert jnp.isfinite(embedded).all()


@pytest.mark.heavy
def test_remat_computes_the_same(tiny, params, images, change):
    def value_and_grad(config):
        def loss(p):
            return jnp.square(models.encode_image(config, p, images)).mean()

        return jax.jit(jax.value_and_grad(loss))(params)

    (plain, gradient), (again, gradient_again) = map(value_and_grad, (tiny, change(remat=True)))
    np.testing.assert_allclose(plain, again, rtol=1e-6)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6 * max(1, np.abs(a).max())),
        gradient,
        gradient_again,
    )
    text = str(jax.make_jaxpr(lambda p: models.encode_image(change(remat=True), p, images))(params))
    assert "remat" in text or "checkpoint" in text


def test_bfloat16(tiny, params, images, encode, change, embedding):
    config = change(dtype="bfloat16")
    half = encode(config, params, images, True)
    assert half.dtype == jnp.bfloat16
    assert jnp.isfinite(half).all()
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes(config))} == {jnp.dtype("float32")}
    assert np.corrcoef(np.ravel(half.astype(np.float32)), np.ravel(embedding))[0, 1] > 0.99


def test_an_image_of_another_shape_is_named(tiny, params, unchecked):
    for shape in ((1, 31, 32, 3), (32, 32, 3), (1, 3, 32, 32)):
        with pytest.raises(ValueError, match=r"images: expected shape \(b, .*32, 32, 3.*found"):
            models.encode_image(tiny, params, jnp.zeros(shape))


def test_attention_size(tiny):
    assert [tiny.attention_size(i) for i in (0, 1)] == [3, 4]
    assert dataclasses.replace(tiny, image_size=64).mask_size == 32


def test_softmax_is_float32_whatever_the_inputs():
    q = k = jnp.full((1, 1, 300, 4), 0.01, jnp.bfloat16)
    v = jnp.ones_like(q)
    # 300 equal weights of 1/300: their bfloat16 sum would stop growing at 256 of them.
    np.testing.assert_allclose(np.float32(layers.attend(q, k, v)), 1.0, rtol=0.01)
