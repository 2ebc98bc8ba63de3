"""Compiled programs of a process that lives long: dropped before there are too many.

Every program that JAX compiles stays mapped while it is kept, dozens of mappings each, and Linux
ends a process that has more than `vm.max_map_count` of them, 65,530 by default: a segmentation
fault in whatever compiles next.
"""

import itertools
import logging
from pathlib import Path

import jax

_MAPS_FILE, _LIMIT_FILE = Path("/proc/self/maps"), Path("/proc/sys/vm/max_map_count")
_SHARE = 0.5  # Of what Linux allows.
_CHECK_INTERVAL = (
    32  # Calls between two looks, which take milliseconds; none compiles hundreds of programs.
)

_log = logging.getLogger(__name__)
_calls = itertools.count()


def clear_if_large() -> None:
    """Drops all compiled programs of the process where it has half of the mappings allowed.

    To be called now and then by what may compile for ever new shapes. What is used again is
    compiled again, or read from JAX's cache on disk. Systems other than Linux have no such bound.
    """
    if next(_calls) % _CHECK_INTERVAL:
        return
    try:
        mapped, most = _MAPS_FILE.read_bytes().count(b"\n"), int(_LIMIT_FILE.read_text())
    except OSError:
        return
    if mapped > _SHARE * most:
        _log.warning("compiled programs are dropped: %d of %d memory mappings", mapped, most)
        jax.clear_caches()
