"""Stopping on request: SIGTERM and Ctrl-C end the run after the batch in hand, saved."""

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from samjax.data.files import DataError


class Interrupted(Exception):
    """The run was asked to stop, and has saved what is needed to go on."""

    def __init__(self, step: int, total: int) -> None:
        """Names the batch after which the run stopped."""
        super().__init__(
            f"stopped after step {step} of {total}; the same command goes on from there"
        )


class Diverged(Exception):
    """The loss or a parameter is no longer a finite number."""


@contextlib.contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Gives a function that tells whether a stop was requested; a second Ctrl-C stops at once."""
    requested = threading.Event()

    def request(number: int, _) -> None:
        requested.set()
        signal.signal(number, previous[number])

    in_main = threading.current_thread() is threading.main_thread()
    numbers = (signal.SIGTERM, signal.SIGINT) if in_main else ()
    previous: dict[int, Any] = {number: signal.signal(number, request) for number in numbers}
    try:
        yield requested.is_set
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def exit_code(program: str, run: Callable[[], None]) -> int:
    """Runs what a command trains; what ends it early becomes one line, and its exit code."""
    try:
        run()
    except Interrupted as stopped:
        print(stopped)
        return 143
    except (DataError, ValueError, FileNotFoundError, Diverged) as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    return 0
