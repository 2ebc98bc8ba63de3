"""Number of processes of a run: from its settings, or from the environment of a cluster."""

import dataclasses

import jax
import pytest

from samjax.training import distributed
from samjax.training.sharding import MeshConfig

SRUN = {
    "SLURM_JOB_ID": "7",
    "SLURM_NTASKS": "2",
    "SLURM_STEP_NUM_TASKS": "2",
    "SLURM_STEP_NODELIST": "node[1-2]",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
}
MPIRUN = {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_MCA_orte_hnp_uri": "4096.0;tcp://10.0.0.1:3"}
ENVIRONMENTS = {
    "a desk": ({}, None),
    "srun": (SRUN, "slurm"),
    "srun of one task": (SRUN | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS": "1"}, None),
    "a shell of an allocation": ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "2"}, None),
    "a batch script": (
        {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "2", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"},
        None,
    ),
    "an interactive step": (SRUN | {"SLURM_STEP_NUM_TASKS": "1"}, None),
    "mpirun": (MPIRUN, "ompi"),
    "mpirun within an allocation": (SRUN | MPIRUN, "ompi"),
    "mpirun of one, by a daemon of Slurm": (SRUN | {"OMPI_COMM_WORLD_SIZE": "1"}, None),
    "a pod": ({"TPU_WORKER_HOSTNAMES": "a,b"}, "gketpu"),
    "a pod, by address": ({"TPU_PROCESS_ADDRESSES": "a:1,b:1"}, "gketpu"),
    "one TPU host": ({"TPU_WORKER_HOSTNAMES": "localhost"}, None),
    "two slices": ({"TPU_WORKER_HOSTNAMES": "a", "MEGASCALE_NUM_SLICES": "2"}, "gketpu"),
}


@pytest.fixture
def initialized(monkeypatch):
    """Arguments of `jax.distributed.initialize`."""
    calls = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda *a, **k: calls.append((a, k)))
    for name in [*SRUN, *MPIRUN]:
        monkeypatch.delenv(name, raising=False)
    return calls


@pytest.mark.parametrize(("environment", "cluster"), ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_an_environment(environment, cluster):
    assert distributed.detect_cluster(environment) == cluster


def test_open_mpi_that_does_not_say_where_its_first_process_is():
    with pytest.raises(ValueError, match=r"mesh.coordinator: expected HOST:PORT .*2 processes"):
        distributed.detect_cluster({"OMPI_COMM_WORLD_SIZE": "2"})


def test_a_cluster_starts_them(initialized, monkeypatch):
    for name, value in SRUN.items():
        monkeypatch.setenv(name, value)
    distributed.initialize(MeshConfig())
    ((found, named),) = initialized
    assert (found, named["cluster_detection_method"]) == ((), "slurm")


def test_the_settings_win(initialized, monkeypatch):
    for name, value in SRUN.items():
        monkeypatch.setenv(name, value)
    distributed.initialize(MeshConfig(coordinator="none"))
    assert not initialized
    distributed.initialize(MeshConfig(coordinator="a:1", process_count=3, process_index=2))
    ((found, named),) = initialized
    assert found == ("a:1", 3, 2)
    assert "cluster_detection_method" not in named


def test_one_process_stays_one(initialized):
    assert distributed.initialize(MeshConfig(model=2)) == MeshConfig(model=2)
    assert not initialized


@pytest.mark.parametrize("coordinator", ["", "none"])
def test_several_processes_need_a_coordinator(initialized, coordinator):
    message = "mesh.coordinator: expected HOST:PORT where mesh.process_count = 2, found"
    with pytest.raises(ValueError, match=message):
        distributed.initialize(MeshConfig(coordinator=coordinator, process_count=2))


def test_the_run_knows_its_processes(initialized, monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    expected = dataclasses.replace(MeshConfig(), process_count=2, process_index=1)
    assert distributed.initialize(MeshConfig()) == expected
