"""The list of files that `samjax data check --fix` left out; `prepare` leaves them out, too."""

import json
from collections.abc import Mapping
from pathlib import Path

from samjax.data import metadata
from samjax.data.files import write_whole

NAME = "left_out.json"


def read(target: Path) -> dict[str, str]:
    """Returns the listed images and masks, relative to the folder, with reasons.

    Raises:
        DataError: The list cannot be read.
    """
    path = target / NAME
    return metadata.read_json(path) if path.exists() else {}


def add(target: Path, reasons: Mapping[str, str]) -> None:
    """Adds images and masks to the list; deleting a line includes its file again."""
    content = json.dumps({**read(target), **reasons}, indent=1, ensure_ascii=False)
    write_whole(target / NAME, content.encode())
