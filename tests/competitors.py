"""Trivial competitors, in a module of their own because another process imports them."""

import importlib
import multiprocessing
import os
import sys
from pathlib import Path


def returning(value):
    return lambda: value


def writing(path, name):
    """Builds a run that appends its name to a file."""

    def run():
        with Path(path).open("a") as file:
            file.write(name)

    return run


def failing_build():
    raise ZeroDivisionError("while preparing")


def failing_run():
    def run():
        raise ZeroDivisionError("while running")

    return run


def exiting():
    return lambda: os._exit(3)


def environment():
    """Returns the environment variables and the start method of processes."""
    return dict(os.environ), multiprocessing.get_start_method(allow_none=True)


def loaded_with_the_published_code():
    """Returns those of JAX and the benchmark cases that importing the published code imports."""
    importlib.import_module("benchmarks.published")
    return {"jax", "benchmarks.cases"} & set(sys.modules)
