"""Sharding of training state and batches over a device mesh of `data` x `model`.

The batch is sharded over all devices. Parameters are replicated; or the large ones are sharded over
the `model` axis, along the axis that their module declares, and gathered where they are used (fully
sharded data parallelism). XLA inserts the communication.
"""

import contextlib
import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from samjax import fields, models
from samjax.models.declare import Declaration
from samjax.types import Params

_LARGEST = 3  # Replicated parameters that are named.


@dataclasses.dataclass(frozen=True)
class MeshConfig:
    """Device mesh and processes.

    Attributes:
        model: Number of devices that share one copy of the parameters; the rest of the mesh is
            `data`.
        rules: `replicated`, or `fsdp`, which shards every large parameter, and its moments, along
            the axis that its module declares, for instance the output channels of a kernel, if
            `model` divides it. The run logs what stays replicated.
        min_weight_size: `fsdp`: parameters with fewer elements stay replicated, since gathering
            them costs more than it saves.
        coordinator: `HOST:PORT` of process 0, for several processes without a cluster manager.
            Empty: read from Slurm, Open MPI or a TPU pod, else a single process. `none`: this
            process trains alone.
        process_count: Number of processes, with `coordinator`.
        process_index: Index of this process, from 0, with `coordinator`.

    Raises:
        ValueError: A field has an invalid value.
    """

    model: fields.PositiveInt = 1
    rules: Literal["replicated", "fsdp"] = "replicated"
    min_weight_size: fields.PositiveInt = 4096
    coordinator: str = ""
    process_count: fields.PositiveInt = 1
    process_index: fields.NonNegativeInt = 0

    def __post_init__(self) -> None:
        fields.check(self)
        if self.rules == "fsdp" and self.model == 1:
            raise fields.FieldError(
                "rules", "fsdp expects `model` of 2 or more devices to cut parameters over, found 1"
            )
        if not self.process_index < self.process_count:
            found = f"{self.process_index} of {self.process_count}"
            raise fields.FieldError(
                "process_index", f"expected 0 to process_count - 1, found {found}"
            )


@contextlib.contextmanager
def first_process_first() -> Iterator[None]:
    """Runs the body in process 0 first, then in the others, which find its files written."""
    if jax.process_index() > 0:
        _wait_for_all()
    yield
    if jax.process_index() == 0:
        _wait_for_all()


def make_mesh(config: MeshConfig, batch_size: int) -> Mesh:
    """Returns a mesh of all devices, `data` x `model`.

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


def state_shardings(
    state: Any, declared: Mapping[str, Declaration], mesh: Mesh, config: MeshConfig
) -> Any:
    """Returns a sharding for every leaf of a training state.

    Args:
        state: The state, or any tree with parameters in it. Whatever ends in the path of a
            parameter, and has its shape, is sharded as the parameter is: its moments, say.
        declared: Declarations of the parameters by path, from `models.declarations`.
        mesh: Mesh of the devices.
        config: Whether and from which size parameters are sharded.
    """

    def sharding(path: tuple[Any, ...], leaf: Any) -> NamedSharding:
        axis = _axis_to_cut(_parameter_at(path, declared), leaf, config)
        cut = () if axis is None else (*(None,) * axis, "model")
        return NamedSharding(mesh, PartitionSpec(*cut))

    return jax.tree.map_with_path(sharding, state)


def overview(params: Params, shardings: Any) -> str:
    """Returns a summary: bytes of parameters on each device, and what stays replicated."""
    lies: dict[str, Any] = dict(models.named_leaves(shardings))
    held, sizes, whole = 0, {}, []
    for name, leaf in models.named_leaves(params):
        sizes[name] = leaf.size * leaf.dtype.itemsize
        held += math.prod(lies[name].shard_shape(leaf.shape)) * leaf.dtype.itemsize
        if lies[name].is_fully_replicated:
            whole.append(name)
    total, replicated = sum(sizes.values()), sum(sizes[name] for name in whole)
    largest = sorted(whole, key=lambda name: -sizes[name])[:_LARGEST]
    named = ", ".join(f"{name} ({_megabytes(sizes[name])})" for name in largest)
    return (
        f"each device holds {_megabytes(held)} of the {_megabytes(total)} of parameters; "
        f"replicated: {len(whole)} of {len(lies)} parameters, {_megabytes(replicated)}"
        + (f", the largest: {named}" if named else "")
    )


def place_batch(batch: Any, mesh: Mesh) -> Any:
    """Puts the part of a batch that this process loaded on the devices."""
    sharding = NamedSharding(mesh, PartitionSpec(("data", "model")))
    return jax.tree.map(
        lambda array: jax.make_array_from_process_local_data(sharding, array), batch
    )


def place_state(state: Any, shardings: Any) -> Any:
    """Shards a state, of which every process has all arrays, over the devices."""

    def place(array: Any, sharding: NamedSharding) -> jax.Array:
        if jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key):
            data = place(jax.random.key_data(array), sharding)
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(array))
        whole = np.asarray(array)
        return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])

    return jax.tree.map(place, state, shardings)


def gather(params: Params) -> Params:
    """Gathers sharded parameters as NumPy arrays on every process."""
    if jax.process_count() == 1:
        return jax.device_get(params)
    from jax.experimental import multihost_utils

    return multihost_utils.process_allgather(params, tiled=True)


def agree(flag: bool) -> bool:
    """Whether the flag is set in any process; must be called by all processes."""
    if jax.process_count() == 1:
        return flag
    from jax.experimental import multihost_utils

    return bool(np.any(multihost_utils.process_allgather(np.array(flag))))


def _wait_for_all() -> None:
    agree(True)


def _parameter_at(path: tuple[Any, ...], declared: Mapping[str, Declaration]) -> Declaration | None:
    """Returns the parameter whose path a path in the state ends in, the longest; None for none."""
    parts = jax.tree_util.keystr(path, simple=True, separator="/").split("/")
    ends = ("/".join(parts[start:]) for start in range(len(parts)))
    return next((declared[end] for end in ends if end in declared), None)


def _axis_to_cut(parameter: Declaration | None, leaf: Any, config: MeshConfig) -> int | None:
    """Returns the declared axis of a large parameter, or of its moment, if `model` divides it."""
    if config.rules != "fsdp" or parameter is None or parameter.cut is None:
        return None
    if leaf.shape != parameter.shape or leaf.size < config.min_weight_size:
        return None
    axis = parameter.cut % len(leaf.shape)
    return axis if leaf.shape[axis] % config.model == 0 else None


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.2f} MB"
