"""Works on cases with the processes of this machine."""

import concurrent.futures
import contextlib
import functools
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tqdm import tqdm

from samjax import interruption


def each(
    title: str,
    function: Callable[..., Any],
    work: Sequence[Any],
    fixed: tuple,
    processes: int = 0,
) -> Iterator[Any]:
    """Runs a function on every piece of work, a bar meanwhile; yields the results in order.

    Args:
        title: What is done, for the bar.
        function: A function of a module, so that processes find it.
        work: Its first argument, for every call.
        fixed: Its further arguments, the same for all.
        processes: Processes that work at once; 0 for as many as there are cores.

    Raises:
        Interrupted: The run was asked to stop; pieces in hand are done first.
    """
    call = functools.partial(_call, function, fixed)
    with _pool(processes, len(work)) as pool, interruption.stop_requests() as stop:
        futures = [pool.submit(call, one) for one in work] if pool else []
        results = (f.result() for f in futures) if pool else map(call, work)
        bar = tqdm(results, total=len(work), desc=title, unit="case", disable=None)
        for number, result in enumerate(bar, start=1):
            yield result
            if stop() and number < len(work):
                if pool:
                    pool.shutdown(cancel_futures=True)
                raise interruption.Interrupted(number, len(work))


def with_processes(count: int) -> Callable[..., Iterator[Any]]:
    """`each` with a number of processes."""
    return functools.partial(each, processes=count)


def _call(function: Callable[..., Any], fixed: tuple, one: Any) -> Any:
    return function(one, *fixed)


def _pool(
    processes: int, work: int
) -> contextlib.AbstractContextManager[concurrent.futures.Executor | None]:
    count = min(processes or multiprocessing.cpu_count(), work)
    if count < 2:
        return contextlib.nullcontext()
    # Not forked: this process may have threads. A stop is this process's business.
    context = multiprocessing.get_context("spawn")
    ignore = (signal.SIGINT, signal.SIG_IGN)
    return concurrent.futures.ProcessPoolExecutor(count, context, signal.signal, ignore)
