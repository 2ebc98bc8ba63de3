"""Helpers to run PyTorch: installed packages, precision, and synchronisation."""

import importlib
import importlib.util
from collections.abc import Sequence
from typing import Any

from benchmarks.harness import Run

# The most exact first. TF32 and bfloat16 are for GPUs; a CPU has only the first.
PRECISIONS = ("highest", "tf32", "autocast")

# Names for `pip install`, where they differ from the imported name.
_PIP = {"albumentations": "albumentations==1.3.1", "skimage": "scikit-image"}


def missing_packages(packages: Sequence[str]) -> list[str]:
    """Returns the packages that are not installed, by their names for `pip install`."""
    return [_PIP.get(name, name) for name in packages if importlib.util.find_spec(name) is None]


def run_in(precision: str, device: str, run: Run) -> Run:
    """Wraps a run to use a precision and to wait for the device.

    Args:
        precision: `highest` (float32), `tf32` (its products in TF32) or `autocast`
            (operations that PyTorch considers safe in bfloat16, the rest in TF32).
        device: `cpu` or `cuda`.
        run: The function to wrap.
    """
    torch = importlib.import_module("torch")
    torch.set_float32_matmul_precision("highest" if precision == "highest" else "high")
    torch.backends.cudnn.allow_tf32 = precision != "highest"

    def run_whole() -> Any:
        with torch.autocast(device, torch.bfloat16, enabled=precision == "autocast"):
            output = run()
        if device == "cuda":
            torch.cuda.synchronize()
        return output

    return run_whole
