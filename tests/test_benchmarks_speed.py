"""The speed benchmark: competitors in turns, form of the results, errors."""

import dataclasses
import json
import os
import sys
from functools import partial

import competitors
import numpy as np
import pytest
import small

from benchmarks import harness, inputs, peak, published, pytorch, samjax_impl, speed, table
from samjax import runtime
from samjax.data.phantoms import PhantomConfig
from samjax.models import PeftConfig

SECONDS = {
    "ours": 2.0,
    "ours_default": 4.0,
    "highest": 12.0,
    "tf32": 6.0,
    "autocast": 8.0,
    "peak": 0.5,
}
COMPARED = ("encoder", "train_step", "prompt", "evaluation", "compile_s")


def test_competitors_give_their_results_and_the_seconds_of_every_repeat():
    builds = {name: partial(competitors.returning, name.upper()) for name in ("a", "b")}
    measured = harness.measure(builds, 2)
    assert {name: one.output for name, one in measured.items()} == {"a": "A", "b": "B"}
    for one in measured.values():
        assert len(one.seconds) == 2
        assert 0 < one.build_seconds <= one.start_seconds
        assert one.peak_bytes is None or one.peak_bytes > 0


def test_competitors_take_turns(tmp_path):
    path = tmp_path / "order"
    harness.measure({name: partial(competitors.writing, path, name) for name in "ab"}, 3)
    assert path.read_text() == "ab" + "ababab"  # A warm-up each, then the turns.


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (competitors.failing_build, "ZeroDivisionError: while preparing"),
        (competitors.failing_run, "ZeroDivisionError: while running"),
        (competitors.exiting, "its process ended with 3"),
    ],
)
def test_a_competitor_that_fails_is_named_with_its_traceback(build, message):
    with pytest.raises(RuntimeError, match="second: ") as caught:
        harness.measure({"first": partial(competitors.returning, 1), "second": build}, 1)
    assert message in str(caught.value)
    assert "first" not in str(caught.value)


def test_a_competitor_has_its_environment_and_the_default_start_method():
    build = partial(partial, competitors.environment)
    environment, start_method = harness.measure({"a": build}, 0, {"SAMJAX_X": "1"})["a"].output
    assert environment["SAMJAX_X"] == "1"
    assert environment["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"
    assert start_method is None
    assert "SAMJAX_X" not in os.environ


def test_the_published_code_imports_neither_jax_nor_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "__main__", speed)  # As `python -m benchmarks.speed` has it.
    assert harness.run_isolated(competitors.loaded_with_the_published_code) == set()


def test_a_function_runs_alone_in_another_process():
    assert harness.run_isolated(os.getpid) != os.getpid()


class Stub:
    """Stub of `harness.measure` that runs nothing."""

    def __init__(self, platform):
        flops_per_s = {"float32": 1e12, "bfloat16": 2e12}
        self.machine = {"platform": platform, "device": "x", "flops_per_s": flops_per_s}
        self.product = 4e11  # Slower than the earlier measurement.

    def __call__(self, builds, repeats, environment=None):
        return {name: self.measured(name, build, repeats) for name, build in builds.items()}

    def measured(self, name, build, repeats):
        if name == "isolated":
            output = self.machine if build.args[0].func is peak.measure else None
            return harness.Measurement((), 1.0, 1.0, None, output)
        seconds = SECONDS[name]
        # Our output differs from the peer's by a tenth of its scale.
        output = np.array([1.0, 2.0]) + 0.2 * (name == "ours")
        if name == "peak":
            output = self.product
        return harness.Measurement((seconds,) * repeats, seconds, 10 * seconds, 10**9, output)


@pytest.fixture
def measure(monkeypatch, tmp_path):
    """Runs the command with stubbed competitors and returns its JSON report."""
    checkout = tmp_path / "checkout"
    (checkout / "segment_anything").mkdir(parents=True)
    (checkout / "train.py").touch()
    phantoms = PhantomConfig(count_train=1, count_test=1, size=48)
    monkeypatch.setattr(speed, "PHANTOMS", phantoms)
    monkeypatch.setattr(pytorch, "missing_packages", lambda packages: [])

    def run(*flags, platform="cpu", reference=True):
        monkeypatch.setattr(harness, "measure", Stub(platform))
        path = tmp_path / "speed.json"
        peer = ["--reference", str(checkout)] if reference else []
        speed.main(["--json", str(path), "--repeats", "2", *peer, *flags])
        return json.loads(path.read_text())

    return run


def test_json_has_all_sections_with_both_sides(measure, capsys):
    report = measure()
    assert report.keys() >= {
        *COMPARED,
        "loader",
        "hugging_face",
        "machine",
        "dtype",
        "repeats",
        "versions",
    }
    compared = [report[name] for name in ("encoder", "train_step", "evaluation")]
    for row in (*compared, *report["hugging_face"].values()):
        assert (row["ours_s"], row["theirs_s"], row["ratio"]) == (2.0, 12.0, 6.0)
        assert row["runs"]["ours"] == {"seconds": [2.0, 2.0], "peak_bytes": 10**9}
        assert row["share_of_peak"] == pytest.approx(row["flops"] / 2.0 / 1e12)
        assert row["differ"] == pytest.approx(0.1)
    assert report["prompt"]["ours_s"] == pytest.approx(0.2)  # One of ten prompts.
    assert report["train_step"]["ours_default_s"] == 4.0
    starts = report["compile_s"]
    assert (starts["ours_s"], starts["cached_s"], starts["theirs_s"]) == (20.0, 20.0, 120.0)
    assert starts["split"]["cold"]["first_step_s"] == 18.0
    assert report["loader"]["times_as_fast"] == pytest.approx(128 / 0.5)
    table = capsys.readouterr().out
    assert all(f"\n{name}" in table for name in ("encoder", "first step, cold", "HF decoder"))


def test_json_without_a_checkout_has_ours_and_hugging_face(measure, capsys):
    report = measure(reference=False)
    for name in COMPARED:
        assert report[name]["ours_s"] > 0
        assert report[name]["theirs_s"] is None
        assert report[name]["ratio"] is None
    assert report["hugging_face"]["encoder"]["ratio"] == 6.0
    assert "needs --reference" in capsys.readouterr().out


def test_without_a_package_its_section_has_only_ours(measure, monkeypatch, capsys):
    monkeypatch.setattr(
        pytorch,
        "missing_packages",
        lambda packages: ["scikit-image"] if "skimage" in packages else [],
    )
    report = measure("--only", "encoder,evaluation")
    assert report["encoder"]["ratio"] == 6.0
    assert report["evaluation"]["ratio"] is None
    assert "prompt" not in report
    assert "pip install scikit-image" in capsys.readouterr().out


def test_on_a_gpu_the_fastest_precision_of_the_peer_counts(measure):
    row = measure("--only", "encoder", "--dtype", "bfloat16", platform="gpu")["encoder"]
    assert (row["theirs_s"], row["theirs_precision"]) == (6.0, "tf32")
    assert row["runs"].keys() == {"ours", "peak", *pytorch.PRECISIONS}
    assert row["share_of_peak"] == pytest.approx(row["flops"] / 2.0 / 2e12)


def test_shares_use_the_fastest_product_measured():
    ours = harness.Measurement((2.0,), 0.0, 0.0, None, None)
    product = harness.Measurement((4.0, 1.0), 0.0, 0.0, None, 600)
    measured = {"ours": ours, "peak": product}
    assert table.row(measured, 1, 300, 500.0)["share_of_peak"] == pytest.approx(150 / 600)
    assert table.row(measured, 1, 300, 750.0)["share_of_peak"] == pytest.approx(150 / 750)


def test_a_missing_checkout_is_named(tmp_path, capsys):
    with pytest.raises(SystemExit):
        speed.main(["--reference", str(tmp_path / "nothing")])
    message = capsys.readouterr().err
    assert f"{tmp_path / 'nothing'}: expected a checkout of OpenGVLab/SAM-Med2D" in message
    with pytest.raises(FileNotFoundError, match="nothing"):
        published.checkout_at(str(tmp_path / "nothing"))


def test_an_unknown_case_is_named_with_the_known_ones(capsys):
    with pytest.raises(SystemExit):
        speed.main(["--only", "encoder,decoding"])
    message = capsys.readouterr().err
    assert "decoding" in message
    assert "train_step" in message


def test_missing_packages_have_their_pip_names(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert pytorch.missing_packages(("torch", "skimage")) == ["torch", "scikit-image"]


def test_results_of_different_shapes_are_an_error():
    with pytest.raises(ValueError, match=r"\(2,\), found \(3,\)"):
        table.relative_difference(np.zeros(3), np.ones(2))


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """A checkpoint of a tiny network in place of ViT-B."""
    size = small.TINY.image_size
    monkeypatch.setattr(inputs, "SIZE", size)
    network = dataclasses.replace(
        small.TINY, depth=1, global_attn_indexes=(0,), peft=PeftConfig("none"), decoder_heads=8
    )
    monkeypatch.setattr(samjax_impl, "VIT_B", network)
    monkeypatch.setattr(runtime, "prepare", lambda: None)
    path = str(tmp_path / "tiny.pth")
    samjax_impl.write_checkpoint(path)
    return path


@pytest.mark.heavy
def test_our_results_have_the_shape_of_the_peers(tiny):
    grid, side = samjax_impl.VIT_B.grid_size, samjax_impl.VIT_B.mask_size
    assert samjax_impl.encoder(tiny, "float32")().shape == (inputs.BATCH, grid, grid, 32)
    assert samjax_impl.prompt(tiny, "float32")().shape == (inputs.CLICKS, side, side)
    assert samjax_impl.decoder(tiny, "float32")().shape == (inputs.OBJECTS, 3, side, side)
