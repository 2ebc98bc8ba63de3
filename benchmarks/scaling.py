"""How training scales over devices, read from compiled programs; and what eight GPUs would take.

python -m benchmarks.scaling [--model small|vit_b] [--json FILE]

On 1, 2, 4 and 8 virtual CPU devices, each in a process of its own, the training step is lowered and
compiled as training does it, with the same number of images on every device. Nothing is run:
virtual devices share the same cores, so that their time would say nothing. What is read is the
program of one device:

- work: its matrix products, those in loops as often as XLA knows the loop to run;
- communication: sizes of the results of its collectives, likewise;
- memory: the parts of parameters and optimizer states that it holds, and the compiled program's
  temporary memory (a CPU program's: a GPU's differs).

Then `on_paper` says what training by the default recipe would take on GPUs, from `flops.py` and
assumptions that are printed with it.
"""

import argparse
import collections
import concurrent.futures
import dataclasses
import json
import math
import multiprocessing
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import numpy as np

from benchmarks import flops, samjax_impl
from samjax import models
from samjax.training import groups, sharding, step

DEVICES = (1, 2, 4, 8)
IMAGES = 2  # Images on every device,
OBJECTS = 5  # and masks of each.
MODELS = {
    # Every structural feature of ViT-B, windows that do not divide the grid among them.
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
COLLECTIVES = (
    *("all-reduce", "all-gather", "reduce-scatter"),
    *("collective-permute", "all-to-all", "collective-broadcast", "ragged-all-to-all"),
)
# Machine code is not what is looked at: make it fast.
_FLAGS = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"

# `%name = f32[2,3]{1,0} dot(...), ...`; a tuple's shapes stand in brackets.
_INSTRUCTION = re.compile(r"\s+(?:ROOT )?%?([\w.-]+) = (\(.*?\)|\S+) ([a-z][\w-]*)\((.*)")
_COMPUTATION = re.compile(r"(ENTRY )?%?([\w.-]+) .*\{$")
_ARRAY = re.compile(r"\b(pred|[a-z]+(\d+)\w*)\[([\d,]*)\]")
_CALLED = re.compile(
    r"\b(?:calls|to_apply|body|condition|branch_computations|true_computation|false_computation)"
    r"=(\{[^}]*\}|%?[\w.-]+)"
)
_DOT = re.compile(r"^%?([\w.-]+)[,)](?:.*?lhs_contracting_dims=\{([\d,]*)\})?")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')

Count = collections.Counter[str]


@dataclasses.dataclass(frozen=True)
class Counted:
    """What one run of a program does on one device.

    Attributes:
        once: Outside of loops: `flops` of matrix products, and bytes by kind of collective.
        looped: The same inside of loops, all their rounds together.
    """

    once: Count
    looped: Count

    @property
    def flops(self) -> int:
        """Operations of matrix products."""
        return self.once["flops"] + self.looped["flops"]

    @property
    def bytes(self) -> Count:
        """Bytes by kind of collective."""
        return Count({k: n for k, n in (self.once + self.looped).items() if k in COLLECTIVES})


def count(text: str) -> Counted:
    """Reads the text of a compiled program, `compiled.as_text()`.

    Args:
        text: HLO of one partition.

    Raises:
        ValueError: A loop that works or communicates has no known number of rounds, or a
            collective is split into start and end, as GPU programs have it.
    """
    computations = dict(_computations(text))
    known: dict[str, Counted] = {}

    def total(name: str) -> Counted:
        if name not in known:
            known[name] = inside(computations[name])
        return known[name]

    def inside(lines: list[str]) -> Counted:
        once, looped = Count(), Count()
        shapes: dict[str, str] = {}
        for name, shape, kind, rest in _instructions(lines):
            shapes[name] = shape
            once += _own(kind, shape, rest, shapes)
            for called in map(total, _called(rest)):
                if kind != "while":
                    once, looped = once + called.once, looped + called.looped
                elif round_ := called.once + called.looped:
                    if not (trips := _TRIPS.search(rest)):
                        raise ValueError(f"loop {name}: expected a known number of rounds")
                    looped += Count({k: int(trips[1]) * n for k, n in round_.items()})
        return Counted(once, looped)

    return total("ENTRY")


def _computations(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yields name and lines of every computation; the first to run is named `ENTRY`."""
    name, lines = "", []
    for line in text.splitlines():
        if header := _COMPUTATION.match(line):
            name, lines = "ENTRY" if header[1] else header[2], []
        elif line == "}":
            yield name, lines
        else:
            lines.append(line)


def _instructions(lines: list[str]) -> Iterator[tuple[str, str, str, str]]:
    """Yields name, shape, kind, and the rest, from the operands on."""
    for line in lines:
        if found := _INSTRUCTION.match(line):
            yield found[1], found[2], found[3], found[4]


def _called(rest: str) -> Iterator[str]:
    for names in _CALLED.findall(rest):
        yield from re.findall(r"[\w.-]+", names)


def _own(kind: str, shape: str, rest: str, shapes: dict[str, str]) -> Count:
    """What an instruction does itself."""
    if kind.removesuffix("-start") in COLLECTIVES and kind not in COLLECTIVES:
        raise ValueError(f"{kind}: expected a program whose collectives are not split")
    if kind in COLLECTIVES:
        return Count({kind: _bytes(shape)})
    if kind != "dot":
        return Count()
    operand, contracted = _DOT.findall(rest)[0]
    ((_, lengths),) = _arrays(shapes[operand])
    ((_, result),) = _arrays(shape)
    axes = re.findall(r"\d+", contracted)
    return Count(flops=2 * math.prod(result) * math.prod(lengths[int(axis)] for axis in axes))


def _arrays(shape: str) -> list[tuple[int, tuple[int, ...]]]:
    """Bits of an element, and lengths, of an array or of a tuple's arrays."""
    return [
        (int(bits or 8), tuple(int(length) for length in lengths.split(",") if length))
        for _, bits, lengths in _ARRAY.findall(shape)
    ]


def _bytes(shape: str) -> int:
    return sum(bits * math.prod(lengths) for bits, lengths in _arrays(shape)) // 8


def default_recipe(model: models.SamConfig) -> step.Recipe:
    """`configs/sam_med2d.py` with another network."""
    return samjax_impl.step_recipe("sam_med2d", model)


def abstract_state(recipe: step.Recipe) -> step.TrainState:
    """Shapes of a training state."""

    def start(key: jax.Array) -> step.TrainState:
        return step.init_state(recipe, models.init(recipe.model, key), key)

    return jax.eval_shape(start, jax.eval_shape(lambda: jax.random.key(0)))


def gradient_bytes(recipe: step.Recipe) -> tuple[int, int]:
    """Bytes of the gradients of the first update, and of every later one.

    This is what replicated data parallelism has to add up over the devices.
    """
    parts = groups.split(abstract_state(recipe).params)
    first, later = (
        sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(groups.pick(parts, names)))
        for names in (recipe.first_groups, recipe.later_groups)
    )
    return first, later


def compile_step(
    recipe: step.Recipe, images: int, objects: int, config: sharding.MeshConfig
) -> jax.stages.Compiled:
    """Compiles the training step over all devices as the training loop does, without a state.

    Args:
        recipe: What is fixed.
        images: Images of a batch, on all devices together.
        objects: Masks of each.
        config: How the devices are used.
    """
    mesh = sharding.make_mesh(config, images)
    state = abstract_state(recipe)
    shardings = sharding.state_shardings(state, mesh, config)
    state = jax.tree.map(
        lambda leaf, lies: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=lies),
        state,
        shardings,
    )
    side = recipe.model.image_size
    arrays: dict[str, Any] = {
        "image": np.zeros((images, side, side, 3), np.float32),
        "masks": np.zeros((images, objects, side, side), np.uint8),
        "boxes": np.zeros((images, objects, 4), np.float32),
        "seed": np.zeros(images, np.uint32),
    }
    batch = sharding.place_batch(step.Batch(**arrays), mesh)
    jitted = jax.jit(
        step.train_step, static_argnums=0, donate_argnums=1, out_shardings=(shardings, None)
    )
    return jitted.lower(recipe, state, batch).compile()


def program(model: str, config: sharding.MeshConfig) -> dict[str, Any]:
    """Compiles over all devices of this process, and reads the program of one."""
    recipe, devices = default_recipe(MODELS[model]), jax.device_count()
    compiled = compile_step(recipe, IMAGES * devices, OBJECTS, config)
    text, stats = compiled.as_text(), compiled.memory_analysis()
    assert text and stats, "expected a platform whose programs can be read"
    found = count(text)
    return {
        "name": _name(config, devices),
        "flops": found.flops,
        "bytes": dict(found.bytes),
        "first_bytes": sum(found.once[kind] for kind in COLLECTIVES),
        "later_bytes": sum(found.looped[kind] for kind in COLLECTIVES),
        "temporary_bytes": stats.temp_size_in_bytes,
    }


def memory(model: str, configs: list[sharding.MeshConfig]) -> list[dict[str, Any]]:
    """Bytes of parameters and of optimizer states on each device of this process."""
    state, devices = abstract_state(default_recipe(MODELS[model])), jax.device_count()

    def held(part: Any, shardings: Any) -> int:
        sizes = jax.tree.map(
            lambda leaf, lies: math.prod(lies.shard_shape(leaf.shape)) * leaf.dtype.itemsize,
            part,
            shardings,
        )
        return sum(jax.tree.leaves(sizes))

    rows = []
    for config in configs:
        mesh = sharding.make_mesh(config, devices)
        shardings = sharding.state_shardings(state, mesh, config)
        rows.append(
            {
                "name": _name(config, devices),
                "parameters": held(state.params, shardings.params),
                "optimizer": held(state.optimizer, shardings.optimizer),
            }
        )
    return rows


def _name(config: sharding.MeshConfig, devices: int) -> str:
    return f"{devices}" if config.rules == "replicated" else f"{devices}, fsdp {config.model}"


@dataclasses.dataclass(frozen=True)
class Assumptions:
    """What `on_paper` takes for granted; each is a flag of the command.

    Attributes:
        gpus: Number of GPUs; each holds all parameters.
        images: Images on each of them.
        objects: Masks of each image.
        dataset: Images of the data set; the paper's has 4.6 million.
        epochs: Passes over it; paper: 12.
        chip_tflops: Peak of one GPU, 1e12 operations a second; an A100's in bfloat16.
        share: Share of the peak that the products of a whole step reach. This is a guess, and all
            times are in proportion to it.
        link_gbytes: What one GPU sends to the next, 1e9 bytes a second; NVLink between A100s.
    """

    gpus: int = 8
    images: int = 50
    objects: int = 5
    dataset: int = 4_600_000
    epochs: int = 12
    chip_tflops: float = 312.0
    share: float = 0.3
    link_gbytes: float = 300.0


def on_paper(
    recipe: step.Recipe, assumed: Assumptions, first_bytes: int, later_bytes: int
) -> dict[str, Any]:
    """What training would take on GPUs that each hold all parameters.

    Gradients are added up in a ring: of every byte, each of `n` devices sends `2 (n - 1) / n`.
    An update's gradients can travel while its backward pass goes on, not later: the next
    iteration needs the parameters. Whether they can hide is whether they take less time than that;
    the last gradients never can, nor can any that the compiler sends together with them.

    Args:
        recipe: What is trained.
        assumed: On what.
        first_bytes: Bytes that the first update adds up over the devices.
        later_bytes: The same of every later update.

    Returns:
        Seconds of a step and of its parts; hours; what the loader has to deliver.
    """
    config, learns = recipe.model, (recipe.first_groups, recipe.later_groups)
    objects, tokens = assumed.images * assumed.objects, recipe.session.room + 3
    speed = assumed.chip_tflops * 1e12 * assumed.share
    encoder = flops.encoder_backward(config, assumed.images, learns[0])
    given = (config, assumed.images, objects, tokens)
    decoder = [flops.decoder_backward(*given, names) for names in learns]
    first_backward, later_backward = (encoder + decoder[0]) / speed, decoder[1] / speed
    ring = 2 * (assumed.gpus - 1) / assumed.gpus / (assumed.link_gbytes * 1e9)
    first_sending, later_sending = first_bytes * ring, later_bytes * ring
    compute = flops.train_step(recipe, assumed.images, assumed.objects) / speed
    sending = first_sending + (recipe.session.iterations - 1) * later_sending
    batch = assumed.gpus * assumed.images
    steps = assumed.dataset // batch
    rate = batch / compute
    return {
        "flops_per_image": compute * speed / assumed.images,
        "compute_s": compute,
        "first_backward_s": first_backward,
        "first_communication_s": first_sending,
        "later_backward_s": later_backward,
        "later_communication_s": later_sending,
        "communication_s": sending,
        "first_can_hide": first_sending <= first_backward,
        "later_can_hide": later_sending <= later_backward,
        "efficiency_if_nothing_hides": compute / (compute + sending),
        "steps_per_epoch": steps,
        "hours_per_epoch": steps * compute / 3600,
        "hours": assumed.epochs * steps * compute / 3600,
        "hours_if_nothing_hides": assumed.epochs * steps * (compute + sending) / 3600,
        "loader_images_per_s": rate,
        "loader_masks_per_s": rate * assumed.objects,
        # Float32 images and one byte for each pixel of a mask, as `step.Batch` has them.
        "loader_bytes_per_s": rate * config.image_size**2 * (3 * 4 + assumed.objects),
    }


def main() -> None:
    """Measures, calculates and prints."""
    args = _arguments()
    names = [field.name for field in dataclasses.fields(Assumptions)]
    assumed = Assumptions(**{name: getattr(args, name) for name in names})
    measured = _measure(args.model)
    _print_measured(args.model, measured)
    recipe = default_recipe(MODELS["vit_b"])
    (first, later), source = gradient_bytes(recipe), "the sizes of gradients"
    if args.model == "vit_b":
        (row,) = [row for row in measured["programs"] if row["name"] == str(DEVICES[-1])]
        first, later = row["first_bytes"], row["later_bytes"] // (recipe.session.iterations - 1)
        source = "the program above"
    paper = on_paper(recipe, assumed, first, later)
    _print_paper(assumed, paper, source)
    if args.json:
        result = {"model": args.model, "images": IMAGES, "objects": OBJECTS, **measured}
        result["on_paper"] = {"assumed": dataclasses.asdict(assumed), "bytes_from": source, **paper}
        Path(args.json).write_text(json.dumps(result, indent=2) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling")
    parser.add_argument("--model", choices=tuple(MODELS), default="small", help="what is compiled")
    parser.add_argument("--json", metavar="FILE", help="write all results to it")
    assumptions = parser.add_argument_group("assumptions of the calculation, for ViT-B")
    for field in dataclasses.fields(Assumptions):
        flag, kind = f"--{field.name.replace('_', '-')}", type(field.default)
        assumptions.add_argument(
            flag, type=kind, default=field.default, help=f"default {field.default}"
        )
    return parser.parse_args()


def _measure(model: str) -> dict[str, Any]:
    """Programs for every number of devices; what each device holds; and the same on paper."""
    most, plain = DEVICES[-1], sharding.MeshConfig()
    cuts = [sharding.MeshConfig(axis, "fsdp") for axis in DEVICES if axis > 1]
    programs = [_with_devices(count, program, model, plain) for count in DEVICES]
    programs.append(_with_devices(most, program, model, cuts[-1]))
    recipe = default_recipe(MODELS[model])
    first, later = gradient_bytes(recipe)
    return {
        "programs": programs,
        "memory": _with_devices(most, memory, model, [plain, *cuts]),
        "calculated_flops": flops.train_step(recipe, IMAGES, OBJECTS),
        "gradient_bytes": first + (recipe.session.iterations - 1) * later,
    }


def _with_devices(devices: int, function: Callable[..., Any], *args: Any) -> Any:
    """Calls a function in a process that has this many virtual devices."""
    flags = f"{_FLAGS} --xla_force_host_platform_device_count={devices}"
    context = multiprocessing.get_context("spawn")
    # JAX reads them once, when it starts.
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


def _print_paper(assumed: Assumptions, paper: dict[str, Any], source: str) -> None:
    print(f"\nOn paper: ViT-B with adapters, all parameters on every GPU; bytes from {source}")
    print("assumed: " + ", ".join(f"{k} {v}" for k, v in dataclasses.asdict(assumed).items()))
    for name, value in paper.items():
        print(f"{name:<30}{_shown(value):>18}")


def _shown(value: bool | int | float) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,.0f}" if value >= 1e4 else f"{value:.4g}"


if __name__ == "__main__":
    main()
