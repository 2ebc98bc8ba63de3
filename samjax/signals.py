"""Graceful stop: SIGTERM and Ctrl-C end a run after the current batch, saved; exit codes."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from samjax.extra import MissingLibrary


class Interrupted(Exception):
    """Stop of a run on request, after it has saved what it needs to resume."""

    def __init__(self, step: int, total: int) -> None:
        """Makes the message.

        Args:
            step: Number of the last finished step.
            total: Number of all steps.
        """
        super().__init__(
            f"stopped after step {step} of {total}; the same command goes on from there"
        )


class Diverged(Exception):
    """Loss or a parameter that is no longer finite."""


@contextlib.contextmanager
def graceful_stop() -> Iterator[Callable[[], bool]]:
    """Yields a function that tells if a stop was requested; a second Ctrl-C stops at once."""
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
    """SIGTERM outside of `graceful_stop`: ends a command as Ctrl-C does."""


def run_command(program: str, run: Callable[[], int | None]) -> int:
    """Runs a command and returns its exit code; an expected error is printed as one line.

    Args:
        program: Name of the program, which begins the line.
        run: Function that runs the command and returns its exit code, None for 0.

    Returns:
        The command's exit code; 2 for an error in the call or the data or a missing extra, 130
        after Ctrl-C, 141 if the output is closed, 143 after SIGTERM.
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
    """Whether standard output is closed, as after `| head`; if so, redirects it to nowhere."""
    try:
        print(flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


@contextlib.contextmanager
def _termination_raises() -> Iterator[None]:
    """Makes SIGTERM raise `Terminated` in the context."""
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
    """Returns a message if JAX is in use and cannot use the requested devices, else None."""
    jax = sys.modules.get("jax")
    if jax is None:
        return None
    try:
        jax.devices()
    except (AssertionError, RuntimeError) as error:
        requested = jax.config.jax_platforms or "any"
        reason = f" ({str(error).splitlines()[0]})" if str(error) else ""
        return (
            f"JAX_PLATFORMS: expected devices that this machine and this installation of JAX have, "
            f"found {requested!r}{reason}"
        )
    return None
