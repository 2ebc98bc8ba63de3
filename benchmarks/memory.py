"""Memory of this process: GPU memory if it uses a GPU, else main memory."""

import sys
from pathlib import Path


def reset_peak() -> None:
    """Resets the peak, so that loading and compiling do not count (impossible for JAX on a GPU)."""
    if _torch_on_gpu():
        sys.modules["torch"].cuda.reset_peak_memory_stats()
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:  # Only on Linux, and not on every system.
        return


def peak_bytes() -> int | None:
    """Returns the peak since the reset in bytes, or None if it is unknown."""
    if _torch_on_gpu():
        return int(sys.modules["torch"].cuda.max_memory_allocated())
    if "jax" in sys.modules:
        stats = sys.modules["jax"].local_devices()[0].memory_stats()
        if stats:  # A CPU has none.
            return int(stats["peak_bytes_in_use"])
    return _status("VmHWM")


def resident_bytes() -> int | None:
    """Returns the resident main memory of the process in bytes, or None if it is unknown."""
    return _status("VmRSS")


def mappings() -> int | None:
    """Returns the number of memory mappings, or None if it is unknown (not on Linux)."""
    try:
        return Path("/proc/self/maps").read_bytes().count(b"\n")
    except OSError:
        return None


def _status(name: str) -> int | None:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    values = [line.split()[1] for line in status.splitlines() if line.startswith(name)]
    return int(values[0]) * 1024 if values else None


def _torch_on_gpu() -> bool:
    return "torch" in sys.modules and sys.modules["torch"].cuda.is_initialized()
