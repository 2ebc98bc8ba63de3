"""What an installation brings: a wheel of one package, importable without the optional tools."""

import email
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import samjax

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
INFO = f"samjax-{samjax.__version__}.dist-info"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel of the project, built without isolation and so without a network."""
    pytest.importorskip("hatchling", reason="builds a wheel, needs hatchling (extra `test`)")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.iterdir()
    with zipfile.ZipFile(path) as archive:
        yield archive


def text(wheel, name):
    return wheel.read(f"{INFO}/{name}").decode()


def test_wheel_installs_samjax_and_nothing_with_a_generic_name(wheel):
    assert {name.split("/")[0] for name in wheel.namelist()} == {"samjax", INFO}


def test_wheel_holds_every_module_and_no_other_file(wheel):
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / "samjax").rglob("*.py")}
    assert {name for name in wheel.namelist() if not name.startswith(INFO)} == files


def test_wheel_brings_the_console_script_and_the_licence(wheel):
    assert "samjax = samjax.cli:main" in text(wheel, "entry_points.txt").splitlines()
    assert text(wheel, "licenses/LICENSE") == (ROOT / "LICENSE").read_text()
    about = email.message_from_string(text(wheel, "METADATA"))
    assert (about["Version"], about["License-Expression"]) == (samjax.__version__, "Apache-2.0")


def test_no_build_of_opencv_that_needs_a_display_and_no_tensorflow():
    names = " ".join(PROJECT["dependencies"])
    assert "opencv-python-headless" in names
    assert "opencv-python>" not in names
    assert "tensorflow>" not in names


@pytest.mark.parametrize(
    "module",
    ["samjax", "samjax.training.loop", "samjax.evaluation", "samjax.inference", "samjax.cli"],
)
def test_imports_without_optional_packages(module):
    # None in sys.modules is how Python marks a package that cannot be imported. tensorboardX tries
    # torch by itself and goes on without, so that "never imported" could not be asked of it.
    absent = ["torch", "transformers", "tensorflow", "matplotlib"]
    program = f"import sys; sys.modules.update(dict.fromkeys({absent})); import {module}"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
