import dataclasses
import re

import jax
import pytest
from small import shapes

from samjax import models
from samjax.models import PeftConfig, SamConfig


@pytest.mark.parametrize(
    ("make", "count"),
    [
        (models.vit_b, 93_735_472),
        pytest.param(models.vit_l, 312_342_832, marks=pytest.mark.heavy),
        pytest.param(models.vit_h, 641_090_608, marks=pytest.mark.heavy),
    ],
)
def test_parameter_counts_are_those_of_sam(make, count):
    assert models.count_parameters(make(image_size=1024, peft=PeftConfig("none"))) == count


def test_parameter_count_of_sam_med2d():
    overview = models.parameter_overview(SamConfig())
    assert models.count_parameters(SamConfig()) == 271_241_776
    assert "271,241,776" in overview.splitlines()[-1]
    assert sum(int(line.split()[1].replace(",", "")) for line in overview.splitlines()[:-1]) == (
        271_241_776
    )


@pytest.mark.heavy
def test_bottleneck_adapters_are_a_fiftieth_of_the_published_ones():
    plain, published, bottleneck = (
        models.count_parameters(SamConfig(**fields))
        for fields in ({"peft": PeftConfig("none")}, {}, {"peft": PeftConfig("conv_bottleneck")})
    )
    width, hidden = 768, 192
    assert bottleneck - plain == 12 * (hidden * (2 * width + 1 + 9) + width)
    assert 49 < (published - plain) / (bottleneck - plain) < 51


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"image_size": 250}, "image_size: expected a multiple of patch_size = 16, found 250"),
        ({"embed_dim": 770}, "embed_dim: expected a multiple of num_heads = 12, found 770"),
        ({"prompt_dim": 40}, "prompt_dim: expected a multiple of 2 * decoder_heads = 16, found 40"),
        ({"prompt_dim": 4, "decoder_heads": 2}, "prompt_dim: expected a multiple of 8, found 4"),
        ({"mask_in_chans": 6}, "mask_in_chans: expected 8 or more, found 6"),
        ({"depth": 0}, "depth: expected 1 or more, found 0"),
        ({"window_size": -1}, "window_size: expected 1 or more, found -1"),
        ({"depth": 8}, "global_attn_indexes: expected indexes from 0 to 7, found 8"),
        ({"dtype": "float16"}, "dtype: expected one of float32, bfloat16, found 'float16'"),
    ],
)
def test_invalid_fields_are_named(unchecked, fields, message):
    with pytest.raises(ValueError, match="^" + re.escape(message).replace("8,", "8.*,")):
        SamConfig(**fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"init": "reference"}, "init: expected one of zero, kaiming, found 'reference'"),
        (
            {"kind": "tiny"},
            "kind: expected one of none, sam_med2d, conv_bottleneck, msa, lora, fact, ssf, "
            "adaptformer, found 'tiny'",
        ),
        ({"ratio": -0.5}, "ratio: expected more than 0, found -0.5"),
    ],
)
def test_invalid_adapter_fields_are_named(unchecked, fields, message):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        PeftConfig(**fields)


def test_a_config_is_hashable_even_from_lists(unchecked):
    config = SamConfig(global_attn_indexes=[2, 5, 8, 11])
    assert config == SamConfig()
    assert hash(config) == hash(SamConfig())


def test_dtype_names_and_shapes_of_parameters(tiny):
    flat = {name: leaf for name, leaf in models.named_leaves(shapes(tiny))}
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(shapes(tiny))} == {"float32"}
    for name, shape in {
        "image_encoder/blocks_0/attn/qkv/kernel": (16, 48),
        "image_encoder/blocks_1/attn/rel_pos_h": (7, 8),
        "image_encoder/blocks_0/adapter/spatial_2/kernel": (2, 2, 2, 2, 16, 16),
        "prompt_encoder/point_embeddings_2": (1, 32),
        "prompt_encoder/pe_layer/positional_encoding_gaussian_matrix": (2, 16),
        "mask_decoder/mask_tokens": (4, 32),
        "mask_decoder/output_hypernetworks_mlps_0/layers_2/kernel": (32, 4),
    }.items():
        assert flat[name].shape == shape


@pytest.mark.parametrize(("encoder", "parameters"), [("vit", 70_102), ("tiny_vit", 89_926)])
def test_tiny_networks_are_small_and_take_overrides(encoder, parameters):
    config = models.tiny(encoder=encoder)
    assert models.count_parameters(config) == parameters
    assert models.tiny(encoder=encoder, num_multimask=2, image_size=128) == dataclasses.replace(
        config, num_multimask=2, image_size=128
    )
