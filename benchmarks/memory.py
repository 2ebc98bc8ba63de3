"""The memory that this process takes: of its GPU if it uses one, else of the machine."""

import sys
from pathlib import Path


def reset_peak() -> None:
    """Forgets what loading and compiling took, where that is possible (not JAX on a GPU)."""
    if _torch_on_gpu():
        sys.modules["torch"].cuda.reset_peak_memory_stats()
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:  # Only Linux has it, and not everywhere.
        return


def peak_bytes() -> int | None:
    """Returns the peak since the reset, or None where it cannot be known."""
    if _torch_on_gpu():
        return int(sys.modules["torch"].cuda.max_memory_allocated())
    if "jax" in sys.modules:
        stats = sys.modules["jax"].local_devices()[0].memory_stats()
        if stats:  # A CPU has none.
            return int(stats["peak_bytes_in_use"])
    return _status("VmHWM")


def resident_bytes() -> int | None:
    """Returns what the process has in the machine's memory now, or None where it is not told."""
    return _status("VmRSS")


def mappings() -> int | None:
    """Returns the number of memory mappings, or None where it is not told (Linux alone does)."""
    try:
        return Path("/proc/self/maps").read_bytes().count(b"\n")
    except OSError:
        return None


def _status(name: str) -> int | None:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    found = [line.split()[1] for line in status.splitlines() if line.startswith(name)]
    return int(found[0]) * 1024 if found else None


def _torch_on_gpu() -> bool:
    return "torch" in sys.modules and sys.modules["torch"].cuda.is_initialized()
