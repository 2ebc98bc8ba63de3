"""The loss of class logits, by hand-made values and by properties."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samjax import losses
from samjax.losses import ClassLossConfig
from samjax.losses.classes import dice_of_classes

LABELS = jnp.asarray(np.random.default_rng(0).integers(0, 3, (2, 8, 8)), jnp.uint8)


def one_hot(labels, side, sharpness):
    small = losses.shrink_labels(labels, side)
    return sharpness * jax.nn.one_hot(small, 3, axis=1)


def test_a_certain_and_right_prediction_has_no_loss():
    for at, side in (("low_res", 4), ("input", 8)):
        loss, terms = losses.class_loss(
            one_hot(LABELS, side, 100.0), LABELS, ClassLossConfig(at=at)
        )
        np.testing.assert_allclose([loss, *terms.values()], 0, atol=1e-6)


def test_equal_logits_have_the_entropy_of_a_guess():
    _, terms = losses.class_loss(jnp.zeros((2, 3, 4, 4)), LABELS, ClassLossConfig())
    np.testing.assert_allclose(terms["ce"], np.log(3), rtol=1e-6)


def test_weights_scale_the_terms():
    logits = jax.random.normal(jax.random.key(0), (2, 3, 4, 4))
    loss, terms = losses.class_loss(logits, LABELS, ClassLossConfig(ce_weight=2, dice_weight=3))
    np.testing.assert_allclose(loss, 2 * terms["ce"] + 3 * terms["dice_loss"], rtol=1e-6)


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("reduction", ["batch", "image"])
def test_dice_by_its_formula(background, reduction):
    config = ClassLossConfig(background=background, reduction=reduction, smooth=0.5)
    p = np.asarray(jax.nn.softmax(jax.random.normal(jax.random.key(1), (2, 3, 4, 4)), 1))
    g = np.asarray(one_hot(LABELS, 4, 1.0))
    parts = [(p, g)] if reduction == "batch" else [(p[i : i + 1], g[i : i + 1]) for i in range(2)]
    expected = [
        1 - (2 * (a[:, c] * b[:, c]).sum() + 0.5) / ((a[:, c] ** 2 + b[:, c] ** 2).sum() + 0.5)
        for a, b in parts
        for c in range(0 if background else 1, 3)
    ]
    found = dice_of_classes(jnp.asarray(p), jnp.asarray(g), config)
    np.testing.assert_allclose(found, np.mean(expected), rtol=1e-6)


def test_positive_only_is_finite_where_every_class_is_perfect():
    """AutoSAM's published mean of an empty set is not a number."""
    config = ClassLossConfig(positive_only=True, background=False, smooth=1.0)
    g = one_hot(LABELS, 4, 1.0)
    assert dice_of_classes(g, g, config) == 0
    assert np.isfinite(jax.grad(lambda p: dice_of_classes(p, g, config))(g)).all()


def test_labels_shrink_by_nearest():
    np.testing.assert_array_equal(losses.shrink_labels(LABELS, 4), LABELS[:, 1::2, 1::2])
