"""Summary of a run, and the estimate of its duration."""

import dataclasses

import numpy as np
import pytest

from samjax.data.index import Sample
from samjax.training import summary
from samjax.training.config import Experiment
from samjax.training.optim import OptimConfig
from samjax.training.sharding import MeshConfig

PLAIN = Experiment()
FASTER = dataclasses.replace(PLAIN, optim=OptimConfig(learning_rate=0.5))


def one_line(text):
    return " ".join(text.split())


def test_what_differs_from_the_recipe():
    recipe = summary.RecipeFile("mine", FASTER)
    now = dataclasses.replace(FASTER, init_from="x.pth", mesh=MeshConfig(process_count=2))
    assert one_line(summary.settings(now, recipe)) == (
        "recipe mine (fields that are not the defaults: 1); differing from it: "
        "init_from='x.pth' (not '')"
    )
    assert summary.settings(FASTER, recipe).endswith("; nothing differs from it")


def test_without_a_recipe():
    assert one_line(summary.settings(FASTER, None)) == (
        "recipe none; differing from the defaults: optim.learning_rate=0.5 (not 0.0001)"
    )
    assert summary.settings(PLAIN, None).endswith("; nothing differs from the defaults")


def test_long_lists_are_wrapped():
    now = dataclasses.replace(
        FASTER, init_from="x" * 60, init_family="lite_medsam", preprocessing_from="checkpoint"
    )
    lines = summary.settings(now, None).splitlines()
    assert len(lines) > 1
    assert max(map(len, lines)) <= 100
    assert all(line.startswith(" " * 12) for line in lines[1:])


def test_data():
    one = Sample("a.png", ("a1.png", "a2.png"), "d", "1")
    two, three = (Sample(f"{name}.png", (f"{name}1.png",), "d", "2") for name in "bc")
    assert one_line(summary.data("DATA", [one, two, three], [])) == (
        "data DATA: 3 images, 4 masks of 2 subjects to train on; no validation"
    )
    assert "; 1 images, 2 masks of 1 subjects to validate on" in one_line(
        summary.data("DATA", [two], [one])
    )


def test_devices():
    assert one_line(summary.devices("cpu", 1, MeshConfig())) == (
        "devices 1 x cpu; mesh data 1 x model 1, replicated"
    )
    cut = MeshConfig(model=2, rules="fsdp", process_count=4)
    assert one_line(summary.devices("NVIDIA H100", 8, cut)) == (
        "devices 8 x NVIDIA H100 of 4 processes; mesh data 4 x model 2, fsdp"
    )


def test_parameters():
    names = {"constant": 9, "encoder": 2000, "adapter": 30, "decoder": 4, "points": 5}
    groups = {name: {"w": np.zeros(count)} for name, count in names.items()}
    assert one_line(summary.parameters(groups, ("adapter", "decoder"), ("decoder",))) == (
        "parameters 34 of 2,039 learn; in every update: decoder 4; in the first update: adapter 30"
    )
    assert one_line(summary.parameters(groups, ("decoder",), ("decoder",))) == (
        "parameters 4 of 2,039 learn; in every update: decoder 4"
    )
    groups["decoder"]["head"] = np.zeros(3)
    assert one_line(summary.parameters(groups, ("decoder",), ("decoder",), "head")) == (
        "parameters 4 of 2,042 learn; in every update: decoder 4"
    )


def test_length():
    assert [one_line(line) for line in summary.length(600, 50, 16).splitlines()] == [
        "steps 600 of 16 images; 12 epochs of 50",
        "time estimated after step 5",
    ]
    steps, time = summary.length(1000, 400, 16, done=996).splitlines()
    assert steps.endswith("2.5 epochs of 400; 996 are done")
    assert time.endswith("too few steps for an estimate")


def test_the_time_is_told_once():
    """The first step compiles: it does not count."""
    timer = summary.Timer(total=1005, done=0)
    told = [timer.estimate(step, now) for step, now in enumerate([90, 91, 92, 93, 98, 99, 100], 1)]
    assert [one_line(text) for text in told if text] == [
        "time about 33 min for the 1,000 steps to come, at 2 s each; validation, pictures and the "
        "report take their own"
    ]
    assert told[4]


@pytest.mark.parametrize(("total", "done"), [(5, 0), (3, 0), (100, 96)])
def test_too_few_steps_have_no_estimate(total, done):
    timer = summary.Timer(total, done)
    assert not any(timer.estimate(step, float(step)) for step in range(done + 1, total + 1))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (5.4, "5 s"),
        (59.9, "1 min"),
        (90 * 60, "1 h 30 min"),
        (24 * 3600, "1 d 0 h"),
        (100_000, "1 d 4 h"),
    ],
)
def test_durations(seconds, text):
    assert summary.duration(seconds) == text
