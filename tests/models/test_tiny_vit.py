import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from einops import rearrange
from flax.core import meta
from small import TINY_TINY_VIT, random_params, shapes

from samjax import models
from samjax.models import PeftConfig, SamConfig, TinyVitConfig, layers, tiny_vit

NONE = PeftConfig("none")


def change(**fields):
    return dataclasses.replace(TINY_TINY_VIT, **fields)


@pytest.fixture(scope="module")
def small():
    """Returns a network at 64 pixels, its parameters and two images."""
    images = jax.random.normal(jax.random.key(1), (2, 64, 64, 3))
    return TINY_TINY_VIT, random_params(TINY_TINY_VIT), images


# MARK: parameters and settings


@pytest.mark.parametrize(
    ("config", "count"),
    [
        # MobileSAM's 10.13 M counts a classifier that nothing uses: 1000 classes of 320, a norm.
        (
            SamConfig(1024, 16, "tiny_vit", peft=NONE),
            10_130_092 - 1000 * 321 - 2 * 320,
        ),
        # Its stem is 1x1 instead of 3x3.
        (
            SamConfig(256, 4, "tiny_vit", peft=NONE),
            9_808_452 - 8 * (3 * 32 + 32 * 64),
        ),
    ],
    ids=["mobile_sam", "lite_medsam"],
)
def test_parameter_counts_are_the_published_ones(config, count):
    assert models.count_parameters(config) == count


def test_only_transformer_blocks_have_adapters():
    paths = dict(models.named_leaves(shapes(SamConfig(encoder="tiny_vit"))))
    own = {path.split("/adapter/")[0] for path in paths if "/adapter/" in path}
    blocks = {1: 2, 2: 6, 3: 2}
    assert own == {
        f"image_encoder/layers_{stage}/blocks_{block}"
        for stage, count in blocks.items()
        for block in range(count)
    }


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (
            "dims",
            (8, 12, 16),
            r"^dims: expected 4 whole numbers, each 1 or more, found \(8, 12, 16\)",
        ),
        ("depths", (1, 0, 1, 1), r"^depths: expected 4 whole numbers, each 1"),
        ("num_heads", (2, 4, 5, 10), r"num_heads: expected 3 whole numbers"),
        ("window_sizes", (7, 14), r"^window_sizes: expected 3 whole numbers"),
        (
            "num_heads",
            (4, 5, 9),
            r"^dims: expected a multiple of num_heads = 9, found 320",
        ),
        ("mlp_ratio", 0.0, r"^mlp_ratio: expected more than 0, found 0"),
    ],
)
def test_invalid_fields_are_named(unchecked, field, value, message):
    with pytest.raises(ValueError, match=message):
        TinyVitConfig(**{field: value})


def test_unknown_stems_and_encoders_are_errors(unchecked):
    with pytest.raises(ValueError, match=r"^patch_size: expected 16 or 4 .* found 8"):
        change(patch_size=8)
    with pytest.raises(ValueError, match=r"^encoder: expected one of vit, tiny_vit"):
        change(encoder="resnet")


# MARK: computation


HEAVY = [pytest.param(*sides, marks=pytest.mark.heavy) for sides in ((16, 64), (16, 16), (4, 32))]


@pytest.mark.parametrize(("patch", "size"), [(16, 80), (4, 20), *HEAVY])
def test_any_size(patch, size):
    config = change(patch_size=patch, image_size=size)
    images = jnp.zeros((2, size, size, 3))
    encode = functools.partial(models.encode_image, config)
    embedding = jax.eval_shape(encode, shapes(config), images)
    assert embedding.shape == (2, size // patch, size // patch, 32)
    assert config.mask_size == 4 * size // patch


def test_the_parameters_are_the_same_at_any_size():
    of_size = [jax.tree.map(np.shape, shapes(change(image_size=size))) for size in (64, 80)]
    assert of_size[0] == of_size[1]


@pytest.mark.heavy
def test_adapters_can_be_skipped(small, encode):
    config, params, images = small
    plain = change(peft=NONE)
    skipped = encode(config, params, images, False)
    np.testing.assert_array_equal(skipped, encode(plain, params, images, True))
    assert abs(skipped - encode(config, params, images, True)).max() > 0.1


@pytest.mark.heavy
def test_fresh_adapters_add_nothing(encode):
    config = change(peft=PeftConfig())
    params = jax.jit(models.init, static_argnums=0)(config, jax.random.key(0))
    images = jax.random.normal(jax.random.key(1), (1, 64, 64, 3))
    with_adapters = encode(config, params, images, True)
    np.testing.assert_array_equal(with_adapters, encode(config, params, images, False))


@pytest.mark.parametrize(
    ("changes", "tolerance"), [({"remat": True}, 1e-5), ({"dtype": "bfloat16"}, 0.1)]
)
@pytest.mark.heavy
def test_compute_settings_change_little(small, encode, changes, tolerance):
    config, params, images = small
    expected = encode(config, params, images, True)
    found = encode(change(**changes), params, images, True).astype(jnp.float32)
    np.testing.assert_allclose(found, expected, atol=tolerance * float(abs(expected).max()))


@pytest.mark.parametrize(("height", "width"), [(6, 9), (7, 8), (2, 3), (2, 1)])
def test_attention_equals_that_over_a_padded_map(height, width):
    """Compares with windows cut from a map that is padded with zeros before the norm."""
    heads, size, c = 2, 3, 8
    module = tiny_vit.TinyVitAttention(heads, size, jnp.float32)
    x = jax.random.normal(jax.random.key(0), (2, height, width, c))
    params = meta.unbox(module.init(jax.random.key(1), x)["params"])
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), "f4"), params)

    high, wide = (-(-side // size) * size for side in (height, width))
    padded = np.zeros((2, high, wide, c))
    padded[:, :height, :width] = x
    padded -= padded.mean(-1, keepdims=True)
    padded /= np.sqrt((padded**2).mean(-1, keepdims=True) + 1e-5)
    normed = padded * params["norm"]["scale"] + params["norm"]["bias"]
    qkv = normed @ params["qkv"]["kernel"] + params["qkv"]["bias"]
    cut = "b (y i) (x j) (n three d) -> three (b y x) n (i j) d"
    q, k, v = rearrange(np.asarray(qkv), cut, i=size, j=size, n=heads, three=3)
    scores = np.einsum("bnqd,bnkd->bnqk", q, k) * (c // heads) ** -0.5
    for query, key in np.ndindex(size**2, size**2):
        dy, dx = (abs(a - b) for a, b in zip(divmod(query, size), divmod(key, size), strict=True))
        scores[:, :, query, key] += params["attention_biases"][:, dy * size + dx]
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    out = (weights / weights.sum(-1, keepdims=True)) @ v
    back = "(b y x) n (i j) d -> b (y i) (x j) (n d)"
    out = rearrange(out, back, y=high // size, x=wide // size, i=size, j=size)
    expected = out[:, :height, :width] @ params["proj"]["kernel"] + params["proj"]["bias"]
    found = module.apply({"params": params}, x)
    np.testing.assert_allclose(found, expected, atol=1e-5 * float(abs(expected).max()))


@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise_convolution(stride):
    x = jax.random.normal(jax.random.key(0), (2, 6, 8, 5))
    kernel = jax.random.normal(jax.random.key(1), (3, 3, 1, 5))
    module = layers.DepthwiseConv3x3(jnp.float32, stride)
    expected = jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        ((1, 1), (1, 1)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=5,
    )
    found = module.apply({"params": {"kernel": kernel}}, x)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.heavy
def test_statistics_are_constants(small):
    config, params, images = small

    def loss(params):
        return (models.encode_image(config, params, images) ** 3).sum()

    gradient = dict(models.named_leaves(jax.jit(jax.grad(loss))(params)["image_encoder"]))
    norms = {name: np.any(leaf) for name, leaf in gradient.items() if "/bn/" in name}
    assert norms == {name: name.endswith(("scale", "bias")) for name in norms}


@pytest.mark.heavy
@pytest.mark.parametrize(("patch", "size", "depths"), [(16, 64, (2, 2, 6, 2)), (4, 16, (1,) * 4)])
def test_a_fresh_network_keeps_the_scale(patch, size, depths):
    config = SamConfig(
        image_size=size,
        patch_size=patch,
        encoder="tiny_vit",
        tiny_vit=TinyVitConfig(depths=depths),
        peft=NONE,
    )
    params = jax.jit(models.init, static_argnums=0)(config, jax.random.key(0))
    images = jax.random.normal(jax.random.key(1), (1, size, size, 3))
    kinds = (tiny_vit.TinyVitStem, tiny_vit.TinyVitStage)

    @jax.jit
    def outputs(params):
        variables = {"params": params["image_encoder"]}
        keep = lambda module, _: isinstance(module, kinds)  # noqa: E731
        encoder = tiny_vit.TinyVit(config)
        return encoder.apply(variables, images, False, capture_intermediates=keep)[1]

    found = jax.tree.leaves(outputs(params))
    assert len(found) == 5
    for output in found:
        assert 0.3 < float(jnp.sqrt(jnp.square(output).mean())) < 3
