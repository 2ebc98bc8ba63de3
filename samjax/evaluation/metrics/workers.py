"""Surface metrics of many masks in worker processes, in order and in bounded memory."""

import collections
import concurrent.futures
import contextlib
import dataclasses
import multiprocessing
import signal
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import numpy as np

from samjax.evaluation.metrics import surface

MAX_WAITING = 2**27  # Bytes of packed masks that are sent and not yet taken back.


@dataclasses.dataclass(frozen=True)
class PackedMask:
    """A mask as bits.

    Attributes:
        shape: Its shape.
        bits: Eight pixels in a byte.
    """

    shape: tuple[int, ...]
    bits: np.ndarray

    @classmethod
    def of(cls, mask: np.ndarray) -> "PackedMask":
        """Packs a boolean mask."""
        return cls(mask.shape, np.packbits(mask))

    def unpack(self) -> np.ndarray:
        """Returns the boolean mask."""
        size = int(np.prod(self.shape))
        return np.unpackbits(self.bits, count=size).reshape(self.shape).astype(bool)


class SurfaceWorkers:
    """Compares masks with the truth in worker processes; use it as a context.

    Results come in the order of the submissions. Processes are started fresh, not forked: a fork of
    a process with JAX's threads can hang.
    """

    def __init__(self, workers: int, tolerances: Sequence[float]) -> None:
        """Starts the processes.

        Args:
            workers: Number of processes; 0: masks are compared in this one.
            tolerances: Tolerances of the normalised surface Dice.
        """
        self._tolerances = tuple(tolerances)
        self._bytes = 0
        self._waiting: collections.deque[tuple[Hashable, int, Future | Callable[[], Any]]] = (
            collections.deque()
        )
        self._pool = None
        if workers:
            spawn = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(workers, spawn, initializer=_ignore_interrupts)

    def __enter__(self) -> "SurfaceWorkers":
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def submit(
        self,
        key: Hashable,
        truth: np.ndarray,
        predictions: Sequence[np.ndarray],
        spacing: Sequence[float],
    ) -> None:
        """Sends the masks of one object; arguments as of `surface.measure`, and a key for them."""
        arguments = (truth.astype(bool), [*predictions], tuple(spacing), self._tolerances)
        if self._pool is None:
            self._waiting.append((key, 0, lambda: surface.measure(*arguments)))
            return
        packed = PackedMask.of(arguments[0]), [PackedMask.of(mask) for mask in predictions]
        size = sum(mask.bits.nbytes for mask in (packed[0], *packed[1]))
        with _naming(key):
            pending = self._pool.submit(_measure, *packed, *arguments[2:])
        self._waiting.append((key, size, pending))
        self._bytes += size

    def results(self, wait: bool = False) -> Iterator[tuple[Hashable, list[dict[str, float]]]]:
        """Yields keys with the results of `surface.measure`, in the order of submission.

        Args:
            wait: Whether to wait for all; otherwise only while more than `MAX_WAITING` wait.

        Raises:
            RuntimeError: A worker process has died.
        """
        while self._waiting:
            key, size, pending = self._waiting[0]
            must = wait or self._bytes > MAX_WAITING
            if isinstance(pending, Future) and not pending.done() and not must:
                return
            self._waiting.popleft()
            self._bytes -= size
            with _naming(key):
                yield key, pending.result() if isinstance(pending, Future) else pending()


@contextlib.contextmanager
def _naming(key: Hashable) -> Iterator[None]:
    """Turns the death of a process into an error that tells what to do."""
    try:
        yield
    except (BrokenProcessPool, concurrent.futures.CancelledError) as error:
        raise RuntimeError(
            f"surface metrics of {key}: a worker process has died: perhaps for lack of memory "
            "(take fewer workers, or 0 for none), or because a script lacks the guard "
            'if __name__ == "__main__"'
        ) from error


def _ignore_interrupts() -> None:
    """Leaves Ctrl-C to the main process, which ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _measure(
    truth: PackedMask,
    predictions: Sequence[PackedMask],
    spacing: tuple[float, ...],
    tolerances: tuple[float, ...],
) -> list[dict[str, float]]:
    unpacked = [predicted.unpack() for predicted in predictions]
    return surface.measure(truth.unpack(), unpacked, spacing, tolerances)
