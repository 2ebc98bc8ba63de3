"""Evaluation of semantic models: the class map against the masks of each class."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest
from small import random_params

from samjax import masks, models
from samjax.data import index, phantoms
from samjax.data.classes import class_names, label_map, with_colors
from samjax.data.files import DataError
from samjax.data.inputs import Preprocessing
from samjax.evaluation import class_report, evaluator, semantic
from samjax.evaluation.results import EvalConfig
from samjax.evaluation.run import evaluate_and_report
from samjax.models import HeadConfig
from samjax.models.directory import Model


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms")
    phantoms.write_phantoms(folder, phantoms.PhantomConfig(4, 4, size=48, seed=1))
    return folder


@pytest.fixture(scope="module")
def model(root):
    named = class_names(root, [*index.load_index(root, "train"), *index.load_index(root, "test")])
    classes = with_colors(sorted(set(named.values())))
    config = models.tiny(
        peft=models.PeftConfig("none"), head=HeadConfig("semantic", classes=len(classes))
    )
    return Model(config, Preprocessing(), random_params(config), classes)


def test_the_class_map_is_the_highest_of_the_restored_logits():
    rng = np.random.default_rng(0)
    logits = jnp.asarray(rng.normal(size=(5, 8, 8)), jnp.float32)
    placement = jnp.asarray([40, 30, 4, 0, 24, 32], jnp.int32)
    found = masks.class_map(logits, placement, 32, (48, 48))
    restored = masks.restore_logits(logits[None], placement[None], 32, (48, 48))[0]
    assert found.dtype == jnp.uint8
    np.testing.assert_array_equal(found[:40, :30], restored.argmax(0)[:40, :30])


def test_a_perfect_class_map_scores_one(root, model, monkeypatch):
    """Masks of one class share their score, and those of another class cost nothing."""
    number = {each.name: i for i, each in enumerate(model.classes, 1)}
    samples = index.load_index(root, "test")
    named = class_names(root, samples)

    def perfect(model, batch, predictions):
        maps = []
        for image in {id(image): image for image, _ in batch.masks}.values():
            labels = [number[named[path]] for path in image.sample.masks]
            maps.append(label_map(image.loaded.original_masks, labels)[0])
        return maps

    monkeypatch.setattr(semantic, "class_maps", perfect)
    evaluation = evaluator.evaluate(model, root, samples, progress=False)
    assert evaluation.config.protocols == ("classes",)
    first = [result.scores["classes"].dice for result in evaluation.results]
    assert max(first) == 1.0
    for result in evaluation.results:
        assert set(result.scores) == {"classes", "filled_box"}


def test_classes_by_image_are_counted_also_where_they_are_not(root, model, monkeypatch):
    """One class is shown everywhere, the others nowhere."""
    samples = index.load_index(root, "test")
    named = class_names(root, samples)
    shown = model.classes[0].name

    def everywhere(model, batch, predictions):
        images = {id(image): image for image, _ in batch.masks}.values()
        return [np.ones(each.loaded.original_masks.shape[1:], np.uint8) for each in images]

    monkeypatch.setattr(semantic, "class_maps", everywhere)
    evaluation = evaluator.evaluate(model, root, samples, progress=False)
    found = class_report.summarise(evaluation)
    having = [s for s in samples if shown in {named[mask] for mask in s.masks}]
    part = found["by_class"][shown]
    assert part["images"] == len(having)
    assert part["false_images"] == len(samples) - len(having)
    assert part["false_area"] == (1.0 if part["false_images"] else 0.0)
    assert set(found["by_class"]) == {shown, *named.values()}  # Both empty: left out.
    assert all(p["dice"] == 0 for name, p in found["by_class"].items() if name != shown)
    assert found["dice"] == pytest.approx(np.mean([p["dice"] for p in found["by_class"].values()]))


def test_a_report_from_start_to_end(root, model, tmp_path):
    samples = index.load_index(root, "test")
    written = evaluate_and_report(model, root, samples, tmp_path, EvalConfig(), "m", {})
    assert "No prompt" in written.table and not written.problems
    report = json.loads((tmp_path / "report.json").read_text())
    assert set(report["overall"]) == {"classes", "filled_box", "count", "subjects"}
    assert set(report["classes"]["by_class"]) <= {each.name for each in model.classes}
    assert "Shown wrongly in" in (tmp_path / "report.md").read_text()
    assert (tmp_path / "overlays/best.png").is_file()


def test_classes_that_the_model_lacks_are_named_or_skipped(root, model):
    samples = index.load_index(root, "test")
    absent = min(class_names(root, samples).values())
    known = tuple(each for each in model.classes if each.name != absent)
    head = HeadConfig("semantic", classes=len(known))
    config = dataclasses.replace(model.config, head=head)
    fewer = Model(config, model.preprocessing, random_params(config), known)
    with pytest.raises(DataError, match=rf"found masks of others: {absent} \(\d+\)"):
        evaluator.evaluate(fewer, root, samples, progress=False)
    config = EvalConfig(other_classes="skip")
    evaluation = evaluator.evaluate(fewer, root, samples, config, progress=False)
    assert absent not in {result.metadata.class_name for result in evaluation.results}
    left_out = list(class_names(root, samples).values()).count(absent)
    assert class_report.summarise(evaluation)["other_classes"] == {absent: left_out}
    stranger = dataclasses.replace(fewer, classes=with_colors([f"x{i}" for i in range(len(known))]))
    message = rf"masks of x0, .* found none, but masks of others: .*{absent} \({left_out}\)"
    with pytest.raises(DataError, match=message):
        evaluator.evaluate(stranger, root, samples, config, progress=False)


def test_prompts_for_a_semantic_model_and_classes_for_another(root, model):
    with pytest.raises(ValueError, match=r"protocols: expected classes .*, found 1pt"):
        evaluator.evaluate(model, root, config=EvalConfig(protocols=("1pt",)))
    config = models.tiny()
    other = Model(config, Preprocessing(), random_params(config))
    with pytest.raises(ValueError, match=r"protocols: expected prompts .*, found classes"):
        evaluator.evaluate(other, root, config=EvalConfig(protocols=("classes",)))
