"""Microbenchmarks of docs/performance.md: single operations, plainly implemented and optimised.

    python -m benchmarks.microbenchmarks

Prints medians in milliseconds, at the sizes of ViT-B with adapters and 256 x 256 images. Both
implementations are timed in turns.
"""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from samjax import masks, runtime
from samjax.models import SamConfig, layers
from samjax.models.image_encoder import VitAttention

REPEATS = 20

Pair = tuple[Callable, Callable, tuple[jax.Array, ...]]


def main() -> None:
    """Prints the table."""
    print(f"{'':<48}{'plain, ms':>11}{'ours, ms':>11}")
    before, after = _memory()
    print(f"{'64 MB of memory, used once and freed':<48}{before:>11.2f}{after:>11.2f}")
    for name, (plain, ours, arguments) in MICROBENCHMARKS.items():
        before, after = _time_in_turns(plain, ours, arguments)
        print(f"{name:<48}{before:>11.2f}{after:>11.2f}")


def gelu() -> Pair:
    """Returns GELU by erfc and by erf."""
    return lambda x: jax.nn.gelu(x, approximate=False), layers.gelu, (_draw(1024, 3072),)


def window_attention() -> Pair:
    """Returns attention in windows padded from 16 x 16 to 28 x 28 tokens, and on real tokens."""
    config = SamConfig()
    ours = VitAttention(config.num_heads, config.window_size, jnp.float32)
    x, padding = _draw(4, 16, 16, config.embed_dim), jnp.zeros((1, 1, 1, config.embed_dim))
    params = ours.init(jax.random.key(0), x, padding)
    whole = VitAttention(config.num_heads, config.window_size, jnp.float32)

    def plain(x: jax.Array) -> jax.Array:
        padded = jnp.pad(x, ((0, 0), (0, 12), (0, 12), (0, 0)))
        return whole.apply(params, padded, padding)[:, :16, :16]  # type: ignore[index]

    return plain, lambda x: ours.apply(params, x, padding), (x,)


def attention() -> Pair:
    """Returns attention of twelve global heads: bias added to scores, and within one product."""
    q, k, v = (_draw(4, 12, 256, 64) for _ in range(3))
    by_row, by_column = _draw(4, 12, 256, 16), _draw(4, 12, 256, 16)

    def plain(*arrays: jax.Array) -> jax.Array:
        q, k, v, by_row, by_column = arrays
        scores = jnp.einsum("nhqd,nhkd->nhqk", q, k) * 64**-0.5
        bias = by_row[..., :, None] + by_column[..., None, :]
        weights = jax.nn.softmax(scores + bias.reshape(scores.shape), axis=-1)
        return jnp.einsum("nhqk,nhkd->nhqd", weights, v)

    def ours(*arrays: jax.Array) -> jax.Array:
        q, k, v, by_row, by_column = arrays
        q = jnp.concatenate([q * 64**-0.5, by_row, by_column], axis=-1)
        one_hot = jnp.concatenate(
            [jnp.repeat(jnp.eye(16), 16, axis=0), jnp.tile(jnp.eye(16), (16, 1))], axis=1
        )
        places = jnp.broadcast_to(one_hot, (4, 12, 256, 32))
        return layers.attend(q, jnp.concatenate([k, places], axis=-1), v)

    return plain, ours, (q, k, v, by_row, by_column)


def original_size() -> Pair:
    """Returns resizing of masks to 512 x 512 in two steps, and with multiplied matrices."""
    logits = _draw(1, 3, 64, 64)
    placement = jnp.array([[512, 512, 0, 0, 256, 256]])

    def plain(logits: jax.Array) -> jax.Array:
        full = masks.upsample(logits, 256)
        return jax.image.resize(full, (1, 3, 512, 512), "bilinear", antialias=False) > 0

    return plain, lambda x: masks.restore_logits(x, placement, 256, (512, 512)) > 0, (logits,)


def _memory() -> tuple[float, float]:
    """Times a scratch array by default and with freed memory kept, in milliseconds."""

    def once() -> float:
        begin = time.perf_counter()
        np.ones(64 << 20, np.uint8)
        return 1e3 * (time.perf_counter() - begin)

    before = float(np.median([once() for _ in range(REPEATS)]))
    runtime.retain_freed_memory()
    return before, float(np.median([once() for _ in range(REPEATS)][1:]))


def _draw(*shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)


def _time_in_turns(
    plain: Callable, ours: Callable, arguments: tuple[jax.Array, ...]
) -> tuple[float, float]:
    """Returns medians of both in milliseconds; results must agree to float tolerance."""
    compiled = [jax.jit(function).lower(*arguments).compile() for function in (plain, ours)]
    results = [jax.device_get(one(*arguments)) for one in compiled]
    for a, b in zip(*map(jax.tree.leaves, results), strict=True):
        scale = np.abs(a).max() if a.dtype != bool else 1
        assert np.mean(np.abs(a * 1.0 - b * 1.0)) <= 1e-4 * scale
    seconds: list[list[float]] = [[], []]
    for _ in range(REPEATS):
        for one, took in zip(compiled, seconds, strict=True):
            begin = time.perf_counter()
            jax.block_until_ready(one(*arguments))
            took.append(time.perf_counter() - begin)
    return tuple(1e3 * float(np.median(took)) for took in seconds)  # type: ignore[return-value]


MICROBENCHMARKS = {
    "GELU by erf, 1024 x 3072": gelu(),
    "window attention, four images": window_attention(),
    "global attention, four images": attention(),
    "three masks at the original size, 512 x 512": original_size(),
}


if __name__ == "__main__":
    main()
