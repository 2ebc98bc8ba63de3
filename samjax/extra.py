"""Imports optional libraries on use; the error for a missing one has its pip command."""

import importlib
from typing import Any


class MissingLibrary(ImportError):
    """A library of an extra is not installed."""


def require(name: str, extra: str) -> Any:
    """Imports a module of an extra.

    Args:
        name: The module.
        extra: The extra of samjax in pyproject.toml that installs it.

    Raises:
        MissingLibrary: It is not installed; the message has the pip command.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise MissingLibrary(
            f"{name} is needed for this and is not installed: pip install 'samjax[{extra}]'"
        ) from error
