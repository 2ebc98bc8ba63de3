"""U-Net: classes of every pixel at the input's own resolution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samjax import models
from samjax.models import HeadConfig, PeftConfig, SamConfig


def unet(**changes):
    fields = dict(
        image_size=32,
        patch_size=4,
        encoder="unet",
        unet_widths=(8, 12, 16),
        prompt_dim=8,
        decoder_heads=4,
        peft=PeftConfig("none"),
        head=HeadConfig("pixel", classes=3),
    )
    return SamConfig(**{**fields, **changes})


def test_logits_have_the_side_of_the_input():
    config = unet()
    params = models.init(config, jax.random.key(0))
    assert set(params) == {"image_encoder", "mask_decoder"}
    images = jax.random.normal(jax.random.key(1), (2, 32, 32, 3))
    logits = models.predict_classes(config, params, models.encode_image(config, params, images))
    assert logits.shape == (2, 4, config.mask_size, config.mask_size) == (2, 4, 32, 32)


@pytest.mark.heavy
def test_every_parameter_takes_part():
    config = unet()
    params = models.init(config, jax.random.key(0))
    images = jax.random.normal(jax.random.key(1), (2, 32, 32, 3))

    def loss(params):
        embedding = models.encode_image(config, params, images)
        logits = models.predict_classes(config, params, embedding)
        return jnp.square(logits).mean()

    for path, gradient in models.named_leaves(jax.grad(loss)(params)):
        assert np.abs(gradient).max() > 0, path


def test_one_image_does_not_depend_on_the_others():
    config = unet()
    params = models.init(config, jax.random.key(0))
    images = jax.random.normal(jax.random.key(1), (2, 32, 32, 3))
    both = models.encode_image(config, params, images)
    alone = models.encode_image(config, params, images[1:])
    np.testing.assert_allclose(both[1:], alone, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head": HeadConfig("semantic", classes=3)}, r"head.kind: expected pixel with encoder"),
        ({"peft": PeftConfig("sam_med2d")}, r"peft.kind: expected none with encoder unet"),
        ({"patch_size": 8}, r"patch_size: expected 4 with encoder unet"),
        ({"image_size": 36, "unet_widths": (8,) * 4}, r"image_size: expected a multiple of"),
        ({"unet_widths": (16, 16, 16)}, r"prompt_dim: expected unet_widths\[0\] = 16"),
    ],
)
def test_settings_that_cannot_be(changes, message):
    with pytest.raises(ValueError, match=message):
        unet(**changes)


def test_groups():
    for declared in models.declarations(unet()).values():
        assert declared.group in ("encoder", "decoder")
