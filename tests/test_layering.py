"""The layout: each layer of the package knows only the layers below it."""

import ast
import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = {  # A layer or module of samjax: what it may import of the others.
    "types": set(),
    "extra": set(),
    "fields": set(),
    "data": {"fields"},
    "masks": set(),
    "runtime": set(),
    "lock": set(),
    "digests": set(),
    "visualization": {"data"},
    "renames": set(),
    "signals": {"extra"},
    "curation": {"data", "visualization", "extra", "signals"},
    "models": {"array_files", "data", "digests", "fields", "masks", "renames", "types"},
    "prompting": {"fields", "types"},
    "losses": {"fields", "masks"},
    "tasks": {"fields", "losses", "masks", "models", "prompting", "types"},
    "array_files": {"types"},
    "conversion": {"data", "fields", "models", "types"},
    "inference": {"conversion", "data", "fields", "visualization", "masks", "models", "types"},
}
LAYERS["evaluation"] = set(LAYERS) - {"curation", "losses", "runtime", "tasks"}
LAYERS["training"] = set(LAYERS) - {"curation", "inference", "runtime"}
LAYERS["comparison"] = set(LAYERS) - {"curation"}
LAYERS["recipes"] = set()
LAYERS["cli"] = set(LAYERS)
LAYERS["__init__"] = set(LAYERS) - {"cli"}
FOREIGN = {  # Packages that only some layers may know.
    "torch": {"conversion"},
    "transformers": set(),
    "tensorflow": set(),
    "matplotlib": set(),  # As the next ones, asked for by `samjax.extra`.
    "tensorflow_datasets": {"data"},
    **{name: {"curation"} for name in ("nibabel", "pydicom", "SimpleITK", "apache_beam")},
    "jax": set(LAYERS) - {"curation", "data", "digests", "visualization", "signals", "lock"},
    "flax": set(LAYERS) - {"curation", "data", "digests", "visualization", "signals", "lock"},
}
MODULES = sorted((ROOT / "samjax").rglob("*.py"))


def layer_of(path: Path) -> str:
    return path.relative_to(ROOT / "samjax").parts[0].removesuffix(".py")


@functools.cache
def imports(path: Path) -> set[str]:
    """Dotted names of all that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_every_layer_is_in_the_table():
    assert {layer_of(path) for path in MODULES} == set(LAYERS)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_knows_only_the_layers_below_it(layer):
    for path in (path for path in MODULES if layer_of(path) == layer):
        ours = {name.split(".")[1] for name in imports(path) if name.startswith("samjax.")}
        beyond = (ours & set(LAYERS)) - LAYERS[layer] - {layer}
        assert not beyond, f"{path.relative_to(ROOT)} imports {beyond}"


@pytest.mark.parametrize("package", FOREIGN)
def test_only_some_layers_know_a_package(package):
    knowing = {
        layer_of(path)
        for path in MODULES
        if package in {name.split(".")[0] for name in imports(path)}
    }
    assert knowing <= FOREIGN[package]


def test_only_conversion_knows_the_names_of_torch_parameters():
    for path in MODULES:
        strings = [
            node.value
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        named = [value for value in strings if re.search(r"\w\.(weight|bias)\b", value)]
        assert not named or layer_of(path) == "conversion", f"{path.relative_to(ROOT)}: {named}"


def test_parameters_are_declared_and_not_told_apart_by_patterns_of_their_paths():
    """Except what a task leaves out, LoRA to merge, and advice on wrong shapes."""
    models = [path for path in MODULES if layer_of(path) == "models"]
    assert {path.stem for path in models if "re" in imports(path)} == {
        "groups",
        "merge_lora",
        "shape_check",
    }


def test_reading_and_preparing_data_does_without_jax():
    """Grain itself imports JAX, so the pipeline is left out."""
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in MODULES
        if layer_of(path) in ("curation", "data") and path.stem not in ("__init__", "pipeline")
    ]
    program = f"import sys, {', '.join(names)}; sys.exit('jax' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def test_no_file_names_a_folder_of_somebodys_machine():
    pattern = re.compile(r"(?<![\w.])/(?:work|tmp|root|home|opt|mnt|Users)/")
    kinds = {".py", ".md", ".toml", ".yaml", ".json", ".csv", ".gitignore", ""}
    folders = [ROOT / name for name in ("samjax", "configs", "convert", "tests", "docs", ".ci")]
    files = [*ROOT.iterdir(), *(path for folder in folders for path in folder.rglob("*"))]
    files = [path for path in files if path.is_file() and path.suffix in kinds]
    named = {path: pattern.findall(path.read_text()) for path in files if path.name != ".git"}
    assert not {path: found for path, found in named.items() if found}
