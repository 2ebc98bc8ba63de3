"""Peak FLOP/s of matrix products on this machine, the reference for shares of the peak."""

import time
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.harness import Run
from samjax import runtime

_SIDES = {"cpu": (1024, 2048, 3072), "gpu": (4096, 8192, 16384)}
_REPEATS = 5


def measure(dtype: str) -> dict[str, Any]:
    """Measures products in float32, in `dtype` and, on a GPU, in bfloat16.

    Float32 uses the default precision of JAX, as the network does: TF32 on a recent GPU.

    Returns:
        The `platform`, the name of the `device`, and `flops_per_s`, the best rate of each type.
    """
    runtime.prepare()
    platform = jax.default_backend()
    dtypes = {"float32", dtype} | ({"bfloat16"} if platform == "gpu" else set())
    return {
        "platform": platform,
        "device": jax.devices()[0].device_kind,
        "flops_per_s": {name: max(map(_flops_per_s, _products(name))) for name in sorted(dtypes)},
    }


def product(dtype: str) -> Run:
    """Builds the fastest product as a competitor, so that other load slows it down, too.

    Returns:
        A function that multiplies once and returns the number of operations.
    """
    runtime.prepare()
    return max(_products(dtype), key=_flops_per_s)


def _products(dtype: str) -> list[Run]:
    """Builds products of two square matrices of several sizes."""
    sides = _SIDES.get(jax.default_backend(), _SIDES["gpu"])
    return [_product(side, dtype) for side in sides]


def _product(side: int, dtype: str) -> Run:
    keys = jax.random.split(jax.random.key(0))
    left, right = (jax.random.normal(key, (side, side), jnp.dtype(dtype)) for key in keys)
    multiply = jax.jit(jnp.matmul)

    def run() -> int:
        multiply(left, right).block_until_ready()
        return 2 * side**3

    run()
    return run


def _flops_per_s(run: Run) -> float:
    """Returns the best rate of a few runs."""
    best = 0.0
    for _ in range(_REPEATS):
        begin = time.perf_counter()
        best = max(best, run() / (time.perf_counter() - begin))
    return best
