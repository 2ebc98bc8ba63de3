import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samjax import losses

SHAPE = (2, 3, 4, 6, 5)  # b, k, c, h, w


def draw(seed, scale=4.0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, scale, SHAPE).astype(np.float32)
    truth = (rng.random((2, 3, 1, 6, 5)) < 0.4).astype(np.float32)
    return jnp.asarray(logits), jnp.asarray(truth)


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


def plain_focal(logits, truth, alpha, gamma):
    p, t = sigmoid(logits), np.broadcast_to(truth, SHAPE).astype(np.float64)
    right = np.where(t == 1, p, 1 - p)
    weight = np.where(t == 1, alpha, 1 - alpha)
    return (-weight * (1 - right) ** gamma * np.log(right)).mean((-2, -1))


def areas(probability, truth, reduction):
    p, t = np.asarray(probability, np.float64), np.broadcast_to(truth, SHAPE).astype(np.float64)
    axes = (-2, -1) if reduction == "mask" else (0, 1, -2, -1)
    return [x.sum(axes) for x in (p * t, p, t)]


def plain_dice(probability, truth, reduction, smooth):
    both, predicted, true = areas(probability, truth, reduction)
    return 1 - (2 * both + smooth) / (predicted + true + smooth)


def plain_iou(probability, truth, reduction):
    both, predicted, true = areas(probability, truth, reduction)
    return both / (predicted + true - both)


@settings(deadline=None, max_examples=15)
@given(
    seed=st.integers(0, 10**6),
    alpha=st.sampled_from([0.25, 0.6]),
    gamma=st.sampled_from([0.0, 2.0]),
)
def test_focal_loss(seed, alpha, gamma):
    logits, truth = draw(seed)
    ours = losses.focal_loss(logits, truth, alpha, gamma)
    assert ours.shape == SHAPE[:3]
    np.testing.assert_allclose(ours, plain_focal(logits, truth, alpha, gamma), rtol=2e-5)


@pytest.mark.parametrize("reduction", ["mask", "batch"])
@pytest.mark.parametrize("smooth", [1.0, 1e-7])
def test_dice_loss(reduction, smooth):
    logits, truth = draw(1)
    probability = jax.nn.sigmoid(logits)
    ours = losses.dice_loss(probability, truth, reduction, smooth)
    theirs = plain_dice(sigmoid(logits), truth, reduction, smooth)
    assert ours.shape == ((2, 3, 4) if reduction == "mask" else (1, 1, 4))
    np.testing.assert_allclose(ours.reshape(theirs.shape), theirs, rtol=1e-5)


@pytest.mark.parametrize("reduction", ["mask", "batch"])
def test_soft_iou(reduction):
    logits, truth = draw(2)
    ours = losses.soft_iou(jax.nn.sigmoid(logits), truth, reduction)
    theirs = plain_iou(sigmoid(logits), truth, reduction)
    np.testing.assert_allclose(ours.reshape(theirs.shape), theirs, rtol=1e-5)


def test_exact_and_empty_masks():
    truth = jnp.zeros((1, 1, 1, 4, 4)).at[..., :2].set(1)
    empty = jnp.zeros_like(truth)
    assert losses.dice_loss(truth, truth, "mask", 1e-7).item() == 0
    assert losses.soft_iou(truth, truth, "mask").item() == 1
    assert losses.soft_iou(1 - truth, truth, "mask").item() == pytest.approx(0, abs=1e-6)
    # An empty prediction of an empty mask is right, not 0 / 0.
    assert losses.soft_iou(empty, empty, "mask").item() == 1
    assert losses.dice_loss(empty, empty, "mask").item() == 0


def test_reductions_differ_on_masks_of_different_size():
    truth = jnp.zeros((1, 2, 1, 8, 8)).at[0, 0].set(1).at[0, 1, 0, 0, 0].set(1)
    # The small mask is missed altogether, which is little in a batch of pixels.
    predicted = truth.at[0, 1].set(0)
    by_mask = losses.dice_loss(predicted, truth, "mask", 1e-7)
    by_batch = losses.dice_loss(predicted, truth, "batch", 1e-7)
    np.testing.assert_allclose(by_mask.ravel(), [0, 1], atol=1e-6)
    assert by_batch.item() == pytest.approx(1 - 128 / 129, abs=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("value", [-1e4, -100.0, 0.0, 100.0, 1e4])
def test_extreme_logits_stay_finite(dtype, value):
    truth = draw(0)[1].astype(dtype)
    logits = jnp.full(SHAPE, value, dtype)

    def total(logits):
        probability = jax.nn.sigmoid(logits)
        return (
            losses.focal_loss(logits, truth, 0.25, 2.0).sum()
            + losses.dice_loss(probability, truth, "mask").sum()
            + losses.soft_iou(probability, truth, "mask").sum()
        )

    loss, gradient = jax.value_and_grad(total)(logits)
    assert jnp.isfinite(loss)
    assert jnp.isfinite(gradient).all()


def test_the_loss_of_a_confident_mistake_is_proportional_to_its_logit():
    """Computed from probabilities it would be cut off near 88 in float32, and 9 in bfloat16."""
    logits = jnp.full((1, 1, 1, 2, 2), -500.0)
    loss = losses.focal_loss(logits, jnp.ones_like(logits), 0.25, 2.0)
    assert loss.item() == pytest.approx(0.25 * 500)


def test_squared_dice():
    logits, truth = draw(5)
    p, t = sigmoid(logits), np.broadcast_to(truth, SHAPE).astype(np.float64)
    sums = [x.sum((-2, -1)) for x in (p * t, p * p, t * t)]
    expected = 1 - (2 * sums[0] + 1e-5) / (sums[1] + sums[2] + 1e-5)
    found = losses.dice_loss(jax.nn.sigmoid(logits), truth, "mask", smooth=1e-5, squared=True)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_cross_entropy():
    logits, truth = draw(6, scale=20.0)
    p, t = sigmoid(logits), np.broadcast_to(truth, SHAPE)
    expected = -np.where(t == 1, np.log(p), np.log(sigmoid(-logits))).mean((-2, -1))
    found = losses.binary_cross_entropy(logits, truth)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_cross_entropy_with_a_weight_of_the_foreground():
    """As PyTorch's `pos_weight`, also with a soft truth of several raters."""
    logits = draw(1)[0]
    soft = jnp.asarray(np.random.default_rng(2).uniform(size=logits.shape), jnp.float32)
    p = np.asarray(sigmoid(np.asarray(logits, np.float64)))
    expected = -(2 * soft * np.log(p) + (1 - soft) * np.log1p(-p)).mean(axis=(-2, -1))
    found = losses.binary_cross_entropy(logits, soft, 2.0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
