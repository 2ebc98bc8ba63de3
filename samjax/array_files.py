"""Reads and writes nested dicts of arrays with Orbax, with one-line errors."""

import contextlib
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp

from samjax.types import Params


def write(path: Path, params: Params) -> None:
    """Writes parameters as a folder.

    Raises:
        OSError: The folder cannot be written.
    """
    opened = _checkpointer()  # A failure here is one of JAX's devices, not of the files.
    try:
        with _one_error(), opened as checkpointer:
            checkpointer.save(path, params)
    except Exception as error:  # TensorStore has its own types, for a full disk among others.
        # TensorStore's message ends with the reason and the system's error number.
        found = re.search(r"([^:]+) \[os_error_code='(\d+)'", str(error))
        reason = found[1].strip() if found else _first_line(error)
        number = int(found[2]) if found else getattr(error, "errno", None)
        raise OSError(number, reason) from error


def read_shapes(path: Path) -> Params:
    """Reads the shapes and dtypes of the arrays in a folder written by `write`.

    Raises:
        ValueError: A file is missing or damaged.
    """
    for name in ("_METADATA", "manifest.ocdbt"):
        if not (path / name).is_file():
            raise ValueError(f"{path / name}: missing")
    opened = _checkpointer()  # A failure here is one of JAX's devices, not of the files.
    try:
        with _one_error(), opened as checkpointer:
            metadata = checkpointer.metadata(path).item_metadata
            return jax.tree.map(
                lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), metadata.tree
            )
    except Exception as error:
        raise ValueError(f"{path}: _METADATA or manifest.ocdbt is damaged") from error


def read(path: Path, arrays: Params) -> Params:
    """Reads the arrays of the shapes that `read_shapes` returned, as NumPy arrays.

    Raises:
        ValueError: A file is missing or damaged.
    """
    target = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), arrays)
    opened = _checkpointer()  # A failure here is one of JAX's devices, not of the files.
    try:
        with _one_error(), opened as checkpointer:
            return checkpointer.restore(path, target)
    except Exception as error:
        raise ValueError(f"{path}: a file is damaged or missing: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


@contextlib.contextmanager
def _one_error() -> Iterator[None]:
    """Suppresses the tracebacks of other threads when an operation of Orbax fails.

    Orbax logs a failure in each of its threads. It also closes its event loop at once, and every
    array that is still pending then raises an error, some only after the first error was handled.
    Therefore these stay suppressed after a failure.
    """
    log = logging.getLogger("absl")
    before, level = sys.unraisablehook, log.level

    def hook(unraisable: "sys.UnraisableHookArgs") -> None:
        if "Event loop is closed" not in str(unraisable.exc_value):
            before(unraisable)

    sys.unraisablehook = hook
    log.setLevel(logging.CRITICAL)
    try:
        yield
        sys.unraisablehook = before
    finally:
        log.setLevel(level)


def _checkpointer() -> ocp.StandardCheckpointer:
    """Returns a checkpointer that waits for no other process: each reads and writes on its own."""
    own = jax.process_index()
    options = ocp.options.MultiprocessingOptions(
        primary_host=own, active_processes={own}, barrier_sync_key_prefix=f"process_{own}"
    )
    return ocp.StandardCheckpointer(multiprocessing_options=options)
