"""Contenders that take turns: each in a process of its own, so that none disturbs the others."""

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

# Contenders share a GPU: none may take all of its memory at the start, as JAX does by default.
_ENVIRONMENT = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


@dataclasses.dataclass(frozen=True)
class Measured:
    """What a contender did.

    Attributes:
        seconds: Of every repeat.
        build_seconds: From the start of its process until its run was prepared.
        start_seconds: From the start of its process to the end of the first, untimed run.
        peak_bytes: Most memory of the process (or of its GPU) during the repeats; None if unknown.
        answer: What its first run returned.
    """

    seconds: tuple[float, ...]
    build_seconds: float
    start_seconds: float
    peak_bytes: int | None
    answer: Any

    @property
    def median(self) -> float:
        """Median of the seconds."""
        return float(np.median(self.seconds))


def measure(
    builds: Mapping[str, Build], repeats: int, environment: Mapping[str, str] | None = None
) -> dict[str, Measured]:
    """Lets contenders run in turns: a, b, a, b, ...

    Args:
        builds: Functions that prepare a run, by name. They are pickled to their process, called
            there, and what they return is run once to warm up and then `repeats` times. The
            process imports their module, never the command that was started.
        repeats: Number of timed runs.
        environment: Environment variables of the processes, beside those of this one.

    Raises:
        RuntimeError: A contender failed; the message holds its traceback.
    """
    contenders: dict[str, _Contender] = {}
    try:
        with mock.patch.dict(os.environ, {**_ENVIRONMENT, **(environment or {})}):
            for name, build in builds.items():
                contenders[name] = _Contender(name, build)
                contenders[name].warm_up()  # One after the other: compiling takes all cores.
        for _ in range(repeats):
            for contender in contenders.values():
                contender.run()
        return {name: contender.finish() for name, contender in contenders.items()}
    finally:
        for contender in contenders.values():
            contender.close()


def alone(function: Run) -> Any:
    """Returns what a function returns that is called in a process of its own.

    Raises:
        RuntimeError: The function failed; the message holds its traceback.
    """
    return measure({"alone": functools.partial(_prepared, function)}, 0)["alone"].answer


def _prepared(function: Run) -> Run:
    return function


class _Contender:
    """The near end of a process that runs one contender."""

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
        self._answer = self._receive()
        self._start_seconds = time.perf_counter() - self._begin

    def run(self) -> None:
        self._pipe.send("run")
        self._seconds.append(self._receive())

    def finish(self) -> Measured:
        self._pipe.send("stop")
        peak = self._receive()
        seconds = tuple(self._seconds)
        return Measured(seconds, self._build_seconds, self._start_seconds, peak, self._answer)

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

    It would import the command, and with it all that the other contenders need: their memory, and
    their time to start, would count as its own.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _serve(build: Build, pipe: Connection) -> None:
    """The far end: prepares, warms up, and runs when told to."""
    # Processes that a contender starts are started as they would be without us.
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
    except (EOFError, BrokenPipeError):  # The near end has closed: nobody is waiting any more.
        return
    except BaseException:
        pipe.send((traceback.format_exc(), None))
