"""Layers that the image encoders, prompt encoder and decoder share.

Most convolutions are matrix products over gathered pixels. They give the same sum, and XLA runs
their forward and backward passes far faster on a CPU than strided or transposed convolutions.
Kernels have the conventional layouts, (in, out) and (height, width, in, out), except
`ConvTranspose4x4`.
"""

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from einops import rearrange
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from samjax.models import declare

_MANY_ROWS = 1024  # From here on, one product with joined kernels is faster than several.


class LayerNorm(nn.Module):
    """Layer normalisation over the last axis, computed in float32 (SAM's LayerNorm2d as well)."""

    epsilon: float
    initial_scale: float = 1.0

    @nn.compact
    def __call__(self, x: Float[Array, "*n c"]) -> Float[Array, "*n c"]:
        scale = declare.parameter(self, "scale", x.shape[-1:], mean=self.initial_scale)
        bias = declare.parameter(self, "bias", x.shape[-1:])
        wide = x.astype(jnp.float32)
        centred = wide - wide.mean(-1, keepdims=True)
        variance = jnp.square(centred).mean(-1, keepdims=True)
        return (centred * jax.lax.rsqrt(variance + self.epsilon) * scale + bias).astype(x.dtype)


@jax.custom_vjp
def product(x: Float[Array, "*n i"], kernel: Float[Array, "i o"]) -> Float[Array, "*n o"]:
    """Returns `x @ kernel`, with `x.T @ gradient` as its gradient by the kernel.

    JAX's own rule takes the transpose of that, which XLA turns into a product of two transposed
    matrices: up to four times slower on a CPU.
    """
    return x @ kernel


def _product_forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple]:
    return x @ kernel, (x, kernel)


def _product_backward(saved: tuple, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = saved
    # Counted, as -1 does not work where there are no columns.
    rows, gradient_rows = (y.reshape(math.prod(y.shape[:-1]), y.shape[-1]) for y in (x, gradient))
    return gradient @ kernel.T, rows.T @ gradient_rows


product.defvjp(_product_forward, _product_backward)


class Linear(nn.Module):
    """Affine map of the last axis (a dense layer).

    Attributes:
        features: Width of the output.
        dtype: Compute type.
        use_bias: Whether it has a bias.
        initial: Initial values.
        cut: Axis of the kernel along which devices may share it: outputs, -1, or inputs, -2.
    """

    features: int
    dtype: DTypeLike
    use_bias: bool = True
    initial: declare.Initial = declare.Initial()
    cut: int = -1

    def __call__(self, x: Float[Array, "*n i"]) -> Float[Array, "*n o"]:
        kernel, bias = self.weights(x.shape[-1])
        y = product(x.astype(self.dtype), kernel)
        return y if bias is None else y + bias

    @nn.compact
    def weights(self, inputs: int) -> tuple[Float[Array, "i o"], Float[Array, " o"] | None]:
        """Returns kernel and bias, in the compute type."""
        kernel, bias = _weights(self, (inputs, self.features), self.use_bias, self.cut)
        return self.updated(kernel).astype(self.dtype), bias

    def updated(self, kernel: Float[Array, "i o"]) -> Float[Array, "i o"]:
        """Returns the kernel that is used: the parameter, unless a subclass adds to it."""
        return kernel


def product_of_all(x: Float[Array, "*n i"], linears: Sequence[Linear]) -> list[jax.Array]:
    """Returns the products of `x` with the kernels of several layers."""
    kernels = [linear.weights(x.shape[-1])[0] for linear in linears]
    x = x.astype(linears[0].dtype)
    if math.prod(x.shape[:-1]) < _MANY_ROWS:
        return [product(x, kernel) for kernel in kernels]
    y = product(x, jnp.concatenate(kernels, axis=-1))
    ends = itertools.accumulate(linear.features for linear in linears)
    return jnp.split(y, list(ends)[:-1], axis=-1)


class MLP(nn.Module):
    """Linear layers with ReLU between them, named `layers_0`, `layers_1`, ..."""

    widths: Sequence[int]
    dtype: DTypeLike

    def setup(self) -> None:
        self.layers = [Linear(width, self.dtype) for width in self.widths]

    def __call__(self, x: Float[Array, "*n i"]) -> Float[Array, "*n o"]:
        for layer in self.layers[:-1]:
            x = jax.nn.relu(layer(x))
        return self.layers[-1](x)


class TransformerMLP(nn.Module):
    """Two-layer MLP of a transformer block."""

    hidden: int
    activation: Callable[[jax.Array], jax.Array]
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "*n c"],
        modulate: Callable[[str, jax.Array], jax.Array] = lambda _, y: y,
    ) -> Float[Array, "*n c"]:
        """Applies both layers; `modulate` changes the output of each, by its name."""
        hidden = modulate("lin1", Linear(self.hidden, self.dtype, name="lin1")(x))
        hidden = self.activation(hidden)
        return modulate("lin2", Linear(x.shape[-1], self.dtype, name="lin2")(hidden))


class PatchConv(nn.Module):
    """Convolution whose stride equals its kernel: patch embedding, downscaling, 1x1."""

    features: int
    patch: int
    dtype: DTypeLike
    use_bias: bool = True
    initial: declare.Initial = declare.Initial()

    def __call__(self, x: Float[Array, "n h w i"]) -> Float[Array, "n hp wp o"]:
        kernel, bias = self.weights(x.shape[-1])
        patches = rearrange(
            x, "n (h a) (w b) i -> n h w (a b i)", a=self.patch, b=self.patch
        )  # (n, h / patch, w / patch, patch * patch * i)
        y = product(patches.astype(self.dtype), kernel)
        return y if bias is None else y + bias

    @nn.compact
    def weights(self, inputs: int) -> tuple[Float[Array, "abi o"], Float[Array, " o"] | None]:
        """Returns the kernel as a matrix, and the bias, in the compute type."""
        shape = (self.patch, self.patch, inputs, self.features)
        kernel, bias = _weights(self, shape, self.use_bias)
        return kernel.reshape(-1, self.features).astype(self.dtype), bias


class ConvTranspose2x2(nn.Module):
    """Transposed convolution, kernel and stride 2: every pixel becomes a 2x2 patch."""

    features: int
    dtype: DTypeLike
    initial: declare.Initial = declare.Initial()

    @nn.compact
    def __call__(self, x: Float[Array, "n h w i"]) -> Float[Array, "n h2 w2 o"]:
        kernel, bias = _weights(self, (2, 2, x.shape[-1], self.features))
        flat = rearrange(kernel.astype(self.dtype), "a b i o -> i (a b o)")
        y = rearrange(
            product(x.astype(self.dtype), flat), "n h w (a b o) -> n (h a) (w b) o", a=2, b=2
        )  # (n, 2 h, 2 w, o)
        return y + bias


class Conv3x3(nn.Module):
    """3x3 convolution, padding 1, stride 1 or 2; by default without bias."""

    features: int
    dtype: DTypeLike
    stride: int = 1
    use_bias: bool = False
    initial: declare.Initial = declare.Initial()

    @nn.compact
    def __call__(self, x: Float[Array, "n h w i"]) -> Float[Array, "n hs ws o"]:
        shape = (3, 3, x.shape[-1], self.features)
        kernel, bias = _weights(self, shape, self.use_bias)
        gathered = jnp.concatenate(taps3x3(x.astype(self.dtype), self.stride), axis=-1)
        y = product(gathered, kernel.reshape(-1, self.features).astype(self.dtype))
        return y if bias is None else y + bias


class DepthwiseConv3x3(nn.Module):
    """3x3 convolution of each channel by itself, without bias, padding 1, stride 1 or 2.

    A sum of nine shifted products, which XLA runs as one loop.
    """

    dtype: DTypeLike
    stride: int = 1
    initial: declare.Initial = declare.Initial(1.0)

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b i j c"]:
        kernel, _ = _weights(self, (3, 3, 1, x.shape[-1]), False)
        taps = taps3x3(x.astype(self.dtype), self.stride)
        weights = kernel.astype(self.dtype).reshape(9, -1)
        return functools.reduce(jnp.add, map(jnp.multiply, taps, weights))


def taps3x3(x: Float[Array, "n h w c"], stride: int) -> list[Float[Array, "n hs ws c"]]:
    """Returns the input of each of the nine places of a 3x3 kernel, row by row; padding 1."""
    _, h, w, _ = x.shape
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return [x[:, a : a + h : stride, b : b + w : stride] for a in range(3) for b in range(3)]


class ConvTranspose4x4(nn.Module):
    """Transposed 4x4 convolution without bias, stride 2, padding 1: doubles height and width.

    An output pixel of given row and column parity depends on 2x2 inputs only, so the whole is
    four dense 2x2 convolutions, one for each parity. The kernel is stored as these four matrices,
    (row % 2, column % 2, row // 2, column // 2, in, out) of the 4x4 kernel. Slicing them out of
    (4, 4, in, out) in every step would cost as much time as the products.
    """

    features: int
    dtype: DTypeLike
    initial: declare.Initial = declare.Initial()

    @nn.compact
    def __call__(self, x: Float[Array, "n h w i"]) -> Float[Array, "n h2 w2 o"]:
        shape = (2, 2, 2, 2, x.shape[-1], self.features)
        kernel, _ = _weights(self, shape, False)
        n, h, w, i = x.shape
        x = jnp.pad(x.astype(self.dtype), ((0, 0), (1, 1), (1, 1), (0, 0)))
        # Output row 2m + parity takes input row m + parity through kernel row 1 - parity, and the
        # input row before it through kernel row 3 - parity; columns likewise.
        taps = [
            jnp.concatenate(
                [
                    x[:, row + a : row + a + h, column + b : column + b + w]
                    for a in (1, 0)
                    for b in (1, 0)
                ],
                axis=-1,
            ).reshape(n * h * w, 4 * i)
            for row, column in ((1, 1), (1, 0), (0, 1), (0, 0))
        ]
        weights = kernel.reshape(4, 4 * i, self.features).astype(self.dtype)
        y = jax.vmap(product)(jnp.stack(taps), weights)[::-1]
        return rearrange(
            y, "(a b) (n h w) o -> n (h a) (w b) o", a=2, n=n, h=h
        )  # (n, 2 h, 2 w, features)


def gelu(x: jax.Array) -> jax.Array:
    """Exact (erf) GELU, as SAM uses it.

    `jax.nn.gelu` uses erfc, which is more exact in the tail, but three times as slow.
    """
    return 0.5 * x * (1 + jax.lax.erf(x * math.sqrt(0.5)))


def attend(
    q: Float[Array, "n heads q d"],
    k: Float[Array, "n heads k d"],
    v: Float[Array, "n heads k e"],
    bias: Float[Array, "..."] | None = None,
) -> Float[Array, "n heads q e"]:
    """Returns dot-product attention of scaled queries, with an additive bias.

    Logits and softmax are float32, the output has the type of `v`.
    """
    scores = jnp.einsum("nhqd,nhkd->nhqk", q, k, preferred_element_type=jnp.float32)
    if bias is not None:
        scores += bias
    weights = jnp.exp(scores - jax.lax.stop_gradient(scores.max(-1, keepdims=True)))
    # The output is smaller than the weights: divide it, not them, by their sum.
    total = jnp.einsum("nhqk,nhke->nhqe", weights.astype(v.dtype), v)
    return (total / weights.sum(-1, keepdims=True)).astype(v.dtype)


def _weights(
    module: Any, shape: tuple[int, ...], use_bias: bool = True, cut: int = -1
) -> tuple[jax.Array, Any]:
    """Returns a layer's kernel, float32, and its bias in the compute type, or None."""
    std, std_of_bias = module.initial.stds(shape)
    kernel = declare.parameter(module, "kernel", shape, std=std, cut=cut)
    if not use_bias:
        return kernel, None
    bias = declare.parameter(module, "bias", shape[-1:], std=std_of_bias)
    return kernel, bias.astype(module.dtype)
