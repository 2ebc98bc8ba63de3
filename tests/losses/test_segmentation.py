import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samjax import losses, masks

B, K, C, LOW, SIZE = 2, 3, 3, 8, 16
OURS = losses.LossConfig()
REFERENCE = losses.LossConfig(
    reduction="batch", selection="predicted_iou", iou_supervision="selected"
)
compiled = jax.jit(losses.segmentation_loss, static_argnums=3)


def segmentation_loss(low_res, iou, truth, config):
    return compiled(jnp.asarray(low_res), jnp.asarray(iou), jnp.asarray(truth), config)


def draw(seed=0):
    rng = np.random.default_rng(seed)
    low_res = rng.normal(0, 3, (B, K, C, LOW, LOW)).astype(np.float32)
    iou = rng.random((B, K, C)).astype(np.float32)
    truth = np.zeros((B, K, SIZE, SIZE), bool)
    truth[:, :, 4:12, 6:14] = True  # Even bounds: exact at half the resolution, too.
    return low_res, iou, truth


def from_mask(mask, strength):
    """Returns low-resolution logits of a mask."""
    half = np.asarray(mask)[..., ::2, ::2]
    return np.where(half, strength, -strength).astype(np.float32)


def terms(low_res, truth, config):
    """Returns focal, dice, soft IoU and thresholded IoU by their definitions, float64."""
    logits = np.asarray(masks.upsample(jnp.asarray(low_res), SIZE), np.float64)
    p, t = 1 / (1 + np.exp(-logits)), np.asarray(truth, np.float64)
    right, weight = np.where(t == 1, p, 1 - p), np.where(t == 1, 0.25, 0.75)
    focal = (-weight * (1 - right) ** 2 * np.log(right)).mean((-2, -1))
    axes = None if config.reduction == "batch" else (-2, -1)
    both, predicted, true = (x.sum(axes) for x in (p * t, p, t))
    dice = 1 - (2 * both + 1) / (predicted + true + 1)
    hard = (logits > 0).astype(np.float64)
    hard_both = (hard * t).sum(axes)
    hard_iou = hard_both / (hard.sum(axes) + true - hard_both)
    return focal, dice, both / (predicted + true - both), hard_iou


def pick(values, chosen):
    return np.take_along_axis(values, chosen.reshape(B, K, *[1] * (values.ndim - 2)), 2)[:, :, 0]


def test_the_published_formula():
    low_res, iou, truth = draw()
    chosen = iou.argmax(-1)
    focal, dice, soft_iou, _ = terms(pick(low_res, chosen), truth, REFERENCE)
    error = np.square(pick(iou, chosen) - soft_iou).mean()
    loss, prediction = segmentation_loss(low_res, iou, truth, REFERENCE)
    assert float(loss) == pytest.approx(20 * focal.mean() + dice + error, rel=1e-5)
    assert float(prediction.focal) == pytest.approx(focal.mean(), rel=1e-5)
    assert float(prediction.dice_loss) == pytest.approx(dice, rel=1e-5)
    assert float(prediction.iou_error) == pytest.approx(error, rel=1e-5)


def test_our_formula():
    low_res, iou, truth = draw(1)
    config = dataclasses.replace(OURS, focal_weight=7.0, dice_weight=2.0, iou_weight=3.0)
    every = [terms(low_res[:, :, c], truth, config) for c in range(C)]
    focal, dice, _, hard_iou = (np.stack(values, 2) for values in zip(*every, strict=True))
    chosen = (7 * focal + 2 * dice).argmin(-1)
    error = np.square(iou - hard_iou).mean()
    expected = 7 * pick(focal, chosen).mean() + 2 * pick(dice, chosen).mean() + 3 * error
    loss, prediction = segmentation_loss(low_res, iou, truth, config)
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    np.testing.assert_array_equal(prediction.low_res, pick(low_res, iou.argmax(-1)))
    np.testing.assert_array_equal(prediction.iou, iou.max(-1))


def candidates():
    """Returns three candidates, of which each kind of selection prefers another."""
    _, _, truth = draw()
    slightly_wrong = truth.copy()
    slightly_wrong[:, :, 4:6, 6:8] = False
    blurred = from_mask(truth, 0.3)  # Right everywhere, but hardly sure.
    sure = from_mask(slightly_wrong, 8.0)  # A corner wrong, and sure of the others.
    wrong = from_mask(~truth, 8.0)
    low_res = np.stack([wrong, sure, blurred], axis=2)
    iou = np.broadcast_to(np.array([0.9, 0.2, 0.1], np.float32), (B, K, C))
    return low_res, iou, truth


def gets_gradient(low_res, iou, truth, selection):
    """Returns whether each candidate gets a gradient."""
    config = dataclasses.replace(OURS, selection=selection)
    gradient = jax.grad(lambda x: segmentation_loss(x, iou, truth, config)[0])(low_res)
    return np.abs(gradient).sum((-2, -1)) > 0


SELECTED = [("predicted_iou", 0), ("lowest_loss", 1), ("true_iou", 2)]


@pytest.mark.parametrize(("selection", "chosen"), SELECTED)
def test_only_the_selected_mask_learns_from_focal_and_dice(selection, chosen):
    found = gets_gradient(*candidates(), selection)
    np.testing.assert_array_equal(found, np.broadcast_to(np.arange(C) == chosen, (B, K, C)))


@pytest.mark.parametrize("selection", [selection for selection, _ in SELECTED])
def test_the_predicted_mask_is_the_one_of_highest_predicted_iou(selection):
    """As in use: the annotator corrects the mask that the IoU head prefers."""
    low_res, iou, truth = candidates()
    iou = iou.copy()
    iou[1, 2] = iou[1, 2, ::-1]
    expected = low_res[:, :, 0].copy()
    expected[1, 2] = low_res[1, 2, 2]
    config = dataclasses.replace(OURS, selection=selection)
    prediction = segmentation_loss(low_res, iou, truth, config)[1]
    np.testing.assert_array_equal(prediction.low_res, expected)
    np.testing.assert_array_equal(prediction.iou, iou.max(-1))
    predicted = np.asarray(masks.upsample(jnp.asarray(expected), SIZE)) > 0
    np.testing.assert_array_equal(prediction.predicted, predicted)


def test_selection_is_independent_for_every_object():
    low_res, iou, truth = candidates()
    low_res, iou = low_res.copy(), iou.copy()
    low_res[0, 1] = low_res[0, 1, ::-1]
    iou[1, 2] = iou[1, 2, ::-1]
    np.testing.assert_array_equal(gets_gradient(low_res, iou, truth, "lowest_loss").argmax(-1), 1)
    by_iou = gets_gradient(low_res, iou, truth, "predicted_iou").argmax(-1)
    np.testing.assert_array_equal(by_iou, iou.argmax(-1))


def gradients(config, only_iou=False):
    low_res, iou, truth = draw(2)
    if only_iou:
        config = dataclasses.replace(config, focal_weight=0.0, dice_weight=0.0)
    loss = lambda low_res, iou: segmentation_loss(low_res, iou, truth, config)[0]  # noqa: E731
    return jax.grad(loss, (0, 1))(low_res, iou), iou


def test_all_predicted_ious_learn_and_no_mask_learns_through_them():
    (by_mask, by_iou), _ = gradients(OURS, only_iou=True)
    assert (by_iou != 0).all()
    assert (by_mask == 0).all()


def test_only_the_selected_iou_learns_and_its_mask_through_it():
    (by_mask, by_iou), iou = gradients(REFERENCE, only_iou=True)
    selected = np.arange(C) == iou.argmax(-1)[..., None]
    np.testing.assert_array_equal(by_iou != 0, selected)
    np.testing.assert_array_equal(np.abs(by_mask).sum((-2, -1)) > 0, selected)


def test_extreme_logits_stay_finite():
    _, iou, truth = draw()
    for value in (-100.0, 100.0):
        for config in (OURS, REFERENCE):
            low_res = jnp.full((B, K, C, LOW, LOW), value)
            loss = lambda x, config=config: segmentation_loss(x, iou, truth, config)[0]  # noqa: E731
            value_of, gradient = jax.value_and_grad(loss)(low_res)
            assert jnp.isfinite(value_of)
            assert jnp.isfinite(gradient).all()


def test_mean_dice_is_that_of_the_thresholded_masks():
    _, iou, truth = draw()
    low_res = np.stack([from_mask(truth, 5.0)] * C, axis=2)
    predicted = np.asarray(masks.upsample(jnp.asarray(low_res[:, :, 0]), SIZE)) > 0
    both = (predicted & truth).sum((-2, -1))
    dice = (2 * both / (predicted.sum((-2, -1)) + truth.sum((-2, -1)))).mean()
    prediction = segmentation_loss(low_res, iou, truth, OURS)[1]
    assert float(prediction.mean_dice) == pytest.approx(dice, rel=1e-5)


def test_one_candidate():
    low_res, iou, truth = draw()
    prediction = segmentation_loss(low_res[:, :, :1], iou[:, :, :1], truth, OURS)[1]
    np.testing.assert_array_equal(prediction.low_res, low_res[:, :, 0])


MEDSAM = losses.LossConfig(
    focal_weight=0.0, dice_weight=1.0, bce_weight=1.0, iou_weight=0.0, dice="squared"
)


def test_the_loss_of_medsam(method_fixtures):
    """Dice and cross-entropy of the published code's single mask, before its first update."""
    with np.load(method_fixtures / "medsam/medsam.npz") as file:
        arrays = dict(file)
    low_res, truth = arrays["low_res_logits"][:, None], arrays["truth"] > 0
    iou = np.zeros(low_res.shape[:3], np.float32)
    loss, prediction = segmentation_loss(low_res, iou, truth, MEDSAM)
    expected = arrays["train/loss_dice_bce_rate"][0]
    found = loss, prediction.dice_loss, prediction.bce
    np.testing.assert_allclose(found, expected[:3], rtol=1e-5)


def test_the_loss_of_medsams_first_version_compares_low_resolution_logits():
    low_res, iou, truth = draw()
    low_res = low_res[:, :, :1]
    config = losses.LossConfig(
        focal_weight=0.0, iou_weight=0.0, dice="squared", at="low_res", selection="predicted_iou"
    )
    loss, prediction = segmentation_loss(low_res, iou[:, :, :1], truth, config)
    p, t = 1 / (1 + np.exp(-np.float64(low_res[:, :, 0]))), truth[:, :, 1::2, 1::2]
    area = (p**2).sum((2, 3)) + t.sum((2, 3))
    dice = 1 - (2 * (p * t).sum((2, 3)) + 1e-5) / (area + 1e-5)
    assert float(loss) == pytest.approx(dice.mean(), rel=1e-5)
    assert prediction.predicted.shape == truth.shape  # The next clicks are at input resolution.
    at_input = np.asarray(masks.upsample(jnp.asarray(low_res[:, :, 0]), SIZE)) > 0
    assert (prediction.predicted == at_input).all()


@pytest.mark.parametrize(("bce_weight", "expected"), [(1e-6, 2), (1.0, 1)])
def test_cross_entropy_takes_part_in_the_selection(bce_weight, expected):
    """It prefers a hesitant mask to one with some wrong pixels, of which it is certain."""
    low_res, iou, truth = draw()
    low_res[:, :, 0] = -from_mask(truth, 20)
    low_res[:, :, 1] = from_mask(truth, 0.1)
    low_res[:, :, 2] = from_mask(truth, 20)
    low_res[:, :, 2, 0] = 20  # A row of the background.
    config = dataclasses.replace(MEDSAM, bce_weight=bce_weight)
    gradient = jax.grad(lambda x: segmentation_loss(x, iou, truth, config)[0])
    trained = np.abs(np.asarray(gradient(jnp.asarray(low_res)))).sum((-1, -2)) > 0
    np.testing.assert_array_equal(trained, np.arange(C) == np.full((B, K, 1), expected))


def test_the_weight_of_the_foreground():
    low_res, iou, truth = draw()
    config = dataclasses.replace(MEDSAM, dice_weight=0.0, bce_positive_weight=2.0)
    found, prediction = segmentation_loss(low_res[:, :, :1], iou[:, :, :1], truth, config)
    logits = masks.upsample(jnp.asarray(low_res[:, :, :1]), SIZE)
    target = jnp.asarray(truth, jnp.float32)[:, :, None]
    expected = losses.binary_cross_entropy(logits, target, 2.0).mean()
    np.testing.assert_allclose([found, prediction.bce], expected, rtol=1e-6)
