"""How PyTorch is run: whether it is there, in which precision, until its device has finished."""

import importlib
import importlib.util
from collections.abc import Sequence
from typing import Any

from benchmarks.harness import Run

# The most exact first. TF32 and bfloat16 are a GPU's; on a CPU there is only the first.
PRECISIONS = ("highest", "tf32", "autocast")

# Names under which `pip install` knows packages, where it is not that of the import.
_PIP = {"albumentations": "albumentations==1.3.1", "skimage": "scikit-image"}


def lacking(packages: Sequence[str]) -> list[str]:
    """Those of the packages that are not installed, as `pip install` knows them."""
    return [_PIP.get(name, name) for name in packages if importlib.util.find_spec(name) is None]


def run_in(precision: str, device: str, run: Run) -> Run:
    """Wraps a run.

    Args:
        precision: `highest` (float32), `tf32` (its products in TF32) or `autocast` (what PyTorch
            deems safe in bfloat16, the rest in TF32).
        device: `cpu` or `cuda`.
        run: What to run.
    """
    torch = importlib.import_module("torch")
    torch.set_float32_matmul_precision("highest" if precision == "highest" else "high")
    torch.backends.cudnn.allow_tf32 = precision != "highest"

    def run_whole() -> Any:
        with torch.autocast(device, torch.bfloat16, enabled=precision == "autocast"):
            answer = run()
        if device == "cuda":
            torch.cuda.synchronize()
        return answer

    return run_whole
