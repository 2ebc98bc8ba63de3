"""AutoSAM's files, made here: heads alone, and heads that do not fit."""

import numpy as np
import pytest
from small import random_params

from samjax import conversion, models
from samjax.conversion import autosam, naming, torch_writer
from samjax.data.classes import numbered
from samjax.data.inputs import Preprocessing
from samjax.models import HeadConfig
from samjax.models.directory import Model

OPTIONS = conversion.ConversionOptions(decoder_heads=2)
PLAIN = models.PeftConfig("none")


def network(kind="autosam", classes=2, **fields):
    head = HeadConfig(kind, classes, width=2) if kind != "masks" else HeadConfig()
    # As wide and deep as the published ones where tensors do not show it.
    return models.tiny(
        head=head, peft=PLAIN, global_attn_indexes=(0, 1), patch_size=8, mask_in_chans=16, **fields
    )


def write(path, tensors):
    torch_writer.write(path, tensors, torch_writer.FLAT)
    return path


def tensors_of(kind="autosam"):
    return naming.state_dict(random_params(network(kind)))


@pytest.mark.parametrize("kind", ["autosam", "cnn", "linear"])
def test_both_ways_bit_for_bit(kind, tmp_path):
    config = network(kind)
    model = Model(config, Preprocessing(), random_params(config), numbered(2))
    conversion.to_torch(tmp_path / "model.pth", model)
    again, report = conversion.from_torch(tmp_path / "model.pth", OPTIONS)
    assert not report.mismatches and (again.config, again.classes) == (config, numbered(2))
    for (name, ours), (_, theirs) in zip(
        models.named_leaves(again.params), models.named_leaves(model.params), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs, err_msg=name)


@pytest.mark.parametrize("kind", ["autosam", "cnn", "linear"])
def test_the_head_is_read_from_the_tensors(kind, tmp_path):
    tensors = tensors_of(kind)
    model, _ = conversion.from_torch(write(tmp_path / "flat.pth", tensors), OPTIONS)
    assert model.config.head == HeadConfig(kind, 2, width=2 if kind == "cnn" else 64)
    assert model.preprocessing.normalise == "min_max" and model.preprocessing.resize == "stretch"
    written = naming.state_dict(model.params)
    assert all((written[name] == tensor).all() for name, tensor in tensors.items())


def test_a_whole_file_without_its_matrix_is_refused(tmp_path):
    tensors = tensors_of()
    del tensors[autosam.POSITIONS]
    path = write(tmp_path / "flat.pth", tensors)
    with pytest.raises(ValueError, match=r"flat.pth: pe_layer\S+: expected the random matrix"):
        conversion.from_torch(path, OPTIONS)


def test_tokens_that_do_not_belong_together(tmp_path):
    tensors = tensors_of()
    tensors["mask_decoder.mask_tokens.weight"] = np.zeros((5, 32), np.float32)
    path = write(tmp_path / "flat.pth", tensors)
    with pytest.raises(
        ValueError, match=r"flat.pth: \S+: expected 6 tokens, two for each of the 3 of .*found 5"
    ):
        conversion.from_torch(path, OPTIONS)


@pytest.mark.parametrize("positions", ["sam", "random"])
def test_a_head_on_sam(positions):
    sam = network("masks")
    model = Model(sam, Preprocessing(), random_params(sam))
    head = HeadConfig("autosam", 2, positions)
    options = conversion.ConversionOptions(head=(head, numbered(2)), seed=1)
    made, report = conversion.adapt(model, options, "sam")
    old, new = model.params["mask_decoder"], made.params["mask_decoder"]
    np.testing.assert_array_equal(
        new["transformer"]["layers_0"]["norm1"]["scale"],
        old["transformer"]["layers_0"]["norm1"]["scale"],
    )
    matrix = model.params["prompt_encoder"]["pe_layer"]["positional_encoding_gaussian_matrix"]
    same = (new["pe_layer"]["positional_encoding_gaussian_matrix"] == matrix).all()
    drawn = {entry.key for entry in report.entries if entry.status == "initialised"}
    assert same == (positions == "sam") and bool(drawn) == (positions == "random")
    tokens = new["mask_tokens"].reshape(3, 2, -1)
    apart = np.abs(tokens[0] - tokens[1]).mean(), np.abs(tokens[0] - old["mask_tokens"][:2]).mean()
    scale = np.abs(old["mask_tokens"]).mean()
    assert apart[0] > 0 and (positions == "random" or max(apart) < 0.4 * scale)
