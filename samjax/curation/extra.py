"""Libraries that only curation needs: imported when used, with a word on how to get them."""

import importlib
from typing import Any


class MissingLibrary(ImportError):
    """A library of an extra is not installed."""


def require(name: str, extra: str = "data") -> Any:
    """Imports a module of an extra.

    Raises:
        MissingLibrary: It is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise MissingLibrary(
            f"{name} is needed for this and is not installed: pip install 'samjax[{extra}]'"
        ) from error
