"""Settings of the model beside `init_from`: contradictions are errors."""

import dataclasses
import re

import numpy as np
import pytest
import toy
from small import TINY, TINY_TINY_VIT, random_params

from configs import reference_msa
from samjax.data.inputs import Preprocessing
from samjax.models import PeftConfig, SamConfig, directory, vit_l
from samjax.training import architecture, setup
from samjax.training.config import Experiment, from_config_dict

NONE = PeftConfig("none")
HALF = PeftConfig("sam_med2d", 0.5, "kaiming")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A model directory without adapters."""
    path = tmp_path_factory.mktemp("models") / "plain"
    config = dataclasses.replace(toy.MODEL, peft=NONE)
    directory.save(path, directory.Model(config, Preprocessing(), random_params(config)))
    return path


def test_fresh_adapters_are_as_asked(plain):
    recipe = dataclasses.replace(toy.MODEL, peft=HALF)
    begin = setup.prepare_model(Experiment(init_from=str(plain), model=recipe))
    assert begin.config == recipe
    adapter = begin.params["image_encoder"]["blocks_0"]["adapter"]
    assert adapter["channel_0"]["kernel"].shape == (16, 8)
    assert (adapter["norm"]["scale"] == 1).all()


def test_what_a_checkpoint_cannot_have_is_refused_by_its_name(plain):
    recipe = dataclasses.replace(toy.MODEL, decoder_mlp_dim=64)
    expected = rf"model\.decoder_mlp_dim: expected 32, as {re.escape(str(plain))} has, .*found 64"
    with pytest.raises(ValueError, match=expected):
        setup.prepare_model(Experiment(init_from=str(plain), model=recipe))


@pytest.mark.parametrize("checkpoint", [TINY, TINY_TINY_VIT, vit_l(image_size=1024)])
def test_defaults_ask_for_nothing(checkpoint):
    checkpoint = dataclasses.replace(checkpoint, peft=NONE)
    recipe = SamConfig(image_size=64, dtype="bfloat16", remat=True, peft=HALF)
    expected = dict(image_size=64, dtype="bfloat16", remat=True, peft=HALF)
    found = architecture.merge(recipe, checkpoint, "x")
    assert found == dataclasses.replace(checkpoint, **expected)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"encoder": "tiny_vit", "patch_size": 16},
            "encoder: expected 'vit', as x has, .*found 'tiny_vit'",
        ),
        ({"depth": 3}, "depth: expected 2, as x has, .*found 3"),
        ({"tiny_vit": TINY_TINY_VIT.tiny_vit}, r"tiny_vit\.dims: expected \(64, .* found \(8, "),
        ({"peft": HALF}, r"peft\.ratio: expected 0\.25, as the adapters of x have, .*found 0\.5"),
        ({"peft": PeftConfig("conv_bottleneck")}, r"peft\.kind: expected 'sam_med2d', as the .* x"),
    ],
)
def test_contradictions_are_named(fields, message):
    with pytest.raises(ValueError, match=rf"^model\.{message}"):
        architecture.merge(dataclasses.replace(TINY, **fields), TINY, "x")


def test_a_typed_default_is_compared_too():
    with pytest.raises(ValueError, match=r"^model\.depth: expected 24, as x has, .*found 12"):
        architecture.merge(SamConfig(), vit_l(), "x", ["run.steps", "model.depth"])


def test_adapters_of_a_checkpoint_go_on_or_are_dropped():
    """Their initialisation does not matter; nor does a ratio that gives the same width."""
    checkpoint = dataclasses.replace(TINY, peft=PeftConfig(ratio=0.26, init="kaiming"))
    assert architecture.merge(TINY, checkpoint, "x").peft == checkpoint.peft
    dropped = dataclasses.replace(TINY, peft=NONE)
    assert architecture.merge(dropped, checkpoint, "x").peft == NONE


def test_slices_encoded_together_are_kept_or_as_asked():
    """No parameter tells their number."""
    for before, asked, after in ((0, 4, 4), (4, 0, 4), (4, 2, 2)):
        checkpoint, recipe = (
            dataclasses.replace(TINY, peft=PeftConfig("msa", depth=depth))
            for depth in (before, asked)
        )
        assert architecture.merge(recipe, checkpoint, "x").peft.depth == after


def test_variants_of_msa_and_its_lost_parameters(plain):
    """They start from a plain SAM; positions keep the checkpoint's side at another image size."""
    recipe = reference_msa.get_config()
    recipe.init_from, recipe.model.image_size = str(plain), 2 * toy.MODEL.image_size
    side = recipe.model.pos_embed_size = toy.MODEL.grid_size
    begin = setup.prepare_model(from_config_dict(recipe))
    assert begin.config == dataclasses.replace(
        toy.MODEL,
        image_size=2 * toy.MODEL.image_size,
        peft=PeftConfig("msa", init="kaiming"),
        window_padding="norm_bias",
        pos_embed_size=side,
        two_way="efficient_sam",
    )
    before = directory.load(plain).params
    encoder, kept = begin.params["image_encoder"], before["image_encoder"]
    np.testing.assert_array_equal(encoder["pos_embed"], kept["pos_embed"])
    block, was = encoder["blocks_0"], kept["blocks_0"]
    assert not block["attn"]["rel_pos_h"].any() and was["attn"]["rel_pos_h"].any()
    np.testing.assert_array_equal(block["mlp"]["lin1"]["kernel"], was["mlp"]["lin1"]["kernel"])
    layer, was = (
        params["mask_decoder"]["transformer"]["layers_0"] for params in (begin.params, before)
    )
    assert (layer["mlp"]["lin1"]["kernel"] != was["mlp"]["lin1"]["kernel"]).all()
    np.testing.assert_array_equal(
        layer["self_attn"]["q_proj"]["kernel"], was["self_attn"]["q_proj"]["kernel"]
    )
    recipe.model.pos_embed_size = side + 1
    with pytest.raises(ValueError, match=f"pos_embed_size: expected {side}, .*found {side + 1}"):
        setup.prepare_model(from_config_dict(recipe))
    plain_recipe = dataclasses.replace(toy.MODEL, peft=NONE)
    assert architecture.merge(plain_recipe, begin.config, "x").two_way == "efficient_sam"
