"""Stopping on request: SIGTERM and Ctrl-C end the run after the batch in hand, saved."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from samjax.extra import MissingLibrary


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
def graceful_stop() -> Iterator[Callable[[], bool]]:
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


class Terminated(KeyboardInterrupt):
    """SIGTERM, where nothing else takes it: ends a command as Ctrl-C does."""


def run_command(program: str, run: Callable[[], int | None]) -> int:
    """Runs a command; what ends it early becomes one line, and its exit code.

    Args:
        program: What the line begins with.
        run: The command; what it returns is the exit code, None for 0.

    Returns:
        Also 2 for a mistake in the call or the data or a missing extra, 130 after Ctrl-C, 143
        after SIGTERM.
    """
    try:
        with _termination_raises():
            code = run() or 0
            sys.stdout.flush()
            return code
    except Interrupted as stopped:
        print(stopped)
        return 143
    except KeyboardInterrupt as stopped:
        how = f": {stopped}" if str(stopped) else ""
        print(f"{program}: stopped{how}", file=sys.stderr)
        return 143 if isinstance(stopped, Terminated) else 130
    except BrokenPipeError as error:
        if not _output_is_closed():
            print(f"{program}: error: {error}", file=sys.stderr)
            return 2
        return 141  # As a shell counts SIGPIPE.
    except (OSError, ValueError, Diverged, MissingLibrary) as error:
        print(f"{program}: error: {error}", file=sys.stderr)
        return 2
    except (AssertionError, RuntimeError):
        problem = _device_problem()
        if problem is None:
            raise
        print(f"{program}: error: {problem}", file=sys.stderr)
        return 2


def _output_is_closed() -> bool:
    """Whether nobody reads what is printed any more, as after `| head`; then it goes nowhere."""
    try:
        print(flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


@contextlib.contextmanager
def _termination_raises() -> Iterator[None]:
    """Makes SIGTERM raise `Terminated` within."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(number: int, _) -> None:
        raise Terminated

    previous = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _device_problem() -> str | None:
    """What is wrong with the devices that JAX was asked for, if it is used and anything is."""
    jax = sys.modules.get("jax")
    if jax is None:
        return None
    try:
        jax.devices()
    except (AssertionError, RuntimeError) as error:
        asked = jax.config.jax_platforms or "any"
        reason = f" ({str(error).splitlines()[0]})" if str(error) else ""
        return (
            f"JAX_PLATFORMS: expected devices that this machine and this installation of JAX have, "
            f"found {asked!r}{reason}"
        )
    return None
