import shutil
import zipfile
from pathlib import Path

import pytest

ARTIFACTS = Path(__file__).with_name("artifacts")


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory) -> Path:
    """All that an earlier version wrote, in one folder. Not to be written to."""
    folder = tmp_path_factory.mktemp("artifacts")
    for packed in ARTIFACTS.glob("*.zip"):
        with zipfile.ZipFile(packed) as archive:
            archive.extractall(folder)
    return folder


@pytest.fixture
def old(unpacked, tmp_path, monkeypatch) -> Path:
    """A copy that may be written to, as the current folder: old files name each other from it."""
    copy = Path(shutil.copytree(unpacked, tmp_path / "old"))
    monkeypatch.chdir(copy)
    return copy
