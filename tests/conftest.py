"""Shared set-up: eight virtual devices, exact matrix products, paths of fixtures and data."""

import gc
import logging
import os
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Compile fast: compiled programs run only for milliseconds here.
os.environ["XLA_FLAGS"] = " ".join(
    [
        os.environ.get("XLA_FLAGS", ""),
        "--xla_force_host_platform_device_count=8",
        "--xla_backend_optimization_level=0",
        "--xla_llvm_disable_expensive_passes=true",
        # Later versions lack this option: there, compiling takes three times as long.
        *(["--xla_cpu_use_fusion_emitters=false"] if version("jaxlib") < "0.11" else []),
    ]
)
# All workers and the commands that they start share compiled programs.
# SAMJAX_TESTS_COMPILED names a folder that keeps them for later runs.
os.environ["SAMJAX_TESTS_COMPILED"] = os.environ.get("SAMJAX_TESTS_COMPILED") or tempfile.mkdtemp(
    prefix="samjax-tests-"
)
os.environ["JAX_COMPILATION_CACHE_DIR"] = os.environ["SAMJAX_TESTS_COMPILED"]

import jax
import jaxtyping
import pytest
from absl import flags

from benchmarks import memory

# Every compiled program stays mapped while it is kept. Linux ends a process with more than 65,530
# mappings (`vm.max_map_count`) by a segmentation fault in the next compilation.
MOST_MAPPINGS = 30_000
HIGHEST = pytest.StashKey[int]()

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"


def pytest_configure(config):
    flags.FLAGS.mark_as_parsed()  # Grain reads absl flags.
    jax.config.update("jax_default_matmul_precision", "highest")


def pytest_collection_finish():
    """Keeps what is imported by now out of later collections, most of whose time it takes."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish(session):
    highest = session.config.stash.get(HIGHEST, 0)
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["mappings"] = highest
    elif highest > MOST_MAPPINGS:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    _note_mappings(node.config, getattr(node, "workeroutput", {}).get("mappings", 0))


def pytest_terminal_summary(terminalreporter, config):
    highest = config.stash.get(HIGHEST, 0)
    verdict = "within" if highest <= MOST_MAPPINGS else "ERROR: more than"
    terminalreporter.write_line(
        f"highest number of memory mappings: {highest:,}, {verdict} the bound of {MOST_MAPPINGS:,}"
    )


def pytest_unconfigure(config):
    compiled = Path(os.environ["SAMJAX_TESTS_COMPILED"])
    if compiled.name.startswith("samjax-tests-") and not hasattr(config, "workerinput"):
        shutil.rmtree(compiled, ignore_errors=True)


@pytest.fixture(scope="module", autouse=True)
def _drop_programs(request):
    """Drops compiled programs after each test module."""
    yield
    _note_mappings(request.config, memory.mappings() or 0)
    jax.clear_caches()
    gc.collect()


@pytest.fixture(autouse=True)
def _logs_as_in_a_library():
    """Undoes what a command, run before in this process, does to the logs."""
    log = logging.getLogger("samjax")
    log.handlers.clear()
    log.propagate = True
    log.setLevel(logging.NOTSET)


def _note_mappings(config, count):
    config.stash[HIGHEST] = max(config.stash.get(HIGHEST, 0), count)


def _existing(path: Path, content: str) -> Path:
    if not path.is_dir():
        pytest.skip(f"needs {content} in {path}")
    return path


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """Returns the folder with outputs of the published PyTorch code."""
    path = Path(os.environ.get("SAMJAX_FIXTURES", SHARED / "fixtures/sam_med2d_tiny"))
    return _existing(path, "the outputs of the published code (SAMJAX_FIXTURES)")


@pytest.fixture(scope="session")
def method_fixtures() -> Path:
    """Returns the folder with outputs of other methods' published code."""
    path = Path(os.environ.get("SAMJAX_METHOD_FIXTURES", SHARED / "fixtures/methods"))
    return _existing(path, "the outputs of other methods (SAMJAX_METHOD_FIXTURES)")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Returns the folder of real medical images."""
    return _existing(SHARED / "data/samed2d_mini", "the real images")


@pytest.fixture
def unchecked():
    """Disables the checks of types and shapes in signatures, which only tests have."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
