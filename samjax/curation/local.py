"""Runs the work in processes of this machine."""

import concurrent.futures
import contextlib
import functools
import multiprocessing
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from tqdm import tqdm

from samjax import signals
from samjax.data.files import DataError


def run(
    title: str,
    function: Callable[..., Any],
    work: Sequence[Any],
    fixed: tuple,
    on_crash: Callable[[Any, str], Any] | None = None,
    processes: int = 0,
) -> Iterator[Any]:
    """Runs a function on every piece of work, with a progress bar; yields the results in order.

    If a process dies, such as from a lack of memory, only its piece of work is lost.

    Args:
        title: Title of the progress bar.
        function: Function at the top of a module, so that it can be pickled.
        work: First argument of each call.
        fixed: Further arguments, the same for all calls.
        on_crash: Function that returns the result for a piece of work at which the process died,
            from the piece and a reason; by default an error is raised.
        processes: Processes that work at once; 0 for as many as there are cores.

    Raises:
        Interrupted: A stop was requested; pieces in progress are finished first.
        DataError: A process died, and there is no `on_crash`.
    """
    call = functools.partial(_call, function, fixed)
    count = min(processes or multiprocessing.cpu_count(), len(work))
    with signals.graceful_stop() as stop:
        many = count > 1
        results = (
            _in_processes(call, work, on_crash or _fatal, count) if many else _here(call, work)
        )
        bar = tqdm(results, total=len(work), desc=title, unit="case", disable=None)
        with contextlib.closing(results):
            for number, result in enumerate(bar, start=1):
                yield result
                if stop() and number < len(work):
                    raise signals.Interrupted(number, len(work))


def with_processes(count: int) -> Callable[..., Iterator[Any]]:
    """Returns an executor: `run` with a number of processes."""
    return functools.partial(run, processes=count)


def _call(function: Callable[..., Any], fixed: tuple, one: Any) -> Any:
    return function(one, *fixed)


def _here(call: Callable[[Any], Any], work: Sequence[Any]) -> Generator[Any, None, None]:
    for one in work:
        yield call(one)


def _fatal(one: Any, reason: str) -> Any:
    raise DataError(f"{one}: {reason}")


def _in_processes(
    call: Callable[[Any], Any], work: Sequence[Any], on_crash: Callable[[Any, str], Any], count: int
) -> Generator[Any, None, None]:
    done = 0
    while done < len(work):
        with _pool(count) as pool:
            try:
                futures = [pool.submit(call, one) for one in work[done:]]
                for future in futures:
                    yield future.result()
                    done += 1
                return
            except BrokenProcessPool:
                pass
            finally:
                pool.shutdown(cancel_futures=True)
        # One of the pieces in progress: each now runs alone.
        for one in work[done : done + count]:
            with _pool(1) as pool:
                try:
                    yield pool.submit(call, one).result()
                except BrokenProcessPool:
                    yield on_crash(
                        one, "the process that read it died, perhaps of too little memory"
                    )
            done += 1


def _pool(count: int) -> concurrent.futures.ProcessPoolExecutor:
    # Not forked: this process may have threads. It alone handles a stop.
    context = multiprocessing.get_context("spawn")
    ignore = (signal.SIGINT, signal.SIG_IGN)
    return concurrent.futures.ProcessPoolExecutor(count, context, signal.signal, ignore)
