"""Preprocessing of checkpoints: settings in the file, evidence, and guesses."""

import dataclasses
import functools
import logging
import zipfile

import jax
import numpy as np
import pytest
from small import TINY, TINY_TINY_VIT, random_params

from samjax import cli, conversion, models
from samjax.conversion import convert, families, naming, torch_file
from samjax.data.inputs import Preprocessing
from samjax.models import PeftConfig, SamConfig
from samjax.models.directory import Model

NONE = PeftConfig("none")
OURS = Preprocessing()  # Our own recipe: longest side, linear, RGB, sigmoid.
ODD = Preprocessing(
    resize="stretch",
    interpolation="area",
    channel_order="bgr",
    mask_prompt="logits",
    mean=(1.5, 2.25, 3.0),
    std=(0.1, 50.0, 7.0),
    normalise="min_max",
    coordinates="uniform",
    multimask=False,
    box_margin=2.5,
)


def _network(**changes):
    """Returns a small network with the image size and adapters of a published one."""
    plain = dict(patch_size=128, peft=NONE, window_size=1, global_attn_indexes=(0, 1))
    return dataclasses.replace(TINY, **{**plain, **changes})


@functools.cache
def _tensors(config):
    shapes = jax.eval_shape(functools.partial(models.init, config), jax.random.key(0))
    return {
        naming.torch_name(path): np.ones(naming.torch_shape(path, leaf.shape), np.float32)
        for path, leaf in models.named_leaves(shapes)
    }


# MARK: what travels


@pytest.mark.parametrize(
    "expected", [OURS, ODD, convert.LITE_MEDSAM_PREPROCESSING], ids=["ours", "odd", "lite"]
)
@pytest.mark.parametrize(
    "config",
    [
        dataclasses.replace(TINY, peft=PeftConfig("conv_bottleneck", init="kaiming")),
        dataclasses.replace(TINY, peft=NONE, dtype="bfloat16"),
        dataclasses.replace(TINY_TINY_VIT, image_size=80),
    ],
    ids=["light", "plain", "tiny_vit"],
)
def test_round_trip_is_the_same_model(tmp_path, config, expected):
    model = Model(config, expected, random_params(config))
    conversion.to_torch(tmp_path / "x.pth", model)
    (tmp_path / "x.pth").rename(tmp_path / "elsewhere.pt")
    back, report = conversion.from_torch(tmp_path / "elsewhere.pt")
    assert (back.config, back.preprocessing) == (config, expected)
    assert jax.tree.all(jax.tree.map(np.array_equal, back.params, model.params))
    assert not report.is_guess and "travel with the file" in report.table()


def test_pytorch_ignores_the_settings(tmp_path):
    torch = pytest.importorskip("torch")
    for expected, under_model in ((OURS, True), (convert.SAM_PREPROCESSING, False)):
        config = dataclasses.replace(TINY, peft=NONE)
        path = tmp_path / "x.pth"
        conversion.to_torch(path, Model(config, expected, random_params(config)))
        for how in ({}, {"mmap": True}):
            read = torch.load(path, weights_only=True, **how)
            state = read["model"] if under_model else read
            assert state.keys() == torch_file.read(path).tensors.keys()
        again = tmp_path / "again.pth"
        torch.save(read, again)
        assert conversion.from_torch(again)[0].preprocessing == expected
        module = torch.nn.BatchNorm2d(3)  # Its loading asks for a version in the metadata.
        state.update(module.state_dict())
        for name in state.keys() - module.state_dict().keys():
            del state[name]
        module.load_state_dict(state, strict=True)


def test_flags_override_the_settings(tmp_path, capsys):
    model = Model(TINY, OURS, random_params(TINY))
    path = tmp_path / "x.pth"
    conversion.to_torch(path, model)
    overrides = {"mean": (1.0, 2.0, 3.0)}
    changed = conversion.load_or_convert(path, family="sam", preprocessing_overrides=overrides)
    assert changed.preprocessing == dataclasses.replace(convert.SAM_PREPROCESSING, **overrides)
    with pytest.raises(ValueError, match=r"family: expected one of sam, .* found 'vgg'"):
        conversion.load_or_convert(path, family="vgg")


def test_a_damaged_record_is_named(tmp_path):
    path = tmp_path / "x.pth"
    conversion.to_torch(path, Model(TINY, OURS, random_params(TINY)))
    content = {}
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    pickled = content["archive/data.pkl"]
    content["archive/data.pkl"] = pickled.replace(b'"longest_side"', b'"longest_edge"')
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    with pytest.raises(
        ValueError,
        match=r"x\.pth: the settings that travel with it: preprocessing\.resize: expected",
    ):
        conversion.from_torch(path)


def test_to_torch_prints_the_settings(tmp_path, write, tensors, capsys):
    assert cli.main(["convert", "to-torch", str(write(tensors)), str(tmp_path / "out.pth")]) == 0
    printed = capsys.readouterr().out
    assert "channel_order rgb" in printed and "travel in the file" in printed


# MARK: evidence and guesses


@pytest.mark.parametrize(
    ("config", "family", "alternatives"),
    [
        (_network(image_size=1024), "sam", ("medsam",)),
        (_network(image_size=256), "ft_sam", ("sam", "medsam")),
        (_network(image_size=512), "sam", ("ft_sam", "medsam")),
        (_network(image_size=256, peft=PeftConfig()), "sam_med2d", ()),
        (_network(image_size=1024, peft=PeftConfig()), "sam_med2d", ("samjax", "sam")),
        (
            _network(image_size=256, peft=PeftConfig("conv_bottleneck")),
            "samjax",
            ("sam_med2d", "sam"),
        ),
        (dataclasses.replace(TINY_TINY_VIT, peft=NONE), "mobile_sam", ()),
        (
            dataclasses.replace(TINY_TINY_VIT, patch_size=4, peft=NONE),
            "lite_medsam",
            (),
        ),
    ],
    ids=["1024", "256", "512", "adapters", "adapters 1024", "light", "mobile", "lite"],
)
@pytest.mark.parametrize("beside", [None, {"optimizer": None}, {"epoch": 3}], ids=str)
def test_evidence_decides_not_the_wrapper(save, config, family, alternatives, beside):
    tensors = _tensors(config)
    path = save(tensors if beside is None else {"model": tensors} | beside)
    model, report = conversion.from_torch(path)
    assert model.preprocessing == families.FAMILIES[family]
    assert report.is_guess == bool(alternatives)
    assert f"family {family}" in report.table()
    for alternative in alternatives:
        assert alternative in report.notes[-1] and "--family" in report.notes[-1]


def test_a_guess_is_a_warning_wherever_a_file_is_loaded(save, tmp_path, caplog, capsys):
    path = save(_tensors(_network(image_size=256)))
    with caplog.at_level(logging.WARNING):
        conversion.load_or_convert(path)
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 1 and str(path) in warnings[0] and "family ft_sam" in warnings[0]
    assert "\n" not in warnings[0]
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        conversion.load_or_convert(path, family="sam")
    assert not caplog.records
    assert cli.main(["convert", "from-torch", str(path), str(tmp_path / "a")]) == 0
    assert "this is a guess" in capsys.readouterr().err
    assert (
        cli.main(["convert", "from-torch", str(path), str(tmp_path / "b"), "--family", "sam"]) == 0
    )
    assert "guess" not in capsys.readouterr().err


def test_our_default_is_a_family():
    assert families.FAMILIES["samjax"] == OURS
    assert families.infer(SamConfig()).preprocessing == convert.SAM_MED2D_PREPROCESSING
