import shutil
import zipfile
from pathlib import Path

import pytest

ARTIFACTS = Path(__file__).with_name("artifacts")


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory) -> Path:
    """Returns a folder with all files of an earlier version. Tests must not write to it."""
    folder = tmp_path_factory.mktemp("artifacts")
    for packed in ARTIFACTS.glob("*.zip"):
        with zipfile.ZipFile(packed) as archive:
            archive.extractall(folder)
    return folder


@pytest.fixture
def old(unpacked, tmp_path, monkeypatch) -> Path:
    """Copies the files to a writable working directory, as their paths are relative to it."""
    copy = Path(shutil.copytree(unpacked, tmp_path / "old"))
    monkeypatch.chdir(copy)
    return copy
