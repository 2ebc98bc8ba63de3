"""The names that `import samjax` offers: listed, documented, and imported when they are used."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import samjax
from samjax.evaluation import evaluator, support
from samjax.training import config as training_config

HEAVY = {"jax", "flax", "optax", "orbax", "grain", "ml_collections", "cv2", "numpy"}


def test_dir_lists_the_public_names():
    assert dir(samjax) == sorted(samjax.__all__)
    assert {"train", "evaluate", "load", "segment", "Predictor", "models"} <= {*dir(samjax)}


@pytest.mark.parametrize("name", sorted(set(samjax.__all__) - {"__version__"}))
def test_every_public_name_is_there_and_says_what_it_does(name):
    value = getattr(samjax, name)
    doc = inspect.getdoc(value)
    assert doc and doc.splitlines()[0].endswith((".", ":", ")"))
    if inspect.isfunction(value):
        told = doc.partition("Args:")[2]
        missing = [each for each in inspect.signature(value).parameters if f"{each}: " not in told]
        assert not missing


def test_type_checkers_are_shown_the_same_names():
    tree = ast.parse(Path(samjax.__file__).read_text())
    shown = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("samjax"):
            for alias in node.names:
                shown[alias.asname or alias.name] = (node.module, alias.name)
    assert shown.keys() == set(samjax.__all__) - {"__version__"}
    for name, (module, there) in shown.items():
        assert getattr(importlib.import_module(module), there) is getattr(samjax, name)


def test_importing_and_listing_loads_nothing_heavy():
    program = "import samjax, sys; dir(samjax); print(*(m.split('.')[0] for m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert not HEAVY & set(done.stdout.split())


def test_another_name_is_an_error():
    with pytest.raises(AttributeError, match="has no attribute 'no_such_name'"):
        samjax.no_such_name  # noqa: B018


def test_train_takes_a_recipe_or_an_experiment(tmp_path):
    settings = samjax.Experiment()
    for given in (settings, training_config.to_config_dict(settings)):
        with pytest.raises(ValueError, match=r"validation\.every: expected 0 where"):
            samjax.train(given, tmp_path / "run")


def test_evaluate_takes_the_test_split_and_the_papers_protocols_by_default(
    unchecked, monkeypatch, tmp_path
):
    seen = {}

    def stop(root, samples):
        seen.update(samples=samples)
        raise InterruptedError

    monkeypatch.setattr(
        support,
        "supported_protocols",
        lambda _, config: (seen.update(config=config) or config, ()),
    )
    monkeypatch.setattr(evaluator, "on_device", lambda model: model)
    monkeypatch.setattr(evaluator.index, "load_index", lambda root, split: [split])
    monkeypatch.setattr(evaluator.index, "load_metadata", stop)
    with pytest.raises(InterruptedError):
        samjax.evaluate(None, tmp_path)
    assert seen == {"config": samjax.EvalConfig(), "samples": ["test"]}
