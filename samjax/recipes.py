"""Loads recipes by name or file: those of `configs/`, which are in the wheel, or the user's."""

import difflib
import importlib.util
import inspect
import runpy
import sys
from pathlib import Path
from typing import Any

import ml_collections

_PACKAGE = Path(__file__).parent
_IN_WHEEL = _PACKAGE / "_recipes"
FOLDER = _IN_WHEEL if _IN_WHEEL.is_dir() else _PACKAGE.parent / "configs"


def load(recipe: str) -> ml_collections.ConfigDict:
    """Loads a recipe, with its fields locked.

    Args:
        recipe: Name of a file of `configs/` such as `demo`, or path of a Python file with a
            function `get_config`; after a colon its argument, such as `general:fine`.

    Raises:
        ValueError: There is no such recipe; the message lists the known ones.
    """
    return call(recipe, "get_config").lock()


def name_of(recipe: str) -> str:
    """Returns the name of a recipe, without folder, suffix and argument."""
    return Path(recipe.partition(":")[0]).stem


def call(recipe: str, function: str) -> Any:
    """Calls a function of a recipe's file, with the argument after the colon if any, see `load`."""
    name, _, argument = recipe.partition(":")
    path = Path(name) if name.endswith(".py") else FOLDER / f"{name}.py"
    if not path.is_file():
        if path == Path(name):
            raise ValueError(f"{name}: no such file")
        known = sorted(p.stem for p in FOLDER.glob("*.py") if f"def {function}(" in p.read_text())
        near = difflib.get_close_matches(name_of(name), known, n=1)
        raise ValueError(
            f"{name}: expected a Python file or one of {', '.join(known)}, found another name"
            + "".join(f"; perhaps {one}" for one in near)
        )
    _provide_configs()
    found = runpy.run_path(str(path)).get(function)
    if found is None:
        raise ValueError(f"{path}: expected a function {function}, found none")
    if argument and not inspect.signature(found).parameters:
        raise ValueError(f"{recipe}: expected no argument, found {argument!r}")
    return found(argument) if argument else found()


def _provide_configs() -> None:
    """Makes `from configs import sam_med2d` work in recipes, in a clone and in the wheel."""
    if "configs" not in sys.modules:
        file = FOLDER / "__init__.py"
        spec = importlib.util.spec_from_file_location(
            "configs", file, submodule_search_locations=[str(FOLDER)]
        )
        assert spec and spec.loader
        sys.modules["configs"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["configs"])
