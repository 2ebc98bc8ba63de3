"""`samjax predict --auto`: flags, settings files, and what the command says."""

import dataclasses
import json

import cv2
import numpy as np
import pytest
import small

from samjax import cli
from samjax.cli import automatic_flags
from samjax.cli import predict as predict_command
from samjax.cli.parser import Parser
from samjax.data.classes import SemanticClass
from samjax.data.inputs import Preprocessing
from samjax.inference import AutomaticConfig, automatic_config
from samjax.models import HeadConfig, directory

ALL = ["--points-per-side", "2", "--pred-iou-thresh", "0", "--stability-score-thresh", "0"]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Model directories: one that takes points, and a semantic one."""
    folder = tmp_path_factory.mktemp("checkpoints")
    semantic = dataclasses.replace(small.TINY, head=HeadConfig("semantic", classes=1))
    kinds = {
        "tiny": (small.TINY, ()),
        "semantic": (semantic, (SemanticClass("liver", (255, 0, 0)),)),
    }
    for name, (config, classes) in kinds.items():
        model = directory.Model(config, Preprocessing(), small.random_params(config), classes)
        directory.save(folder / name, model)
    return folder


@pytest.fixture
def predict(checkpoints, tmp_path, monkeypatch):
    """Runs `samjax predict a.png` into the folder `out`; returns the exit code."""
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (50, 41, 3), dtype=np.uint8)
    cv2.imwrite("a.png", noise)

    def run(*arguments, images=("a.png",), checkpoint="tiny"):
        words = ["predict", *images, *arguments, "--checkpoint", checkpoints / checkpoint]
        return cli.main([*map(str, words), "--out", "out"])

    return run


def settings_of(tmp_path):
    return json.loads((tmp_path / "out/predictions.json").read_text())["run"]["automatic"]


def write_settings(path, **settings):
    path.write_bytes(automatic_config.encode_settings(AutomaticConfig(**settings), {}))


@pytest.mark.heavy
def test_files_and_the_last_line(predict, tmp_path, capsys):
    assert predict("--auto", *ALL, "--min-mask-region-area", "4") == 0
    names = ["a_labels.png", "a_overlay.png", "annotations.json", "predictions.json"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    assert "1 of 1 images predicted (0 without any mask), see out" in capsys.readouterr().out
    expected = {"points_per_side": 2, "pred_iou_thresh": 0.0, "min_mask_region_area": 4}
    assert settings_of(tmp_path).items() >= expected.items()
    assert predict("--auto", *ALL) == 2
    assert "automatic" in capsys.readouterr().err
    nothing = ["--stability-score-thresh", "1", "--stability-score-offset", "99"]
    images = ["a.png", "missing.png"]
    assert predict("--auto", *ALL, *nothing, "--overwrite", images=images) == 1
    captured = capsys.readouterr()
    assert "1 of 2 images predicted (1 without any mask)" in captured.out
    assert "not predicted: missing.png" in captured.err


def test_flags_win_over_the_settings_file(tmp_path):
    write_settings(
        tmp_path / "s.json", points_per_side=3, pred_iou_thresh=0.9, min_mask_region_area=4
    )
    parser = Parser()
    predict_command.add_arguments(parser)
    words = ["a.png", "--checkpoint", "m", "--out", "o", "--auto", "--points-per-side", "2"]
    arguments = parser.parse_args([*words, "--auto-settings", str(tmp_path / "s.json")])
    expected = AutomaticConfig(points_per_side=2, pred_iou_thresh=0.9, min_mask_region_area=4)
    assert automatic_flags.config(arguments) == expected


def test_flags_have_the_generators_names_and_defaults():
    parser = Parser()
    automatic_flags.add(parser)
    for field in dataclasses.fields(AutomaticConfig):
        if field.name != "output_mode":
            (action,) = [a for a in parser._actions if a.dest == field.name]
            assert action.type is type(field.default)
            assert f"default: {field.default:.2g}" in action.help


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--box", "1", "2", "30", "40"], "--auto: expected no --box"),
        (["--point", "1", "2", "1"], "--auto: expected no --point"),
        (["--prompts", "p.csv"], "--auto: expected no --prompts"),
        (["--multimask"], "--auto: expected no --multimask"),
        (["--ensemble", "3"], "--auto: expected no --ensemble"),
        (["--ensemble-mean", "logit"], "--ensemble-mean: expected --ensemble beside it"),
        (["--pred-iou-thresh", "2"], "--pred-iou-thresh: expected 0 to 1, found 2"),
        (["--points-per-side", "0"], "--points-per-side: expected"),
        (
            ["--crop-n-layers", "1", "--crop-n-points-downscale-factor", "99"],
            "--crop-n-points-downscale-factor: expected at least one point per side",
        ),
        (["--auto-settings", "missing.json"], "missing.json"),
        (["--auto-settings", "other.json"], "other.json: expected settings as --tune-auto writes"),
        (
            ["--auto-settings", "bad.json"],
            "bad.json: settings.pred_iou_thresh: expected 0 to 1, found 3",
        ),
        (
            ["--auto-settings", "grid.json"],
            "grid.json: settings.points_per_side: expected a number",
        ),
    ],
)
def test_mistakes_are_found_at_the_start(predict, tmp_path, capsys, arguments, message):
    (tmp_path / "other.json").write_text("{}")
    (tmp_path / "bad.json").write_text('{"settings": {"pred_iou_thresh": 3}}')
    write_settings(tmp_path / "grid.json", points_per_side=None)
    assert predict("--auto", *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("samjax: error: ") and message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("flags", [["--box-nms-thresh", "0.5"], ["--auto-settings", "s.json"]])
def test_settings_need_auto(predict, capsys, flags):
    assert predict(*flags) == 2
    assert f"{flags[0]}: expected --auto beside it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "checkpoint", "found"),
    [(["--no-point-prompts"], "tiny", "boxes alone"), ([], "semantic", "every pixel a class")],
)
def test_models_that_take_no_points(predict, tmp_path, capsys, flags, checkpoint, found):
    assert predict("--auto", *flags, checkpoint=checkpoint) == 2
    assert found in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
