"""Comparison of a scan over the later iterations of a training batch with an unrolled loop.

python -m benchmarks.scan_or_unroll

Prints the seconds to compile and the seconds for each batch (median of ten), for the demo's network
with all nine iterations. Training uses the scan.
"""

import dataclasses
import functools
import time
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from configs import demo
from samjax import models, prompting
from samjax.tasks import InteractiveTask
from samjax.tasks.interactive import Batch
from samjax.training import config as training_config
from samjax.training import step


def main() -> None:
    """Measures both and prints the table."""
    settings = training_config.from_config_dict(demo.get_config())
    task = dataclasses.replace(
        settings.interactive_task(settings.model, settings.preprocessing.mask_prompt),
        prompting=prompting.PromptingConfig(),
    )
    config = settings.step(task, 100, 100)
    unrolled = functools.partial(jax.lax.scan, unroll=True)
    print(f"{'':<10}{'compile, s':>12}{'a batch, s':>12}")
    for name, scan in (("scanned", jax.lax.scan), ("unrolled", unrolled)):
        with mock.patch.object(step.jax.lax, "scan", scan):
            compile_seconds, seconds = measure(config)
        print(f"{name:<10}{compile_seconds:>12.1f}{seconds:>12.3f}")


def measure(config: step.StepConfig[InteractiveTask]) -> tuple[float, float]:
    """Returns seconds to compile a training step and the median of ten batches."""
    rng = np.random.default_rng(0)
    images, objects, size = 8, 4, config.task.model.image_size
    batch = Batch(
        image=jnp.asarray(rng.normal(size=(images, size, size, 3)), jnp.float32),
        masks=jnp.asarray(rng.random((images, objects, size, size)) > 0.9, jnp.uint8),
        boxes=jnp.tile(jnp.array([10.0, 10.0, 80.0, 90.0]), (images, objects, 1)),
        seed=jnp.arange(images, dtype=jnp.uint32),
    )
    params = models.init(config.task.model, jax.random.key(0))
    state = step.init_state(config, params, jax.random.key(1))
    begin = time.perf_counter()
    train_step = jax.jit(functools.partial(step.train_step, config), donate_argnums=0)
    compiled = train_step.lower(state, batch).compile()
    compile_seconds = time.perf_counter() - begin
    seconds = []
    for _ in range(11):
        begin = time.perf_counter()
        state, metrics = compiled(state, batch)
        jax.block_until_ready((state, metrics))
        seconds.append(time.perf_counter() - begin)
    return compile_seconds, float(np.median(seconds[1:]))


if __name__ == "__main__":
    main()
