"""Layers match references: convolutions as matrix products those of XLA, norm and attention."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from einops import rearrange

from samjax.models import layers

IN, OUT = 3, 5
NHWC = ("NHWC", "HWIO", "NHWC")


def draw(rng, *shape):
    return jnp.asarray(rng.normal(size=shape), jnp.float32)


def strided(x, kernel, stride, padding):
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), [(padding, padding)] * 2, dimension_numbers=NHWC
    )


def transposed(x, kernel, stride, padding):
    """Computes a transposed convolution as PyTorch does: the gradient of a strided one."""
    n, h, w, _ = x.shape
    size = kernel.shape[0]
    shape = [(side - 1) * stride - 2 * padding + size for side in (h, w)]
    forward = lambda y: strided(y, kernel.transpose(0, 1, 3, 2), stride, padding)  # noqa: E731
    return jax.vjp(forward, jnp.zeros((n, *shape, kernel.shape[3])))[1](x)[0]


CASES = {
    "patch 2": (layers.PatchConv(OUT, 2, jnp.float32), 2, lambda x, k: strided(x, k, 2, 0)),
    "patch 1": (layers.PatchConv(OUT, 1, jnp.float32), 1, lambda x, k: strided(x, k, 1, 0)),
    "3x3": (layers.Conv3x3(OUT, jnp.float32), 3, lambda x, k: strided(x, k, 1, 1)),
    "3x3 stride 2": (layers.Conv3x3(OUT, jnp.float32, 2), 3, lambda x, k: strided(x, k, 2, 1)),
    "up 2x2": (layers.ConvTranspose2x2(OUT, jnp.float32), 2, lambda x, k: transposed(x, k, 2, 0)),
    "up 4x4": (layers.ConvTranspose4x4(OUT, jnp.float32), 4, lambda x, k: transposed(x, k, 2, 1)),
}
ODD = ("3x3", "3x3 stride 2", "up 2x2", "up 4x4", "patch 1")


@pytest.mark.parametrize(
    ("name", "shape"),
    [(name, (2, 6, 8, IN)) for name in CASES] + [(name, (1, 5, 7, IN)) for name in ODD],
)
def test_value_and_gradients(name, shape):
    layer, size, convolution = CASES[name]
    rng = np.random.default_rng(0)
    x = draw(rng, *shape)
    kernel = draw(rng, size, size, IN, OUT)
    has_bias = not isinstance(layer, layers.Conv3x3 | layers.ConvTranspose4x4)
    bias = {"bias": draw(rng, OUT)} if has_bias else {}

    def ours(x, kernel):
        if isinstance(layer, layers.ConvTranspose4x4):
            kernel = rearrange(kernel, "(a p) (b q) i o -> p q a b i o", p=2, q=2)
        return layer.apply({"params": {"kernel": kernel, **bias}}, x)

    def theirs(x, kernel):
        return convolution(x, kernel) + bias.get("bias", 0)

    value, pull = jax.vjp(ours, x, kernel)
    expected, pull_expected = jax.vjp(theirs, x, kernel)
    assert value.shape == expected.shape
    np.testing.assert_allclose(value, expected, atol=2e-5)
    weights = draw(rng, *value.shape)
    for gradient, wanted in zip(pull(weights), pull_expected(weights), strict=True):
        np.testing.assert_allclose(gradient, wanted, atol=1e-4)


def test_layer_norm_is_float32_inside():
    x = (1000 + 50 * draw(np.random.default_rng(0), 4, 64)).astype(jnp.bfloat16)
    params = {"scale": jnp.full(64, 2.0), "bias": jnp.full(64, 0.5)}
    wide = np.asarray(x, np.float64)
    normed = (wide - wide.mean(-1, keepdims=True)) / np.sqrt(wide.var(-1, keepdims=True) + 1e-6)
    ours = layers.LayerNorm(1e-6).apply({"params": params}, x)
    assert ours.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(ours, np.float64), 2 * normed + 0.5, rtol=0.01, atol=0.01)


def test_attention_ignores_what_is_masked_out():
    rng = np.random.default_rng(0)
    q, k, v = (draw(rng, 2, 2, 4, 8) for _ in range(3))
    bias = jnp.where(jnp.array([True, True, False, True]), 0.0, -jnp.inf)[None, None, None]
    visible = jnp.array([0, 1, 3])
    ours = layers.attend(q, k, v, bias)
    np.testing.assert_allclose(
        ours, layers.attend(q, k[:, :, visible], v[:, :, visible]), atol=1e-6
    )
