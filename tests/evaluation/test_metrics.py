import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from samjax.evaluation import metrics

PAIRS = hnp.arrays(bool, (2, 5, 6))


@given(PAIRS)
def test_dice_and_iou_equal_those_of_sets_of_pixels(pair):
    predicted, truth = ({tuple(at) for at in np.argwhere(mask)} for mask in pair)
    counts = (len(predicted & truth), len(predicted), len(truth))
    union = len(predicted | truth)
    expected_iou = len(predicted & truth) / union if union else 1.0
    assert metrics.iou(*counts) == expected_iou
    assert metrics.dice(*counts) == pytest.approx(2 * expected_iou / (1 + expected_iou))


def test_empty_masks_score_as_in_the_published_code():
    eps = 1e-7
    for counts in ((0, 0, 0), (0, 5, 0), (0, 0, 5)):
        published = (2 * counts[0] + eps) / (counts[1] + counts[2] + eps)
        assert metrics.dice(*counts) == pytest.approx(published, abs=1e-7)
        assert metrics.iou(*counts) == metrics.dice(*counts)


def test_counts_of_numpy_and_of_jax_give_the_same():
    counts = np.array([[0, 0, 0], [3, 5, 4], [0, 2, 0]])
    for function in (metrics.dice, metrics.iou):
        on_device = jax.jit(function)(*jnp.asarray(counts).T)
        np.testing.assert_allclose(on_device, function(*counts.T), rtol=1e-6)


@given(st.integers(0, 5))
def test_interval_holds_the_mean_and_repeats(seed):
    values = np.random.default_rng(seed).random((40, 2))
    subjects = np.arange(40) // 4
    means = metrics.bootstrap_means(values, subjects, seed)
    assert means == metrics.bootstrap_means(values, subjects, seed)
    for column, mean in zip(values.T, means, strict=True):
        assert mean.value == pytest.approx(column.mean())
        assert 0 <= mean.low < mean.value < mean.high <= 1


def test_masks_of_one_subject_are_not_independent():
    """Ten equal masks of a subject give the interval of one; as ten subjects, a narrower one."""
    values = np.repeat(np.random.default_rng(0).random((20, 1)), 10, axis=0)
    (by_subject,) = metrics.bootstrap_means(values, np.arange(200) // 10)
    (single,) = metrics.bootstrap_means(values[::10], np.arange(20))
    (naive,) = metrics.bootstrap_means(values, np.arange(200))
    width = by_subject.high - by_subject.low
    assert width == pytest.approx(single.high - single.low, rel=0.15)
    assert width > 2 * (naive.high - naive.low)


def test_interval_covers_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(100):
        (mean,) = metrics.bootstrap_means(rng.random((50, 1)), np.arange(50))
        hits += mean.low <= 0.5 <= mean.high
    assert 85 <= hits <= 100


def test_one_subject_has_no_interval():
    values = np.random.default_rng(0).random((5, 2))
    means = metrics.bootstrap_means(values, np.zeros(5))
    assert [(m.low, m.high) for m in means] == [(None, None)] * 2
    np.testing.assert_allclose([m.value for m in means], values.mean(axis=0))


def test_no_values_are_an_error():
    with pytest.raises(ValueError, match="found none"):
        metrics.bootstrap_means(np.zeros((0, 1)), np.zeros(0))
