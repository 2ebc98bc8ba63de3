"""What an installation brings: a wheel of one package, importable without the optional tools."""

import email
import os
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
def wheel_file(tmp_path_factory):
    """The path of a wheel of the project, built without isolation and so without a network."""
    pytest.importorskip("hatchling", reason="builds a wheel, needs hatchling (extra `test`)")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.iterdir()
    return path


@pytest.fixture
def wheel(wheel_file):
    """The wheel, opened."""
    with zipfile.ZipFile(wheel_file) as archive:
        yield archive


def text(wheel, name):
    return wheel.read(f"{INFO}/{name}").decode()


def test_wheel_installs_samjax_and_nothing_with_a_generic_name(wheel):
    assert {name.split("/")[0] for name in wheel.namelist()} == {"samjax", INFO}


def test_wheel_holds_every_module_and_style_and_no_other_file(wheel):
    found = [path for kind in ("*.py", "*.css") for path in (ROOT / "samjax").rglob(kind)]
    files = {path.relative_to(ROOT).as_posix() for path in found}
    files |= {f"samjax/_recipes/{path.name}" for path in (ROOT / "configs").glob("*.py")}
    assert {name for name in wheel.namelist() if not name.startswith(INFO)} == files


def test_wheel_brings_the_console_script_and_the_licence(wheel):
    assert "samjax = samjax.cli:main" in text(wheel, "entry_points.txt").splitlines()
    assert text(wheel, "licenses/LICENSE") == (ROOT / "LICENSE").read_text()
    about = email.message_from_string(text(wheel, "METADATA"))
    assert (about["Version"], about["License-Expression"]) == (samjax.__version__, "Apache-2.0")


@pytest.mark.heavy
def test_a_wheel_trains_in_an_empty_folder(wheel_file, tmp_path):
    home, folder = tmp_path / "home", tmp_path / "empty"
    folder.mkdir()
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target"]
    subprocess.run([*install, str(home), str(wheel_file)], check=True, capture_output=True)
    environment = os.environ | {"PYTHONPATH": str(home), "JAX_PLATFORMS": "cpu"}
    small = ["--config.run.steps=2", "--config.phantoms.count_train=16"]
    small += ["--config.phantoms.count_test=2", "--config.phantoms.size=64"]
    command = [sys.executable, str(home / "bin/samjax"), "train", "demo", *small]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Report: runs/demo/report" in done.stdout
    assert (folder / "runs/demo/last/config.json").is_file()
    assert (folder / "runs/demo/report/report.md").is_file()


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
