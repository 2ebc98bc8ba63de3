"""Initialisation of `jax.distributed`: by the settings, or by the cluster that started the run."""

import dataclasses
import logging
import os
from collections.abc import Mapping

import jax

from samjax.training.sharding import MeshConfig

ALONE = "none"  # As `mesh.coordinator`.
# JAX asks for all of them; in an allocation's shell and in a batch script some are not set.
_SLURM_STEP = (
    *("SLURM_JOB_ID", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_STEP_NODELIST"),
)

_log = logging.getLogger(__name__)


def initialize(config: MeshConfig) -> MeshConfig:
    """Connects the processes of a run; to be called before a device is used.

    Args:
        config: Mesh settings; with an empty `coordinator` the cluster is detected.

    Returns:
        The settings with the number of processes and the index of this one.

    Raises:
        ValueError: There are several processes, and the address of process 0 is not known.
    """
    if not jax.distributed.is_initialized():
        _initialize(config)
    count, index = jax.process_count(), jax.process_index()
    if count > 1:
        _log.info(
            "process %d of %d; mesh.coordinator=%s would train in each alone", index, count, ALONE
        )
    return dataclasses.replace(config, process_count=count, process_index=index)


def detect_cluster(environment: Mapping[str, str]) -> str | None:
    """Detects the cluster that started this process as one of several; JAX's name of it or None.

    Raises:
        ValueError: Open MPI started several, and does not tell the address of process 0.
    """
    if "OMPI_COMM_WORLD_SIZE" in environment:  # Its daemons may be steps of Slurm.
        count = int(environment["OMPI_COMM_WORLD_SIZE"])
        if count > 1 and "OMPI_MCA_orte_hnp_uri" not in environment:
            raise ValueError(
                "mesh.coordinator: expected HOST:PORT of process 0, since this Open MPI (5 or "
                f"later) started {count} processes and does not say where that is; give "
                "mesh.process_count=$OMPI_COMM_WORLD_SIZE and "
                "mesh.process_index=$OMPI_COMM_WORLD_RANK with it"
            )
        return "ompi" if count > 1 else None
    # SLURM_NTASKS alone is the request: an allocation's shell is a single task.
    if int(environment.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        return "slurm" if all(name in environment for name in _SLURM_STEP) else None
    hosts = environment.get("TPU_PROCESS_ADDRESSES") or environment.get("TPU_WORKER_HOSTNAMES", "")
    several = "," in hosts or int(environment.get("MEGASCALE_NUM_SLICES", "1")) > 1
    return "gketpu" if hosts and several else None


def _initialize(config: MeshConfig) -> None:
    # The others wait while process 0 evaluates at the end.
    patient = {"shutdown_timeout_seconds": 24 * 3600}
    if config.coordinator not in ("", ALONE):
        found = config.coordinator, config.process_count, config.process_index
        jax.distributed.initialize(*found, **patient)
    elif config.process_count > 1:
        raise ValueError(
            f"mesh.coordinator: expected HOST:PORT where mesh.process_count = "
            f"{config.process_count}, found {config.coordinator!r}"
        )
    elif config.coordinator != ALONE and (cluster := detect_cluster(os.environ)):
        jax.distributed.initialize(cluster_detection_method=cluster, **patient)
