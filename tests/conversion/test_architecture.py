import dataclasses
import functools

import jax
import numpy as np
import pytest

from samjax import models
from samjax.conversion import architecture, naming
from samjax.models import PeftConfig


def _shapes(config):
    """Returns SAM's state dict of an architecture, as shapes without numbers."""
    params = jax.eval_shape(functools.partial(models.init, config), jax.random.key(0))
    return {
        naming.torch_name(path): np.broadcast_to(
            np.float32(0), naming.torch_shape(path, leaf.shape)
        )
        for path, leaf in models.named_leaves(params)
    }


@pytest.mark.parametrize(
    "config",
    [
        models.vit_b(),
        models.vit_b(image_size=1024, peft=PeftConfig("none")),
        models.vit_b(image_size=224),
        models.vit_l(image_size=512, peft=PeftConfig("none")),
    ],
    ids=["sam_med2d_b", "sam_b", "sam_med2d_b_224", "sam_l_512"],
)
@pytest.mark.heavy
def test_published_architectures(config):
    assert architecture.infer(_shapes(config)) == config


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"peft": PeftConfig(ratio=0.125)},
        {"peft": PeftConfig(ratio=11 / 24)},
        {"peft": PeftConfig("conv_bottleneck", 0.125)},
        {"mlp_ratio": 49 / 24},
        {"window_size": 11},  # Wider than the grid of 8.
        {"global_attn_indexes": ()},
        {"global_attn_indexes": (0, 2), "num_heads": 6, "decoder_depth": 1, "num_multimask": 2},
    ],
    ids=str,
)
def test_any_architecture(tiny, changes):
    config = dataclasses.replace(tiny, **changes)
    found = architecture.infer(_shapes(config))
    assert _shapes(found).keys() == _shapes(config).keys()
    peft = dataclasses.replace(found.peft, ratio=config.peft.ratio)
    assert dataclasses.replace(found, mlp_ratio=config.mlp_ratio, peft=peft) == config
    for ours, theirs in ((found, config), (found.peft, config.peft)):
        name = "mlp_ratio" if ours is found else "ratio"
        assert int(24 * getattr(ours, name)) == round(24 * getattr(theirs, name))


def test_windows_as_large_as_the_grid_count_as_global(tiny):
    config = dataclasses.replace(tiny, window_size=8)
    found = architecture.infer(_shapes(config))
    assert (found.global_attn_indexes, found.window_size) == ((0, 1, 2), 8)


def test_decoder_heads_are_an_argument(tiny):
    assert architecture.infer(_shapes(tiny), decoder_heads=4).decoder_heads == 4


@pytest.mark.parametrize(
    "name",
    [
        "image_encoder.pos_embed",
        "image_encoder.blocks.0.mlp.lin1.weight",
        "image_encoder.blocks.2.attn.rel_pos_h",
        "mask_decoder.mask_tokens.weight",
    ],
)
def test_the_error_for_another_network_names_the_missing_key(tiny, name):
    shapes = _shapes(tiny)
    del shapes[name]
    with pytest.raises(ValueError, match=f"not a SAM checkpoint: no tensor {name}"):
        architecture.infer(shapes)


def test_other_networks():
    with pytest.raises(ValueError, match="not a SAM checkpoint"):
        architecture.infer({"conv1.weight": np.zeros((1, 1))})


def test_impossible_shapes(tiny):
    name = "image_encoder.blocks.0.attn.rel_pos_h"
    shapes = _shapes(tiny)
    with pytest.raises(ValueError, match=f"{name}: expected an odd length, found 6"):
        architecture.infer({**shapes, name: np.zeros((6, 8))})
    with pytest.raises(ValueError, match=r"one window size .* \[3, 4\]"):
        architecture.infer({**shapes, name: np.zeros((7, 8))})
    with pytest.raises(ValueError, match=rf"{name}: expected 2 axes, found shape \(5,\)"):
        architecture.infer({**shapes, name: np.zeros(5)})
