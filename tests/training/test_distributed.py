"""Two connected processes train as one process with as many devices does."""

import json
import socket

import jax
import numpy as np
import pytest
import toy
from command import finish, start

from samjax.models import directory

pytestmark = pytest.mark.heavy


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def mpirun(rank: str) -> dict[str, str]:
    return {
        "OMPI_MCA_orte_hnp_uri": "4096.0;tcp://127.0.0.1:1",
        "OMPI_COMM_WORLD_SIZE": "2",
        "OMPI_COMM_WORLD_RANK": rank,
        "OMPI_COMM_WORLD_LOCAL_RANK": rank,
    }


@pytest.fixture(scope="module")
def folder(phantom_root, tmp_path_factory):
    """A run by two processes, with parameters cut over both; the same by one with two devices.

    And by two that were started as Open MPI does it.
    """
    folder, cache = tmp_path_factory.mktemp("runs"), tmp_path_factory.mktemp("cache")
    fields = {
        "run.steps": 3,
        "prompting.iterations": 1,
        "optim.epsilon": 1e-3,  # Adam would turn rounding noise into steps.
        "mesh.model": 2,
        "mesh.rules": "fsdp",
        "mesh.min_weight_size": 256,
    }
    coordinator = {"mesh.coordinator": f"127.0.0.1:{free_port()}", "mesh.process_count": 2}
    both = [
        toy.arguments(
            phantom_root, folder / "two", **fields, **coordinator, **{"mesh.process_index": index}
        )
        for index in (0, 1)
    ]
    processes = [start("train.py", *arguments, cache=cache) for arguments in both]
    mpi = toy.arguments(phantom_root, folder / "mpi", **fields)
    port = str(free_port())
    processes += [
        start("train.py", *mpi, cache=cache, **mpirun(rank), JAX_COORDINATOR_PORT=port)
        for rank in ("0", "1")
    ]
    one = toy.arguments(phantom_root, folder / "one", **fields)
    processes.append(start("train.py", *one, cache=cache, devices=2))
    for process in processes:
        finish(process)
    return folder


def rows(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", ["two", "mpi"])
def test_the_same_losses(folder, name):
    one, two = rows(folder / "one"), rows(folder / name)
    assert [row["step"] for row in two] == [1, 2, 3]
    for ours, theirs in zip(two, one, strict=True):
        assert ours.keys() == theirs.keys()
        for field in ours.keys() - {"images_per_s", "images_per_cpu_s"}:
            assert ours[field] == pytest.approx(theirs[field], rel=1e-5), field


def test_their_number_is_written_down(folder):
    for name, count in (("one", 1), ("two", 2), ("mpi", 2)):
        settings = json.loads((folder / name / "config.json").read_text())
        assert settings["mesh"]["process_count"] == count


def test_the_same_parameters(folder):
    one, two = (directory.load(folder / name / "last") for name in ("one", "two"))
    assert one.config == two.config == toy.MODEL
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)  # noqa: E731
    jax.tree.map(close, one.params, two.params)


def test_both_processes_saved_their_place_in_the_data(folder):
    saved = sorted((folder / "two/checkpoints/3/batches").glob("*.json"))
    assert [path.name for path in saved] == ["process_0-of-2.json", "process_1-of-2.json"]
    assert saved[0].read_text() == saved[1].read_text()
