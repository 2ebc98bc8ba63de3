import jax
import numpy as np
import pytest
from small import shapes

from samjax import models
from samjax.models import PeftConfig


@pytest.fixture(scope="module")
def fresh():
    config = models.tiny(
        image_size=64,
        patch_size=16,
        embed_dim=192,
        depth=1,
        global_attn_indexes=(),
        peft=PeftConfig(init="kaiming"),
        prompt_dim=128,
    )
    params = jax.jit(models.init, static_argnums=0)(config, jax.random.key(0))
    assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, shapes(config))
    return dict(models.named_leaves(params))


@pytest.mark.parametrize(
    ("name", "std"),
    [
        ("image_encoder/blocks_0/attn/qkv/kernel", (1 / (3 * 192)) ** 0.5),
        ("image_encoder/patch_embed/proj/kernel", (1 / (3 * 16 * 16 * 3)) ** 0.5),
        ("image_encoder/neck_2/kernel", (1 / (3 * 9 * 128)) ** 0.5),
        ("image_encoder/blocks_0/adapter/channel_0/kernel", (2 / 48) ** 0.5),
        ("image_encoder/blocks_0/adapter/spatial_0/kernel", (2 / (9 * 192)) ** 0.5),
        ("image_encoder/blocks_0/adapter/spatial_2/kernel", (2 / (16 * 192)) ** 0.5),
        ("image_encoder/pos_embed", 0.02),
        ("prompt_encoder/no_mask_embed", 1.0),
        ("mask_decoder/mask_tokens", 1.0),
    ],
)
def test_mean_and_standard_deviation_of_matrices(fresh, name, std):
    values = np.asarray(fresh[name])
    assert values.std() == pytest.approx(std, rel=4 / np.sqrt(values.size))
    assert abs(values.mean()) < 5 * std / np.sqrt(values.size)


def test_biases_are_zero_and_scales_one(fresh):
    for name, values in fresh.items():
        kind = name.rsplit("/", 1)[-1]
        if kind in ("bias", "rel_pos_h", "rel_pos_w"):
            assert (values == 0).all(), name
        if kind == "scale":
            assert (values == 1).all(), name


def test_no_two_parameters_have_equal_values(fresh):
    firsts = [float(values.ravel()[0]) for values in fresh.values()]
    firsts = [first for first in firsts if first not in (0, 1)]
    assert len(set(firsts)) == len(firsts)


def test_another_key_draws_another_network(tiny):
    draw = jax.jit(models.init, static_argnums=0)
    one, same, other = (draw(tiny, jax.random.key(seed)) for seed in (0, 0, 1))
    jax.tree.map(np.testing.assert_array_equal, one, same)
    kernels = [params["image_encoder"]["neck_0"]["kernel"] for params in (one, other)]
    assert (kernels[0] != kernels[1]).all()
