"""Settings under earlier names are read, and typed ones are refused with the new name."""

import pytest

from samjax import renames
from samjax.renames import DROPPED, Rename
from samjax.training import config as training_config


@pytest.mark.parametrize(
    ("adapters", "kind", "expected"),
    [
        (True, "full", "sam_med2d"),
        (True, "light", "conv_bottleneck"),
        (False, "full", "none"),
        (False, "light", "none"),
    ],
)
def test_the_adapters_of_format_2(adapters, kind, expected):
    old = {"depth": 2, "adapters": adapters, "adapter_kind": kind}
    old |= {"adapter_ratio": 0.5, "adapter_init": "reference"}
    content = {"model": old, "run": {"seed": 1}}
    peft = {"kind": expected, "ratio": 0.5, "init": "kaiming"}
    assert renames.translate(content) == {"model": {"depth": 2, "peft": peft}, "run": {"seed": 1}}
    assert content["model"] is old and "adapters" in old
    assert renames.translate(renames.translate(content)) == renames.translate(content)


def test_from_before_there_was_a_choice_of_adapters():
    content = {"model": {"adapters": True, "adapter_ratio": 0.25, "adapter_init": "zero"}}
    assert renames.translate(content) == {"model": {"peft": {"ratio": 0.25, "init": "zero"}}}


def test_sections_fields_and_values_change_in_turn(monkeypatch):
    rows = (
        Rename("session", "prompting"),
        Rename("prompting.points", "prompting.clicks", {"new": "fresh", "old": DROPPED}),
        Rename("loss.reduction", "loss.reduction", {"batch": "all"}),
    )
    monkeypatch.setattr(renames, "RENAMES", rows)
    old = {"session": {"points": "new", "seed": 1}, "loss": {"reduction": "batch"}}
    new = {"prompting": {"clicks": "fresh", "seed": 1}, "loss": {"reduction": "all"}}
    assert renames.translate(old) == new
    assert renames.translate({"session": {"points": "old"}}) == {"prompting": {}}
    assert renames.translate({"session": {"points": ["?"]}}) == {"prompting": {"clicks": ["?"]}}
    assert renames.translate({"session": 3}) == {"prompting": 3}
    renames.check_names(["prompting.clicks", "loss.reduction", "sessions"])
    expected = r"session.points: expected its new name prompting.clicks \(new is now fresh\)"
    with pytest.raises(ValueError, match=expected):
        renames.check_names(["session.points"])
    with pytest.raises(ValueError, match=r"^session.seed: expected its new name prompting.seed$"):
        renames.check_names(["session.seed"])


def test_a_recipe_with_an_earlier_name_is_told_the_new_one():
    config = training_config.to_config_dict(training_config.Experiment())
    config.model.adapters = False
    with pytest.raises(ValueError, match=r"model.adapters: .* model.peft.kind \(False is now none"):
        training_config.from_config_dict(config)
