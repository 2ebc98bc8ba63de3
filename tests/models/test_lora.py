"""LoRA of the image encoder: identity at first, mergeable, and SAMed's numbers."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small import TINY, TINY_TINY_VIT, random_params

from samjax import conversion, models
from samjax.data.inputs import Preprocessing
from samjax.models import PeftConfig

LORA = PeftConfig("lora")
PLAIN = dataclasses.replace(TINY, peft=PeftConfig("none"))
WITH_LORA = dataclasses.replace(TINY, peft=LORA)


def encode(config, params, images, adapters=True):
    run = jax.jit(functools.partial(models.encode_image, config, adapters=adapters))
    return np.asarray(run(params, images))


@pytest.fixture(scope="module")
def images():
    return jnp.asarray(np.random.default_rng(3).normal(size=(2, 64, 64, 3)), jnp.float32)


@pytest.mark.heavy
def test_fresh_lora_is_the_identity(images):
    params = models.init(WITH_LORA, jax.random.key(0))
    adapter = params["image_encoder"]["blocks_0"]["adapter"]
    assert {name: leaf["kernel"].shape for name, leaf in adapter.items()} == {
        **{f"{name}_a": (TINY.embed_dim, 4) for name in "qv"},
        **{f"{name}_b": (4, TINY.embed_dim) for name in "qv"},
    }
    assert adapter["q_a"]["kernel"].std() == pytest.approx((3 * TINY.embed_dim) ** -0.5, rel=0.2)
    with_lora = encode(WITH_LORA, params, images)
    np.testing.assert_array_equal(with_lora, encode(PLAIN, models.without_adapters(params), images))


@pytest.mark.parametrize(
    "peft",
    [LORA, PeftConfig("lora", rank=2, scale=0.5, targets=("v", "k"), layers=(1,))],
    ids=["samed", "other"],
)
def test_merged_equals_unmerged(images, peft):
    config = dataclasses.replace(TINY, peft=peft)
    params = random_params(config)
    blocks = params["image_encoder"]
    assert [f"blocks_{i}" for i in range(TINY.depth) if "adapter" in blocks[f"blocks_{i}"]] == [
        f"blocks_{i}" for i in range(TINY.depth) if peft.is_in(i)
    ]
    expected = encode(config, params, images)
    plain, merged = models.merge_lora(config, params)
    assert plain.peft == PeftConfig("none")
    scale = np.abs(expected).max()
    np.testing.assert_allclose(encode(plain, merged, images), expected, atol=1e-5 * scale)
    dropped = encode(config, params, images, adapters=False)
    np.testing.assert_array_equal(dropped, encode(plain, models.without_adapters(params), images))
    assert np.abs(dropped - expected).max() > 0.01 * scale


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "lora", "ratio": 0.5}, "ratio: expected its default .* kind=lora, found 0.5"),
        ({"kind": "lora", "init": "kaiming"}, "init: expected its default 'zero'"),
        ({"rank": 8}, "rank: expected its default 4, .* kind=sam_med2d, found 8"),
        ({"kind": "lora", "targets": ()}, "targets: expected different ones of q, k, v"),
        ({"kind": "lora", "targets": ("q", "q")}, "targets: expected different ones"),
    ],
)
def test_settings_without_effect_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        PeftConfig(**fields)


@pytest.mark.parametrize(
    ("config", "peft", "message"),
    [
        (TINY, PeftConfig("lora", layers=(0, 7)), r"peft\.layers: expected indexes from 0 to"),
        (
            TINY_TINY_VIT,
            PeftConfig("lora", layers=(1,)),
            r"peft\.layers: expected none with encoder tiny_vit, found \(1,\)",
        ),
    ],
)
def test_networks_that_cannot_have_it(config, peft, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(config, peft=peft)


def test_a_sam_file_holds_none(tmp_path):
    with pytest.raises(ValueError, match=r"merge_lora"):
        model = models.directory.Model(WITH_LORA, Preprocessing(), random_params(WITH_LORA))
        conversion.to_torch(tmp_path / "x.pth", model)
    with pytest.raises(ValueError, match="expected lora to merge, found none"):
        models.merge_lora(PLAIN, random_params(PLAIN))
