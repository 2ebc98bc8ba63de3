"""Errors and signals end a command with one line and a distinct exit code."""

import os
import signal
import subprocess
import sys

import jax
import pytest

from samjax import signals
from samjax.data.files import DataError
from samjax.extra import MissingLibrary


def raising(error):
    def run():
        raise error

    return run


@pytest.mark.parametrize(
    ("run", "code", "line"),
    [
        (lambda: None, 0, ""),
        (lambda: 1, 1, ""),
        (raising(DataError("a.png: bad")), 2, "samjax: error: a.png: bad\n"),
        (raising(PermissionError(13, "Permission denied", "out")), 2, "denied: 'out'\n"),
        (raising(MissingLibrary("a: pip install b")), 2, "samjax: error: a: pip install b\n"),
        (raising(KeyboardInterrupt()), 130, "samjax: stopped\n"),
        (raising(KeyboardInterrupt("2 of 3 done")), 130, "samjax: stopped: 2 of 3 done\n"),
        (lambda: os.kill(os.getpid(), signal.SIGTERM), 143, "samjax: stopped\n"),
    ],
)
def test_exit_codes(capsys, run, code, line):
    before = signal.getsignal(signal.SIGTERM)
    assert signals.run_command("samjax", run) == code
    error = capsys.readouterr().err
    assert error.endswith(line) and error.count("\n") == bool(line)
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("reason", ["", "Unable to initialize backend 'cuda': none\nmore"])
def test_a_missing_device_is_one_line(capsys, monkeypatch, reason):
    missing = raising(AssertionError(reason) if not reason else RuntimeError(reason))
    monkeypatch.setattr(jax, "devices", missing)
    assert signals.run_command("samjax", lambda: len(jax.devices())) == 2
    error = capsys.readouterr().err
    assert error.startswith("samjax: error: JAX_PLATFORMS: expected devices that this machine")
    assert error.count("\n") == 1 and "found 'cpu'" in error and reason.split("\n")[0] in error


def test_an_internal_error_keeps_its_traceback():
    with pytest.raises(AssertionError, match="ours"):
        signals.run_command("samjax", raising(AssertionError("ours")))


def test_closed_output_is_no_error():
    program = "import sys; from samjax import signals as i; " + (
        "sys.exit(i.run_command('samjax', lambda: print('line\\n' * 100_000)))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "line\n"
        process.stdout.close()
        assert process.stderr.read() == "" and process.wait() == 141
