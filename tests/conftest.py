"""Shared set-up: eight virtual devices, exact matrix products, where fixtures and data lie."""

import os
import shutil
import tempfile
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# What is compiled here runs for milliseconds: compile it fast.
os.environ["XLA_FLAGS"] = " ".join(
    [
        os.environ.get("XLA_FLAGS", ""),
        "--xla_force_host_platform_device_count=8",
        "--xla_backend_optimization_level=0",
        "--xla_llvm_disable_expensive_passes=true",
    ]
)
# Programs of all workers and of the commands they start are compiled once.
# SAMJAX_TESTS_COMPILED names a folder that keeps them for the next run, too.
KEPT = "SAMJAX_TESTS_COMPILED" in os.environ
if not KEPT:
    os.environ["SAMJAX_TESTS_COMPILED"] = tempfile.mkdtemp(prefix="samjax-tests-")
COMPILED = os.environ["SAMJAX_TESTS_COMPILED"]
os.environ["JAX_COMPILATION_CACHE_DIR"] = COMPILED

import jax
import pytest
from absl import flags

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"


def pytest_configure(config):
    flags.FLAGS.mark_as_parsed()  # Grain reads absl flags.
    jax.config.update("jax_default_matmul_precision", "highest")


def pytest_unconfigure(config):
    if not KEPT:
        shutil.rmtree(COMPILED, ignore_errors=True)


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """Outputs of the published PyTorch code."""
    path = Path(os.environ.get("SAMJAX_FIXTURES", SHARED / "fixtures/sam_med2d_tiny"))
    if not path.is_dir():
        pytest.skip(f"needs the outputs of the published code in {path} (SAMJAX_FIXTURES)")
    return path


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Real medical images."""
    path = SHARED / "data/samed2d_mini"
    if not path.is_dir():
        pytest.skip(f"needs the real images in {path}")
    return path
