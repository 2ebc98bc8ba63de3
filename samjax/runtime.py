"""How a program that runs samjax sets up its process, to start and to step fast.

`train.py`, `eval.py` and `samjax` call `prepare` first. A program of your own may do the same.
"""

import ctypes
import gc
import hashlib
import logging
import os
import platform
import sys
from pathlib import Path

# M_MMAP_MAX: nothing comes straight from the system; M_TRIM_THRESHOLD: nothing goes back. The
# numbers are those of glibc's malloc.h. Threads keep arenas of their own: in a shared one they
# wait for each other, and after some hundred steps, for a search through all that lies about in it.
_MALLOPT = ((-4, 0), (-1, 2**31 - 1))
_COLLECT_AFTER = 100_000  # Objects.
_HUGE_PAGES = "glibc.malloc.hugetlb"  # Since glibc 2.35.
_HUGE_PAGES_ON = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def restart_with_huge_pages() -> None:
    """Starts this program anew with large memory pages; call first, and only from a program.

    XLA's threads take the working memory of every step from the system and give it back. In pages
    of 4 KiB its first use is a fifth of the demo's training step (docs/performance.md).
    glibc asks for pages of 2 MiB where an environment variable says so, which it reads only when
    a process starts. Does nothing where that is said already, or cannot be had.
    """
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    if _HUGE_PAGES in tunables or not _huge_pages_on_request():
        return
    os.environ["GLIBC_TUNABLES"] = ":".join(filter(None, (tunables, f"{_HUGE_PAGES}=1")))
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def prepare() -> None:
    """Sets up the process; call before anything else uses JAX."""
    retain_freed_memory()
    enable_compilation_cache()
    reduce_garbage_collection()
    silence_orbax_tracebacks()


def retain_freed_memory() -> None:
    """Makes freed memory stay with the process, for the next step to use.

    XLA on a CPU asks for its working memory anew in every step. By default glibc fetches large
    pieces from the system and gives them back, so that every step touches fresh pages: a third of
    its time (docs/performance.md). The process keeps the most that it ever needed. Other C
    libraries are left as they are.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        for parameter, value in _MALLOPT:
            libc.mallopt(parameter, value)


def enable_compilation_cache() -> None:
    """Makes JAX keep compiled programs on disk, so that the next start need not compile.

    In `$XDG_CACHE_HOME/samjax` (`~/.cache/samjax`), apart for each kind of CPU since compiled code
    uses its instructions. `JAX_COMPILATION_CACHE_DIR` names another place, and
    `JAX_ENABLE_COMPILATION_CACHE=false` switches it off.
    """
    import jax  # Not before: a program that starts anew need not import it twice.

    if jax.config.values["jax_compilation_cache_dir"] is None:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(base / "samjax" / _cpu()))


def reduce_garbage_collection() -> None:
    """Makes Python look for cyclic garbage after many new objects, no longer after 700.

    Tracing the network makes millions of objects that stay: looking through them again and again
    was a third of its time.
    """
    gc.set_threshold(_COLLECT_AFTER, *gc.get_threshold()[1:])


def silence_orbax_tracebacks() -> None:
    """Silences the tracebacks of Orbax's threads, which reach the program as an exception, too.

    Where a disk is full there is one for every array, after the one line that says so.
    """
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _huge_pages_on_request() -> bool:
    """Whether the system gives large pages to who asks, and glibc can ask."""
    name, version = platform.libc_ver()
    if name != "glibc" or tuple(map(int, version.split(".")[:2])) < (2, 35):
        return False
    return _HUGE_PAGES_ON.exists() and "[madvise]" in _HUGE_PAGES_ON.read_text()


def _cpu() -> str:
    """A name for this kind of CPU, by the instructions that it knows where Linux tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        known = next(line for line in lines if line.lower().startswith(("flags", "features")))
    except (OSError, StopIteration):
        known = platform.processor()
    return f"{platform.machine()}-{hashlib.sha256(known.encode()).hexdigest()[:12]}"
