"""Scaling of training over devices, from compiled programs, and projected time on eight GPUs.

python -m benchmarks.scaling [--model small|vit_b] [--json FILE]

The training step is compiled as in training, on 1, 2, 4 and 8 virtual CPU devices, each number in
its own process, with the same number of images on every device. Nothing is run: virtual devices
share the same cores, so their time is meaningless. For one device, the program shows

- work: matrix products, those in loops multiplied by the number of iterations;
- communication: sizes of the results of collectives, likewise;
- memory: its parts of parameters and optimizer states, and the temporary memory of the compiled
  program (for a CPU; a GPU differs).

Then `projection.py` calculates the time of training by the default recipe on GPUs, from `flops.py`
and assumptions, which are printed.
"""

import argparse
import concurrent.futures
import dataclasses
import json
import math
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import numpy as np

from benchmarks import flops, hlo, projection, samjax_impl
from samjax import models
from samjax.models import groups
from samjax.tasks import InteractiveTask
from samjax.training import sharding, step

DEVICES = (1, 2, 4, 8)
IMAGES = 2  # Images on every device.
OBJECTS = 5  # Masks of each image.
MODELS = {
    # Every structural feature of ViT-B, including windows that do not divide the grid.
    "small": models.SamConfig(
        image_size=128,
        patch_size=8,
        embed_dim=96,
        depth=2,
        num_heads=4,
        global_attn_indexes=(1,),
        prompt_dim=64,
        decoder_mlp_dim=128,
        iou_head_hidden_dim=64,
    ),
    "vit_b": models.vit_b(),
}
# Compile fast: the machine code is not used.
_FLAGS = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"


def default_config(model: models.SamConfig) -> step.StepConfig[InteractiveTask]:
    """Returns the training step of `configs/sam_med2d.py` with another network."""
    return samjax_impl.step_config("sam_med2d", model)


def abstract_state(config: step.StepConfig[InteractiveTask]) -> step.TrainState:
    """Returns the shapes of a training state."""

    def start(key: jax.Array) -> step.TrainState:
        return step.init_state(config, models.init(config.task.model, key), key)

    return jax.eval_shape(start, jax.eval_shape(lambda: jax.random.key(0)))


def gradient_bytes(config: step.StepConfig[InteractiveTask]) -> tuple[int, int]:
    """Returns the bytes of gradients of the first update, and of every later one.

    Replicated data parallelism adds these gradients over the devices.
    """
    parts = groups.split(config.task.model, abstract_state(config).params)
    first, later = (
        sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(groups.pick(parts, names)))
        for names in (config.task.first_groups, config.task.later_groups)
    )
    return first, later


def compile_step(
    config: step.StepConfig[InteractiveTask], images: int, objects: int, layout: sharding.MeshConfig
) -> jax.stages.Compiled:
    """Compiles the training step over all devices as the training loop does, without a state.

    Args:
        config: The training step.
        images: Number of images in a batch, on all devices together.
        objects: Number of masks of each image.
        layout: Layout of the devices.
    """
    mesh = sharding.make_mesh(layout, images)
    state = abstract_state(config)
    declared = models.declarations(config.task.model)
    shardings = sharding.state_shardings(state, declared, mesh, layout)
    state = jax.tree.map(
        lambda leaf, cut: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=cut),
        state,
        shardings,
    )
    side = config.task.model.image_size
    arrays: dict[str, Any] = {
        "image": np.zeros((images, side, side, 3), np.float32),
        "masks": np.zeros((images, objects, side, side), np.uint8),
        "boxes": np.zeros((images, objects, 4), np.float32),
        "seed": np.zeros(images, np.uint32),
    }
    batch = sharding.place_batch(config.task.batch(arrays), mesh)
    jitted = jax.jit(
        step.train_step, static_argnums=0, donate_argnums=1, out_shardings=(shardings, None)
    )
    return jitted.lower(config, state, batch).compile()


def measure_program(model: str, config: sharding.MeshConfig) -> dict[str, Any]:
    """Compiles over all devices of this process, and counts the program of one."""
    step_config, devices = default_config(MODELS[model]), jax.device_count()
    compiled = compile_step(step_config, IMAGES * devices, OBJECTS, config)
    text, stats = compiled.as_text(), compiled.memory_analysis()
    assert text and stats, "expected a platform whose programs can be read"
    counts = hlo.count(text)
    return {
        "name": _name(config, devices),
        "flops": counts.flops,
        "bytes": dict(counts.bytes),
        "first_bytes": sum(counts.once[kind] for kind in hlo.COLLECTIVES),
        "later_bytes": sum(counts.looped[kind] for kind in hlo.COLLECTIVES),
        "temporary_bytes": stats.temp_size_in_bytes,
    }


def measure_memory(model: str, configs: list[sharding.MeshConfig]) -> list[dict[str, Any]]:
    """Returns bytes of parameters and of optimizer states on each device of this process."""
    state, devices = abstract_state(default_config(MODELS[model])), jax.device_count()
    declared = models.declarations(MODELS[model])

    def bytes_per_device(part: Any, shardings: Any) -> int:
        sizes = jax.tree.map(
            lambda leaf, layout: math.prod(layout.shard_shape(leaf.shape)) * leaf.dtype.itemsize,
            part,
            shardings,
        )
        return sum(jax.tree.leaves(sizes))

    rows = []
    for config in configs:
        mesh = sharding.make_mesh(config, devices)
        shardings = sharding.state_shardings(state, declared, mesh, config)
        rows.append(
            {
                "name": _name(config, devices),
                "parameters": bytes_per_device(state.params, shardings.params),
                "optimizer": bytes_per_device(state.optimizer, shardings.optimizer),
            }
        )
    return rows


def _name(config: sharding.MeshConfig, devices: int) -> str:
    return f"{devices}" if config.rules == "replicated" else f"{devices}, fsdp {config.model}"


def main() -> None:
    """Measures, projects, and prints the tables."""
    args = _arguments()
    names = [field.name for field in dataclasses.fields(projection.Assumptions)]
    assumed = projection.Assumptions(**{name: getattr(args, name) for name in names})
    measured = _measure(args.model)
    _print_measured(args.model, measured)
    step_config = default_config(MODELS["vit_b"])
    task = step_config.task
    (first, later), source = gradient_bytes(step_config), "the sizes of gradients"
    if args.model == "vit_b":
        (row,) = [row for row in measured["programs"] if row["name"] == str(DEVICES[-1])]
        first, later = row["first_bytes"], row["later_bytes"] // (task.prompting.iterations - 1)
        source = "the program above"
    projected = projection.project(task, assumed, first, later)
    _print_projection(assumed, projected, source)
    if args.json:
        result = {"model": args.model, "images": IMAGES, "objects": OBJECTS, **measured}
        result["on_paper"] = {
            "assumed": dataclasses.asdict(assumed),
            "bytes_from": source,
            **projected,
        }
        Path(args.json).write_text(json.dumps(result, indent=2) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling")
    parser.add_argument(
        "--model", choices=tuple(MODELS), default="small", help="the network to compile"
    )
    parser.add_argument("--json", metavar="FILE", help="file for all results")
    assumptions = parser.add_argument_group("assumptions of the calculation, for ViT-B")
    for field in dataclasses.fields(projection.Assumptions):
        flag, kind = f"--{field.name.replace('_', '-')}", type(field.default)
        assumptions.add_argument(
            flag, type=kind, default=field.default, help=f"default {field.default}"
        )
    return parser.parse_args()


def _measure(model: str) -> dict[str, Any]:
    """Measures programs and memory for every number of devices, and calculates the same."""
    most, plain = DEVICES[-1], sharding.MeshConfig()
    cuts = [sharding.MeshConfig(axis, "fsdp") for axis in DEVICES if axis > 1]
    programs = [_with_devices(count, measure_program, model, plain) for count in DEVICES]
    programs.append(_with_devices(most, measure_program, model, cuts[-1]))
    step_config = default_config(MODELS[model])
    task = step_config.task
    first, later = gradient_bytes(step_config)
    return {
        "programs": programs,
        "memory": _with_devices(most, measure_memory, model, [plain, *cuts]),
        "calculated_flops": flops.train_step(task, IMAGES, OBJECTS),
        "gradient_bytes": first + (task.prompting.iterations - 1) * later,
    }


def _with_devices(devices: int, function: Callable[..., Any], *args: Any) -> Any:
    """Calls a function in a process with a number of virtual devices."""
    flags = f"{_FLAGS} --xla_force_host_platform_device_count={devices}"
    context = multiprocessing.get_context("spawn")
    # JAX reads the flags once, at its start.
    with (
        mock.patch.dict(os.environ, JAX_PLATFORMS="cpu", XLA_FLAGS=flags),
        concurrent.futures.ProcessPoolExecutor(1, context) as pool,
    ):
        return pool.submit(function, *args).result()


def _print_measured(model: str, measured: dict[str, Any]) -> None:
    print(f"{model}, {IMAGES} images x {OBJECTS} masks on every device; a step, on one device")
    print(f"{'devices':<14}{'GFLOP':>10}{'efficiency':>12}{'MB sent':>10}{'temporary MB':>14}")
    alone = measured["programs"][0]["flops"]
    for row in measured["programs"]:
        sent = sum(row["bytes"].values())
        kinds = ", ".join(f"{kind} {size / 1e6:.2f}" for kind, size in row["bytes"].items())
        print(
            f"{row['name']:<14}{row['flops'] / 1e9:>10.2f}{alone / row['flops']:>12.3f}"
            f"{sent / 1e6:>10.2f}{row['temporary_bytes'] / 1e6:>14.1f}  {kinds}"
        )
    work, gradients = measured["calculated_flops"] / 1e9, measured["gradient_bytes"] / 1e6
    print(f"{'calculated':<14}{work:>10.2f}{'':>12}{gradients:>10.2f}{'':>14}  gradients")
    print("efficiency: work on one device over work on each; sent: sizes of collectives' results")
    print(f"\n{'devices':<14}{'parameters, MB':>16}{'optimizer, MB':>15}  on each")
    for row in measured["memory"]:
        print(f"{row['name']:<14}{row['parameters'] / 1e6:>16.2f}{row['optimizer'] / 1e6:>15.2f}")


def _print_projection(
    assumed: projection.Assumptions, projected: dict[str, Any], source: str
) -> None:
    print(f"\nOn paper: ViT-B with adapters, all parameters on every GPU; bytes from {source}")
    print("assumed: " + ", ".join(f"{k} {v}" for k, v in dataclasses.asdict(assumed).items()))
    for name, value in projected.items():
        print(f"{name:<30}{_format(value):>18}")


def _format(value: bool | int | float) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,.0f}" if value >= 1e4 else f"{value:.4g}"


if __name__ == "__main__":
    main()
