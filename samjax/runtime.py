"""Set-up of a process that runs samjax, for a fast start and fast steps.

`train.py`, `eval.py` and `samjax` call `prepare` first. Other programs may do the same.
"""

import ctypes
import gc
import hashlib
import logging
import os
import platform
import sys
from pathlib import Path

# M_MMAP_MAX: no allocation directly by mmap; M_TRIM_THRESHOLD: no memory is returned. The numbers
# are those of glibc's malloc.h. Threads keep their own arenas: in a shared one they wait for each
# other and, after some hundred steps, for searches of its free list.
_MALLOPT = ((-4, 0), (-1, 2**31 - 1))
_COLLECT_AFTER = 100_000  # Objects.
_HUGE_PAGES = "glibc.malloc.hugetlb"  # Since glibc 2.35.
_HUGE_PAGES_ON = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def restart_with_huge_pages() -> None:
    """Restarts this program with huge memory pages; call it first, and only in a program.

    XLA's threads take the working memory of every step from the system and give it back. In pages
    of 4 KiB its first use is a fifth of the demo's training step (docs/performance.md).
    glibc requests pages of 2 MiB if an environment variable says so, which it reads only when a
    process starts. Does nothing if the variable is set already, or the system has no such pages.
    """
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    if _HUGE_PAGES in tunables or not _huge_pages_on_request():
        return
    os.environ["GLIBC_TUNABLES"] = ":".join(filter(None, (tunables, f"{_HUGE_PAGES}=1")))
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def prepare() -> None:
    """Sets up the process; call it before anything else uses JAX."""
    retain_freed_memory()
    enable_compilation_cache()
    reduce_garbage_collection()
    silence_orbax_tracebacks()


def retain_freed_memory() -> None:
    """Makes glibc keep freed memory in the process, for the next step.

    XLA on a CPU allocates its working memory again in every step. By default glibc fetches large
    blocks from the system and returns them, so that every step touches new pages: a third of its
    time (docs/performance.md). The process keeps its peak memory. Does nothing with other C
    libraries.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        for parameter, value in _MALLOPT:
            libc.mallopt(parameter, value)


def enable_compilation_cache() -> None:
    """Enables JAX's cache of compiled programs on disk, so that the next start is fast.

    The cache is in `$XDG_CACHE_HOME/samjax` (`~/.cache/samjax`), with a folder for each kind of CPU
    since compiled code uses its instructions. `JAX_COMPILATION_CACHE_DIR` sets another folder, and
    `JAX_ENABLE_COMPILATION_CACHE=false` switches it off.
    """
    import jax  # Imported here: a program that restarts need not import it twice.

    if jax.config.values["jax_compilation_cache_dir"] is None:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(base / "samjax" / _cpu()))


def reduce_garbage_collection() -> None:
    """Makes Python collect cyclic garbage after 100,000 new objects, not after 700.

    Tracing the network creates millions of objects that stay; repeated collections took a third of
    its time.
    """
    gc.set_threshold(_COLLECT_AFTER, *gc.get_threshold()[1:])


def silence_orbax_tracebacks() -> None:
    """Silences tracebacks in Orbax's threads, whose errors also reach the program as an exception.

    If a disk is full, there would be one for every array.
    """
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _huge_pages_on_request() -> bool:
    """Whether the system provides huge pages on request, and glibc can request them."""
    name, version = platform.libc_ver()
    if name != "glibc" or tuple(map(int, version.split(".")[:2])) < (2, 35):
        return False
    return _HUGE_PAGES_ON.exists() and "[madvise]" in _HUGE_PAGES_ON.read_text()


def _cpu() -> str:
    """Returns a name for this kind of CPU, from its instruction set if Linux lists it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        known = next(line for line in lines if line.lower().startswith(("flags", "features")))
    except (OSError, StopIteration):
        known = platform.processor()
    return f"{platform.machine()}-{hashlib.sha256(known.encode()).hexdigest()[:12]}"
