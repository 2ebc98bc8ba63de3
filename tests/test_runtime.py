"""Set-up of the process; each test runs in a process of its own."""

import os
import platform
import subprocess
import sys

import pytest

from samjax import runtime

FAULTS = """
import resource, sys
import numpy as np
from samjax import runtime
if sys.argv[1] == "kept":
    runtime.retain_freed_memory()
for _ in range(4):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(64 << 20, np.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
COMPILE = """
import jax, jax.numpy as jnp
from samjax import runtime
runtime.prepare()
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.jit(lambda x: jnp.sin(x) @ x)(jnp.ones((8, 8)))
"""


COLLECTIONS = """
import gc, sys
from samjax import runtime
if sys.argv[1] == "rarely":
    runtime.reduce_garbage_collection()
before = gc.get_stats()[0]["collections"]
kept = [[] for _ in range(50_000)]
print(gc.get_stats()[0]["collections"] - before)
"""


RESTART = """
import os, sys
from samjax import runtime
runtime.restart_with_huge_pages()
print(os.environ.get("GLIBC_TUNABLES"), sys.argv[1:])
"""


def run(program, *arguments, **environment):
    base = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(
        command, env=base | environment, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="sets up glibc's malloc")
def test_freed_memory_is_used_again():
    huge_pages = {"NUMPY_MADVISE_HUGEPAGE": "0"}
    assert int(run(FAULTS, "kept", **huge_pages)) < 100
    assert int(run(FAULTS, "not", **huge_pages)) > 1000


@pytest.mark.skipif(not runtime._huge_pages_on_request(), reason="no huge pages on request here")
def test_restarts_once_with_huge_pages_and_its_arguments():
    found = run(RESTART, "a b", "--c", GLIBC_TUNABLES="glibc.malloc.arena_test=2")
    expected = "glibc.malloc.arena_test=2:glibc.malloc.hugetlb=1"
    assert found == f"{expected} ['a b', '--c']\n"
    kept = "glibc.malloc.hugetlb=0"
    assert run(RESTART, GLIBC_TUNABLES=kept) == f"{kept} []\n"


@pytest.mark.parametrize("answer", ["[always] madvise never", "always madvise [never]", None])
def test_no_restart_where_huge_pages_are_not_available(answer, tmp_path, monkeypatch):
    told = tmp_path / "enabled"
    if answer:
        told.write_text(answer)
    monkeypatch.setattr(runtime, "_HUGE_PAGES_ON", told)
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("started anew"))
    runtime.restart_with_huge_pages()


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_compiled_programs_are_kept_in_the_cache_folder(tmp_path):
    run(COMPILE, XDG_CACHE_HOME=str(tmp_path))
    programs = {name for name in files(tmp_path) if "lambda" in name}
    assert programs and all(name.startswith("samjax/") for name in programs)


def test_a_folder_of_ones_own_and_switching_off(tmp_path):
    elsewhere = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    run(COMPILE, JAX_COMPILATION_CACHE_DIR=str(tmp_path / "mine"), **elsewhere)
    assert files(tmp_path / "mine")
    run(COMPILE, JAX_ENABLE_COMPILATION_CACHE="false", **elsewhere)
    assert not files(tmp_path / "cache")


def test_garbage_is_collected_rarely():
    assert int(run(COLLECTIONS, "rarely")) <= 1
    assert int(run(COLLECTIONS, "often")) > 10
