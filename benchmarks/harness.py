"""Timing of competitors in turns, each in its own process, so that none disturbs the others."""

import contextlib
import dataclasses
import functools
import multiprocessing
import os
import sys
import time
import traceback
import types
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from typing import Any
from unittest import mock

import numpy as np

from benchmarks import memory

Run = Callable[[], Any]
Build = Callable[[], Run]

# Competitors share a GPU: JAX must not take all of its memory at the start, its default.
_ENVIRONMENT = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


@dataclasses.dataclass(frozen=True)
class Measurement:
    """The measurements of one competitor.

    Attributes:
        seconds: Seconds of each repeat.
        build_seconds: Seconds from the start of its process until its run was prepared.
        start_seconds: Seconds from the start of its process to the end of the first, untimed run.
        peak_bytes: Peak memory of the process (or of its GPU) in the repeats; None if unknown.
        output: Return value of its first run.
    """

    seconds: tuple[float, ...]
    build_seconds: float
    start_seconds: float
    peak_bytes: int | None
    output: Any

    @property
    def median(self) -> float:
        """Median of the seconds."""
        return float(np.median(self.seconds))


def measure(
    builds: Mapping[str, Build], repeats: int, environment: Mapping[str, str] | None = None
) -> dict[str, Measurement]:
    """Measures competitors in turns: a, b, a, b, ...

    Args:
        builds: Functions that prepare a run, by name. Each is pickled, sent to its process and
            called there. The returned function runs once to warm up, then `repeats` times. The
            process imports the module of the function, never the command that was started.
        repeats: Number of timed runs.
        environment: Environment variables of the processes, added to those of this one.

    Raises:
        RuntimeError: A competitor failed; the message has its traceback.
    """
    competitors: dict[str, _Worker] = {}
    try:
        with mock.patch.dict(os.environ, {**_ENVIRONMENT, **(environment or {})}):
            for name, build in builds.items():
                competitors[name] = _Worker(name, build)
                competitors[name].warm_up()  # One after the other: compiling takes all cores.
        for _ in range(repeats):
            for competitor in competitors.values():
                competitor.run()
        return {name: competitor.finish() for name, competitor in competitors.items()}
    finally:
        for competitor in competitors.values():
            competitor.close()


def run_isolated(function: Run) -> Any:
    """Calls a function in a new process and returns its result.

    Raises:
        RuntimeError: The function failed; the message has its traceback.
    """
    builds = {"isolated": functools.partial(_return_function, function)}
    return measure(builds, 0)["isolated"].output


def _return_function(function: Run) -> Run:
    return function


class _Worker:
    """A process that runs one competitor, seen from the parent."""

    def __init__(self, name: str, build: Build) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, far = context.Pipe()
        self._name = name
        self._begin = time.perf_counter()
        self._process = context.Process(target=_serve, args=(build, far))
        with _without_main():
            self._process.start()
        far.close()
        self._seconds: list[float] = []

    def warm_up(self) -> None:
        self._receive()
        self._build_seconds = time.perf_counter() - self._begin
        self._output = self._receive()
        self._start_seconds = time.perf_counter() - self._begin

    def run(self) -> None:
        self._pipe.send("run")
        self._seconds.append(self._receive())

    def finish(self) -> Measurement:
        self._pipe.send("stop")
        peak = self._receive()
        seconds = tuple(self._seconds)
        return Measurement(seconds, self._build_seconds, self._start_seconds, peak, self._output)

    def close(self) -> None:
        self._pipe.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _receive(self) -> Any:
        try:
            error, value = self._pipe.recv()
        except EOFError:
            self._process.join()
            error, value = f"its process ended with {self._process.exitcode}", None
        if error:
            raise RuntimeError(f"{self._name}: {error}")
        return value


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Hides the command from a new process.

    Otherwise the process imports the command, and with it the packages of the other competitors.
    Their memory and start time would be counted as its own.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _serve(build: Build, pipe: Connection) -> None:
    """Serves one competitor in its process: prepares, warms up, and runs on request."""
    # Processes that a competitor starts use Python's default start method.
    multiprocessing.set_start_method(None, force=True)
    try:
        run = build()
        pipe.send((None, None))
        pipe.send((None, run()))
        memory.reset_peak()
        while pipe.recv() == "run":
            begin = time.perf_counter()
            run()
            pipe.send((None, time.perf_counter() - begin))
        pipe.send((None, memory.peak_bytes()))
    except (EOFError, BrokenPipeError):  # The parent has closed the pipe.
        return
    except BaseException:
        pipe.send((traceback.format_exc(), None))
