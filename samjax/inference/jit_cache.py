"""Limit on JAX's cache of compiled programs in processes that run for long.

Every program that JAX compiles and keeps has dozens of memory mappings. Linux allows a process
`vm.max_map_count` of them, 65,530 by default; the next compilation ends in a segmentation fault.
"""

import itertools
import logging
from pathlib import Path

import jax

_MAPS_FILE, _LIMIT_FILE = Path("/proc/self/maps"), Path("/proc/sys/vm/max_map_count")
_SHARE = 0.5  # Of what Linux allows.
_CHECK_INTERVAL = 32  # Calls between two checks, which take milliseconds.

_log = logging.getLogger(__name__)
_calls = itertools.count()


def clear_if_large() -> None:
    """Clears JAX's compiled programs if the process has over half of the allowed memory mappings.

    Call it regularly in code that may compile for ever new shapes. Programs that are used again are
    compiled again, or read from JAX's cache on disk. Does nothing on systems other than Linux.
    """
    if next(_calls) % _CHECK_INTERVAL:
        return
    try:
        mapped, limit = _MAPS_FILE.read_bytes().count(b"\n"), int(_LIMIT_FILE.read_text())
    except OSError:
        return
    if mapped > _SHARE * limit:
        _log.warning("compiled programs are dropped: %d of %d memory mappings", mapped, limit)
        jax.clear_caches()
