"""The most memory that this process takes: of its GPU if it uses one, else of the machine."""

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
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    found = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    return int(found[0]) * 1024 if found else None


def _torch_on_gpu() -> bool:
    return "torch" in sys.modules and sys.modules["torch"].cuda.is_initialized()
