import subprocess
import sys
from pathlib import Path

import numpy as np

from samjax import cli
from samjax.conversion import torch_file
from samjax.models import PeftConfig, directory

ROOT = Path(__file__).parents[2]


def convert(arguments):
    return cli.main(["convert", *arguments])


def test_round_trip(tmp_path, tensors, write, capsys):
    source, model, back = str(write(tensors)), tmp_path / "model", tmp_path / "new/back.pth"
    assert convert(["from-torch", source, str(model)]) == 0
    printed = capsys.readouterr().out
    for name in tensors:
        assert name in printed
    assert f"{len(tensors)} loaded" in printed
    assert convert(["to-torch", str(model), str(back)]) == 0
    for name, tensor in torch_file.read(back).tensors.items():
        np.testing.assert_array_equal(tensor, tensors[name])


def test_options_reach_the_model(tmp_path, tensors, write):
    options = "--image-size 96 --adapters --mask-prompt sigmoid --adapter-init kaiming"
    options += " --adapter-ratio 0.5"
    options += " --resize stretch --channel-order bgr --interpolation nearest --decoder-heads 4"
    options += " --mean 0 0 0 --std 255 255 255"
    source = str(write(tensors))
    assert convert(["from-torch", source, str(tmp_path / "m"), *options.split()]) == 0
    found = directory.load(tmp_path / "m")
    expected = (96, PeftConfig("sam_med2d", 0.5, "kaiming"), 4)
    config = found.config
    assert (config.image_size, config.peft, config.decoder_heads) == expected
    assert (found.preprocessing.mask_prompt, found.preprocessing.resize) == ("sigmoid", "stretch")
    assert (found.preprocessing.mean, found.preprocessing.std) == ((0, 0, 0), (255, 255, 255))
    assert (found.preprocessing.channel_order, found.preprocessing.interpolation) == (
        "bgr",
        "nearest",
    )


def test_flags_of_adapters_need_adapters(tmp_path, tensors, write, capsys):
    command = ["from-torch", str(write(tensors)), str(tmp_path / "m"), "--adapter-ratio", "0.5"]
    assert convert(command) == 2
    assert "--adapter-ratio: expected --adapters beside it" in capsys.readouterr().err


def test_a_failure_is_reported_and_writes_nothing(tmp_path, tensors, write, capsys):
    source = str(write({**tensors, "head.bias": np.zeros(7, np.float32)}))
    target = tmp_path / "model"
    assert convert(["from-torch", source, str(target)]) == 2
    output = capsys.readouterr()
    assert output.out == "" and "head.bias" in output.err and "Traceback" not in output.err
    assert not target.exists()
    assert convert(["from-torch", source, str(target), "--no-strict"]) == 0
    assert "unexpected" in capsys.readouterr().out


def test_nothing_is_overwritten_without_the_flag(tmp_path, tensors, write, capsys):
    source, target = str(write(tensors)), tmp_path / "model"
    target.mkdir()
    (target / "thesis.txt").write_text("all my work")
    assert convert(["from-torch", source, str(target), "--overwrite"]) == 2
    assert (target / "thesis.txt").exists()
    model, back = str(tmp_path / "m"), str(tmp_path / "back.pth")
    for command in (["from-torch", source, model], ["to-torch", model, back]):
        assert convert(command) == 0
        assert convert(command) == 2
        assert "--overwrite" in capsys.readouterr().err
        assert convert([*command, "--overwrite"]) == 0


def test_invalid_sizes(tmp_path, tensors, write, capsys):
    source = str(write(tensors))
    for option, field in (("--image-size", "image_size"), ("--decoder-heads", "decoder_heads")):
        assert convert(["from-torch", source, str(tmp_path / "m"), option, "0"]) == 2
        assert f"{field}: expected 1 or more, found 0" in capsys.readouterr().err
    assert not (tmp_path / "m").exists()


def test_missing_source(tmp_path, capsys):
    for command in ("from-torch", "to-torch"):
        assert convert([command, str(tmp_path / "no.pth"), str(tmp_path / "x")]) == 2
        assert "no.pth: no such checkpoint" in capsys.readouterr().err


def test_as_a_module_of_a_checkout():
    command = [sys.executable, "-m", "convert", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "from-torch" in done.stdout and "to-torch" in done.stdout
