"""How state and batches lie over the devices: a mesh of `data` x `model`, and a table of rules.

The batch is spread over all devices. Parameters are replicated, or cut along the `model` axis and
gathered where they are used (fully sharded data parallelism); XLA inserts the communication.
"""

import contextlib
import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from samjax.types import Params

# Regular expressions on a parameter's path, and the axes that its *last* dimensions are cut along.
# The first match decides; a parameter without a match is replicated.
RULES: dict[str, tuple[tuple[str, tuple[str | None, ...]], ...]] = {
    "replicated": (),
    "fsdp": (
        (r"image_encoder/(blocks_\d+|patch_embed)/.*kernel", ("model",)),
        (r"mask_decoder/transformer/.*kernel", ("model",)),
    ),
}


@dataclasses.dataclass(frozen=True)
class MeshConfig:
    """How the devices are used.

    Attributes:
        model: Devices that share one copy of the parameters; the rest of the mesh is `data`.
        rules: `replicated`, or `fsdp`, which cuts the large matrices along `model`.
        coordinator: `host:port` of process 0 of a multi-process run; empty for one process.
        process_count: Number of processes.
        process_index: This process, from 0.

    Raises:
        ValueError: A field cannot work.
    """

    model: int = 1
    rules: str = "replicated"
    coordinator: str = ""
    process_count: int = 1
    process_index: int = 0

    def __post_init__(self) -> None:
        if self.rules not in RULES:
            raise ValueError(f"mesh.rules: expected one of {tuple(RULES)}, found {self.rules!r}")
        if self.model < 1:
            raise ValueError(f"mesh.model: expected 1 or more, found {self.model}")
        if not 0 <= self.process_index < self.process_count:
            found = f"{self.process_index} of {self.process_count}"
            raise ValueError(f"mesh.process_index: expected 0 to process_count - 1, found {found}")


def start_processes(config: MeshConfig) -> None:
    """Joins the processes of a multi-process run; call before anything else touches a device."""
    if config.coordinator:
        jax.distributed.initialize(
            config.coordinator,
            config.process_count,
            config.process_index,
            shutdown_timeout_seconds=24 * 3600,  # Process 0 alone makes the final test.
        )


@contextlib.contextmanager
def first_process_first() -> Iterator[None]:
    """Lets the other processes enter when process 0 has left, to find its files written."""
    if jax.process_index() > 0:
        _wait_for_all()
    yield
    if jax.process_index() == 0:
        _wait_for_all()


def make_mesh(config: MeshConfig, batch_size: int) -> Mesh:
    """Arranges all devices as `data` x `model`.

    Raises:
        ValueError: The devices or the batch do not divide evenly.
    """
    devices = jax.device_count()
    if devices % config.model:
        raise ValueError(f"mesh.model: expected a divisor of {devices} devices, not {config.model}")
    if batch_size % devices:
        raise ValueError(
            f"data.batch_size: expected a multiple of the {devices} devices, found {batch_size}"
        )
    shape = (devices // config.model, config.model)
    return jax.make_mesh(shape, ("data", "model"), axis_types=(AxisType.Auto,) * 2)


def state_shardings(state: Any, mesh: Mesh, rules: str) -> Any:
    """Returns a sharding for every leaf of a training state, by the path of its parameter.

    Raises:
        ValueError: A rule cuts a dimension that does not divide evenly.
    """

    def sharding(path: tuple, leaf: jax.Array) -> NamedSharding:
        # Nested parameters have one key per part; optimizer states hold flat `a/b/c` keys.
        name = "/".join(key.key for key in path if isinstance(key, jax.tree_util.DictKey))
        return NamedSharding(mesh, _spec(name, leaf.shape, mesh, rules))

    return jax.tree_util.tree_map_with_path(sharding, state)


def place_batch(batch: Any, mesh: Mesh) -> Any:
    """Puts this process's share of a batch of NumPy arrays on the devices."""
    sharding = NamedSharding(mesh, PartitionSpec(("data", "model")))
    return jax.tree.map(
        lambda array: jax.make_array_from_process_local_data(sharding, array), batch
    )


def place_state(state: Any, shardings: Any) -> Any:
    """Puts a state that every process holds whole on the devices, each its own part."""

    def place(array: jax.Array, sharding: NamedSharding) -> jax.Array:
        if jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key):
            data = place(jax.random.key_data(array), sharding)
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(array))
        whole = np.asarray(array)
        return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])

    return jax.tree.map(place, state, shardings)


def gather(params: Params) -> Params:
    """Returns whole parameters, as NumPy arrays on every process."""
    if jax.process_count() == 1:
        return jax.device_get(params)
    from jax.experimental import multihost_utils

    return multihost_utils.process_allgather(params, tiled=True)


def agree(flag: bool) -> bool:
    """Whether the flag is set in any process; every process must ask."""
    if jax.process_count() == 1:
        return flag
    from jax.experimental import multihost_utils

    return bool(np.any(multihost_utils.process_allgather(np.array(flag))))


def _wait_for_all() -> None:
    agree(True)


def _spec(name: str, shape: tuple[int, ...], mesh: Mesh, rules: str) -> PartitionSpec:
    for pattern, axes in RULES[rules]:
        # A moment's name is its optimizer group and fields, then the parameter's path.
        if re.search(rf"(^|/){pattern}$", name):
            padded = (None,) * (len(shape) - len(axes)) + axes
            for length, axis in zip(shape, padded, strict=True):
                if axis and length % mesh.shape[axis]:
                    raise ValueError(
                        f"mesh.rules {rules}: {name} of shape {shape} does not divide evenly over "
                        f"the {mesh.shape[axis]} devices of axis {axis!r}"
                    )
            return PartitionSpec(*padded)
    return PartitionSpec()
