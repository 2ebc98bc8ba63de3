"""What `samjax data check --fix` took out of a data folder: `prepare` does not put it back."""

import json
from collections.abc import Mapping
from pathlib import Path

from samjax.data import metadata
from samjax.data.files import write_whole

NAME = "left_out.json"


def read(target: Path) -> dict[str, str]:
    """Images and masks that were taken out, relative to the folder, and why.

    Raises:
        DataError: The list cannot be understood.
    """
    path = target / NAME
    return metadata.read_json(path) if path.exists() else {}


def add(target: Path, reasons: Mapping[str, str]) -> None:
    """Adds images and masks to the list; who wants one back deletes its line."""
    content = json.dumps({**read(target), **reasons}, indent=1, ensure_ascii=False)
    write_whole(target / NAME, content.encode())
