"""Contenders of no weight; they are here because a process of its own has to import them."""

import importlib
import multiprocessing
import os
import sys
from pathlib import Path


def answering(answer):
    return lambda: answer


def writing(path, name):
    """Adds its name to a file with every run."""

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


def dying():
    return lambda: os._exit(3)


def surroundings():
    """Environment variables, and how the process would start others."""
    return dict(os.environ), multiprocessing.get_start_method(allow_none=True)


def loaded_with_the_published_code():
    """Which of JAX and the command are there once its contenders can be built."""
    importlib.import_module("benchmarks.published")
    return {"jax", "benchmarks.cases"} & set(sys.modules)
