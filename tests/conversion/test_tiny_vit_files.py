"""Conversion of MobileSAM's and LiteMedSAM's files."""

import dataclasses
import functools
import os
from pathlib import Path

import jax
import numpy as np
import pytest
from small import TINY_TINY_VIT

from samjax import cli, conversion, models
from samjax.conversion import architecture, families, naming, torch_file, writing
from samjax.models import PeftConfig, SamConfig, TinyVitConfig, directory

SHARED = Path(__file__).parents[3] / "shared/fixtures"
FILES = {
    "mobile": ("SAMJAX_MOBILE_FIXTURES", "tiny_mobile_sam", "tiny_mobile.pt"),
    "lite": ("SAMJAX_LITE_FIXTURES", "tiny_lite_medsam", "tiny_lite.pt"),
}
MOBILE = dataclasses.replace(TINY_TINY_VIT, image_size=1024, peft=PeftConfig("none"))
LITE = dataclasses.replace(MOBILE, image_size=256, patch_size=4)
STEM = "image_encoder.patch_embed.seq.0.c.weight"
BIASES = "image_encoder.layers.2.blocks.0.attn.attention_biases"


@pytest.fixture(params=FILES)
def published_file(request):
    variable, folder, name = FILES[request.param]
    path = Path(os.environ.get(variable, SHARED / folder)) / name
    if not path.is_file():
        pytest.skip(f"needs the published code's checkpoint {path} ({variable})")
    return path


@functools.cache
def _state_dict(config):
    rng = np.random.default_rng(1)
    shapes = jax.eval_shape(functools.partial(models.init, config), jax.random.key(0))
    own = {
        naming.torch_name(path): rng.normal(size=naming.torch_shape(path, leaf.shape)).astype("f4")
        for path, leaf in models.named_leaves(shapes)
    }
    return own | writing._tiny_vit_extras(own, config)


def state_dict(config):
    """Returns the published state dict of an architecture, with random numbers."""
    return dict(_state_dict(config))


def statuses(report):
    return {entry.key: entry.status for entry in report.entries}


def is_ignored(name):
    parts = ("num_batches_tracked", "image_encoder.norm_head.", "image_encoder.head.")
    return any(part in name for part in parts)


# MARK: there and back


def test_round_trip_of_published_files(tmp_path, published_file):
    theirs = torch_file.read(published_file).tensors
    model, report = conversion.from_torch(published_file)
    by_key = statuses(report)
    assert by_key == {name: "ignored" if is_ignored(name) else "loaded" for name in theirs}
    directory.save(tmp_path / "model", model)
    conversion.to_torch(tmp_path / "back.pt", conversion.load_or_convert(tmp_path / "model"))
    back = torch_file.read(tmp_path / "back.pt")
    assert back.tensors.keys() == theirs.keys()
    assert back.layout == ()
    for name, tensor in theirs.items():
        assert back.tensors[name].dtype == tensor.dtype
        if ".head." not in name:  # A small network's has fewer classes than the published 1000.
            assert back.tensors[name].shape == tensor.shape
        if by_key[name] == "loaded":
            assert back.tensors[name].tobytes() == tensor.tobytes(), name


@pytest.mark.parametrize(("patch", "size", "count"), [(16, 1024, 439), (4, 256, 435)])
@pytest.mark.heavy
def test_full_size_files_have_as_many_tensors_as_the_published_ones(patch, size, count):
    config = SamConfig(size, patch, "tiny_vit", peft=PeftConfig("none"))
    tensors = state_dict(config)
    assert len(tensors) == count
    assert architecture.infer(tensors) == config


def test_pytorch_reads_what_is_written(tmp_path, write):
    torch = pytest.importorskip("torch")
    model, _ = conversion.from_torch(write(state_dict(MOBILE)))
    conversion.to_torch(tmp_path / "mobile.pt", model)
    read = torch.load(tmp_path / "mobile.pt", weights_only=True)
    count = read["image_encoder.layers.0.downsample.conv2.bn.num_batches_tracked"]
    assert count.dtype == torch.int64 and count.shape == () and count == 0
    assert read["image_encoder.head.weight"].shape == (1000, 24)
    assert not read["image_encoder.head.weight"].any()


# MARK: what is read off


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"peft": PeftConfig(ratio=0.5)},
        {"tiny_vit": TinyVitConfig((6, 10, 18, 22), (1, 1, 1, 1), (5, 3, 11), (2, 6, 3), 1.5)},
        {"tiny_vit": TinyVitConfig((7, 9, 9, 15), (2, 1, 1, 3), (3, 9, 5), (1, 2, 8), 2.7, 3.3)},
    ],
    ids=str,
)
@pytest.mark.parametrize("start", [MOBILE, LITE], ids=["mobile", "lite"])
def test_any_architecture(start, changes):
    config = dataclasses.replace(start, **changes)
    tensors = state_dict(config)
    found = architecture.infer(tensors)
    # The ratios only need to give the same widths again.
    again = state_dict(found)
    assert {name: again[name].shape for name in again} == {n: tensors[n].shape for n in tensors}
    ratios = dict(mlp_ratio=config.tiny_vit.mlp_ratio, conv_ratio=config.tiny_vit.conv_ratio)
    tiny = dataclasses.replace(found.tiny_vit, **ratios)
    same = dict(tiny_vit=tiny, peft=config.peft)
    assert dataclasses.replace(found, **same) == config


def test_each_kind_has_its_preprocessing(write):
    mobile = conversion.from_torch(write(state_dict(MOBILE)))[0]
    assert mobile.preprocessing == families.SAM_PREPROCESSING
    assert mobile.preprocessing.multimask
    lite = conversion.from_torch(write(state_dict(LITE)))[0]
    assert lite.preprocessing == families.LITE_MEDSAM_PREPROCESSING
    assert not lite.preprocessing.multimask
    # The state of training beside the weights is no evidence of the kind of mask prompts.
    wrapped = conversion.from_torch(write(state_dict(LITE), under_model=True))[0]
    assert wrapped.preprocessing == lite.preprocessing
    adapted = dataclasses.replace(LITE, peft=PeftConfig())
    expected = dataclasses.replace(lite.preprocessing, mask_prompt="sigmoid")
    assert conversion.from_torch(write(state_dict(adapted)))[0].preprocessing == expected


def test_a_training_file_of_lite_medsam(tmp_path):
    torch = pytest.importorskip("torch")
    tensors = {name: torch.from_numpy(array) for name, array in state_dict(LITE).items()}
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(3))])
    content = {"model": tensors, "epoch": 3, "optimizer": optimizer.state_dict(), "loss": 0.1}
    torch.save(content, tmp_path / "lite.pth")
    model, report = conversion.from_torch(tmp_path / "lite.pth")
    assert model.preprocessing == families.LITE_MEDSAM_PREPROCESSING
    assert {"[epoch]", "[optimizer]", "[loss]"} <= {
        key for key, status in statuses(report).items() if status == "ignored"
    }


def test_another_image_size_changes_no_number(write):
    path = write(state_dict(MOBILE))
    model, report = conversion.from_torch(path, conversion.ConversionOptions(image_size=80))
    assert model.config == dataclasses.replace(MOBILE, image_size=80)
    assert "resized" not in report.summary()
    with pytest.raises(ValueError, match="image_size: expected a multiple of patch_size = 16"):
        conversion.from_torch(path, conversion.ConversionOptions(image_size=72))


def test_adapters_are_initialised_in_every_transformer_block(tmp_path, write):
    options = conversion.ConversionOptions(peft=PeftConfig())
    model, report = conversion.from_torch(write(state_dict(MOBILE)), options)
    new = {key for key, status in statuses(report).items() if status == "initialised"}
    assert new == {key for key in statuses(report) if ".Adapter." in key}
    assert model.preprocessing == families.SAM_PREPROCESSING
    conversion.to_torch(tmp_path / "adapted.pt", model)
    again, report = conversion.from_torch(tmp_path / "adapted.pt")
    assert again.config == model.config
    assert set(statuses(report).values()) == {"loaded", "ignored"}


def test_options_of_the_command(tmp_path, write):
    flags = "--normalise mean_std --coordinates per_axis --multimask --box-margin 1.5"
    source, target = str(write(state_dict(LITE))), tmp_path / "model"
    assert cli.main(["convert", "from-torch", source, str(target), *flags.split()]) == 0
    found = directory.load(target).preprocessing
    assert (found.normalise, found.coordinates) == ("mean_std", "per_axis")
    assert (found.multimask, found.box_margin) == (True, 1.5)


# MARK: files that are none


def test_errors_name_the_tensor(unchecked, write):
    tensors = state_dict(MOBILE)
    with pytest.raises(ValueError, match=r"kernel of side 3 .MobileSAM. or 1 .*, found 5"):
        conversion.from_torch(write(tensors | {STEM: np.zeros((4, 3, 5, 5), "f4")}))
    with pytest.raises(ValueError, match=rf"{BIASES}: expected .* a square window, found 26"):
        conversion.from_torch(write(tensors | {BIASES: np.zeros((2, 26), "f4")}))
    lacking = {name: tensor for name, tensor in tensors.items() if "layers.3" not in name}
    with pytest.raises(
        ValueError, match=r"sam\.pth: model\.tiny_vit\.dims: expected 4 whole numbers"
    ):
        conversion.from_torch(write(lacking))
    lacking = {name: tensor for name, tensor in tensors.items() if name != BIASES}
    with pytest.raises(ValueError, match=f"not a SAM checkpoint: no tensor {BIASES}"):
        conversion.from_torch(write(lacking))
    del tensors["image_encoder.layers.1.downsample.conv2.bn.running_mean"]
    with pytest.raises(conversion.KeyMismatchError, match=r"missing .* downsample|running_mean"):
        conversion.from_torch(write(tensors))
