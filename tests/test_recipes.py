"""The recipes that users start from."""

import dataclasses
import importlib
import re

import jax
import pytest
from flax.traverse_util import flatten_dict

from samjax import models
from samjax.comparison import Method
from samjax.training import config as training_config

KEY = jax.random.key(0)
NAMES = ["demo", "reference", "sam_med2d", "ft_sam", "full", "medsam", "medsam_v0"]
NAMES += ["msa", "reference_msa"]
NAMES += ["samed", "reference_samed", "autosam", "class_prompts"]


def recipe(name):
    return training_config.from_config_dict(importlib.import_module(f"configs.{name}").get_config())


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_is_one_that_can_work(name):
    assert isinstance(recipe(name), training_config.Experiment)
    recipe(name).check_validation()


@pytest.mark.parametrize(
    ("stage", "millions"),
    [("coarse", (3, 4)), ("fine", (3, 4)), ("dense", (3, 4)), ("large", (9, 10))],
)
def test_the_general_model_is_made_from_nothing(stage, millions):
    found = training_config.from_config_dict(
        importlib.import_module("configs.general").get_config(stage)
    )
    assert found.trainable.encoder == "full"
    count = models.count_parameters(found.model)
    assert millions[0] < count / 1e6 < millions[1]


@pytest.mark.parametrize("name", ["comparison", "comparison_mini"])
def test_a_comparison_compares_what_its_titles_say(name):
    """Every ablation differs from ours in just the fields that it is about."""
    comparison = importlib.import_module(f"configs.{name}").get_comparison()
    base = {one.method: one.base for one in comparison.ablations} | {"held_out": "sam_med2d"}
    about = {
        "adapter_init": {"model.peft.init"},
        "reduction": {"loss.reduction"},
        "selection": {"loss.selection"},
        "points_new": {"prompting.points"},
        "prompts_first": {"trainable.prompt_encoder"},
        "updates_1": {"prompting.iterations", "run.steps", "run.epochs"},
        "light": {"model.peft.kind"},
        "full": {"model.peft.kind", "model.peft.init"},
        "uniform": {"data.balance"},
        "by_dataset": {"data.balance"},
        "held_out": {"data.leave_out"},
    }
    for method, fields in about.items():
        if method in {"light", "full"} - comparison.methods.keys():
            continue  # Ours itself.
        ours, other = (flat(comparison.methods[name]) for name in (base[method], method))
        changed = {field for field in ours if ours[field] != other[field]}
        assert changed <= fields, method
        assert len(changed) >= min(len(fields), 1) or (method, name) == ("held_out", "comparison")


def flat(value):
    """Fields of a configuration, or of a method's last stage, by dotted name."""
    whole = value.stages[-1].experiment if isinstance(value, Method) else value
    return flatten_dict(dataclasses.asdict(whole), sep=".")


def test_the_default_is_what_is_right():
    """`sam_med2d` takes every section's own defaults; `reference` says what it does otherwise."""
    plain = training_config.Experiment()
    ours, published = recipe("sam_med2d"), recipe("reference")
    for section in ("model", "preprocessing", "prompting", "loss", "trainable", "optim"):
        assert getattr(ours, section) == getattr(plain, section)
        assert getattr(published, section) != getattr(plain, section)


@pytest.mark.parametrize(
    "name",
    ["reference", "sam_med2d", "ft_sam", "full", "medsam", "medsam_v0", "msa", "reference_msa"],
)
def test_the_network_is_vit_b_at_256(name):
    assert recipe(name).model.image_size == 256
    sizes = ("embed_dim", "depth", "num_heads", "global_attn_indexes")
    for field in sizes:
        assert getattr(recipe(name).model, field) == getattr(models.vit_b(), field)


def test_only_adapters_learn_in_an_encoder_unless_all_of_it_does():
    assert recipe("sam_med2d").trainable.encoder == "adapters"
    assert recipe("ft_sam").trainable.encoder == "frozen"
    assert not recipe("ft_sam").model.peft.enabled
    assert recipe("full").trainable.encoder == "full"


def test_samed_as_published_starts_anew_where_sam_has_no_such_shape():
    """Strict loading fails only after it has copied every tensor that fits."""
    fresh = recipe("reference_samed").init_fresh
    declared = models.shapes(models.tiny(head=models.HeadConfig("semantic", 8)))
    names = [name for name in declared if re.fullmatch(fresh, name)]
    parts = {name.split("/")[1] for name in names}
    hypernetworks = {f"output_hypernetworks_mlps_{number}" for number in range(4, 9)}
    assert parts == {"mask_tokens", "iou_prediction_head", *hypernetworks}
    assert len(names) == 1 + 2 + 6 * len(hypernetworks)


def test_methods_from_few_images_have_the_same_ones():
    comparison = importlib.import_module("configs.compare_few").get_comparison()
    stages = [stage for method in comparison.methods.values() for stage in method.stages]
    assert len(comparison.methods) == 6
    images = {(s.experiment.data.images, s.experiment.data.validation_fraction) for s in stages}
    left_out = {frozenset(s.experiment.data.leave_out) for s in stages}
    assert images == {(20, 0.2)} and len(left_out) == 1
    assert {s.experiment.optim.learning_rate for s in stages} == {2e-3}
