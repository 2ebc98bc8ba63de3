"""A library that is not installed is named, with the pip command that brings it."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

from samjax import extra
from samjax.comparison import figures
from samjax.curation import beam, stats
from samjax.curation.formats import coco_masks, volumes
from samjax.curation.formats.dicom import file

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
PACKAGES = {"openjpeg": "pylibjpeg-openjpeg"}  # Where it is not the module's name.


def required():
    """Module and extra of every call of `extra.require` in the package."""
    for path in (ROOT / "samjax").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "extra.require":
                yield tuple(argument.value for argument in node.args)


def packages(name):
    """Packages of an extra, in lower case and with underscores, and of the extras within it."""
    for package in EXTRAS[name]:
        if within := re.match(r"samjax\[(.*)\]", package):
            for each in within[1].split(","):
                yield from packages(each)
        else:
            yield re.match(r"[\w-]+", package)[0].lower().replace("-", "_")


@pytest.mark.parametrize(("module", "name"), sorted(set(required())))
def test_the_extra_that_is_named_brings_the_library(module, name):
    top = module.partition(".")[0]
    assert PACKAGES.get(top, top).lower().replace("-", "_") in packages(name)


@pytest.mark.parametrize(
    ("module", "name", "use"),
    [
        ("matplotlib.figure", "comparison", figures.figure_class),
        ("matplotlib.figure", "data", lambda: stats.draw({}, Path("stats.png"))),
        ("nibabel", "data", lambda: volumes.load(Path("a.nii"))),
        ("SimpleITK", "data", lambda: volumes.load(Path("a.mha"))),
        ("pydicom", "data", lambda: file.read(Path("a.dcm"))),
        ("pycocotools.mask", "data", lambda: coco_masks.mask({"segmentation": [[0]]}, 1, 1, True)),
        ("apache_beam", "beam", lambda: beam.with_pipeline([], Path("scratch"))),
    ],
)
def test_a_library_that_is_missing_is_named_with_its_pip_command(monkeypatch, module, name, use):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(extra.MissingLibrary) as raised:
        use()
    expected = f"{module} is needed for this and is not installed: pip install 'samjax[{name}]'"
    assert str(raised.value) == expected
