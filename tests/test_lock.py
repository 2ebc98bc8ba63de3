"""Of two processes, the second is told who has the folder; a dead one has no claim."""

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from samjax import lock

HOLD = """
import sys
from samjax import lock
with lock.exclusive(sys.argv[1]):
    print("held", flush=True)
    input()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process, which has the folder `run`."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=lock.__file__.split("samjax")[0]
    )
    assert process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def without_locks(monkeypatch):
    """A file system that knows no locks."""

    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)


def enter(folder):
    with lock.exclusive(folder):
        pass


def claim(folder, **fields):
    folder.mkdir()
    content = {"pid": os.getpid(), "host": socket.gethostname(), "since": "then", "program": "p"}
    (folder / lock.NAME).write_text(json.dumps(content | fields))


def test_the_second_process_is_told_of_the_first(holder, tmp_path):
    with pytest.raises(ValueError, match=rf"run is in use by process {holder.pid} on .* since 20"):
        enter(tmp_path / "run")
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / "run" / lock.NAME).exists()  # What a dead process leaves is no claim.
    enter(tmp_path / "run")
    assert not list((tmp_path / "run").iterdir())


def test_one_process_does_not_enter_twice_and_leaves_what_it_wrote(tmp_path):
    folder = tmp_path / "a/b"
    with lock.exclusive(folder):
        (folder / "mine").touch()
        with pytest.raises(ValueError, match=f"in use by process {os.getpid()} on"):
            enter(folder)
    assert [path.name for path in folder.iterdir()] == ["mine"]


def test_no_empty_folder_stays_of_an_error(tmp_path):
    with pytest.raises(RuntimeError), lock.exclusive(tmp_path / "a/b"):
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_where_there_are_no_locks_a_dead_process_has_no_claim(without_locks, tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    claim(tmp_path / "run", pid=gone.pid)
    with lock.exclusive(tmp_path / "run"):
        assert json.loads((tmp_path / "run" / lock.NAME).read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("fields", [{}, {"host": "elsewhere", "pid": 1}])
def test_where_there_are_no_locks_others_do(without_locks, tmp_path, fields):
    claim(tmp_path / "run", **fields)
    with (
        pytest.raises(ValueError, match=r"in use by process .*; delete .* if that process is gone"),
        lock.exclusive(tmp_path / "run"),
    ):
        pass
    assert (tmp_path / "run" / lock.NAME).exists()


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file/below/it"):
        with pytest.raises(OSError, match=r"expected a folder, found that .*file is a file"):
            enter(folder)
