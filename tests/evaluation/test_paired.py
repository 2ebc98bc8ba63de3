import numpy as np
import pytest
from scipy import stats

from samjax.evaluation.metrics import paired


def mean_difference(a, b, axis):
    return np.mean(b - a, axis=axis)


@pytest.mark.parametrize("seed", range(5))
def test_p_is_exactly_that_of_scipy_with_one_mask_a_subject(seed):
    rng = np.random.default_rng(seed)
    first, second = rng.normal(0, 1, 9), rng.normal(0.4, 1, 9)
    judge = stats.permutation_test(
        (first, second),
        mean_difference,
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf,
    )
    (found,) = paired.compare(first[:, None], second[:, None], np.arange(9))
    assert found.p == pytest.approx(judge.pvalue, rel=1e-12)
    assert found.difference == pytest.approx(judge.statistic, rel=1e-12)


def test_p_flips_whole_subjects_as_scipy_does_with_their_sums():
    rng = np.random.default_rng(1)
    subjects = np.repeat(np.arange(8), [1, 5, 2, 2, 3, 1, 4, 7])
    first = rng.normal(0, 1, len(subjects))
    second = first + 0.3 * rng.normal(1, 2, 8)[subjects] + rng.normal(0, 0.1, len(subjects))
    sums = [np.bincount(subjects, scores) for scores in (first, second)]
    judge = stats.permutation_test(
        sums, mean_difference, permutation_type="samples", vectorized=True, n_resamples=np.inf
    )
    (found,) = paired.compare(first[:, None], second[:, None], subjects)
    (by_mask,) = paired.compare(first[:, None], second[:, None], np.arange(len(subjects)))
    assert found.p == pytest.approx(judge.pvalue, rel=1e-12)
    assert by_mask.p < found.p  # Masks of a subject alike are no further proof.


def test_random_flips_agree_with_all_flips(monkeypatch):
    rng = np.random.default_rng(2)
    difference, subjects = rng.normal(0.3, 1, (14, 3)), np.arange(14)
    exact = paired.permutation_p(difference, subjects)
    monkeypatch.setattr(paired, "EXACT", 0)
    drawn = paired.permutation_p(difference, subjects)
    error = 4 * np.sqrt(exact * (1 - exact) / paired.FLIPS)
    assert (np.abs(drawn - exact) < error).all() and (drawn != exact).any()


def test_p_of_exchangeable_models_is_uniform():
    rng = np.random.default_rng(3)
    difference = rng.normal(0, 1, (12, 2000)) * rng.uniform(0.1, 3, (12, 1))
    p = paired.permutation_p(difference, np.arange(12))
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_known_values():
    """Three subjects, each better by 1: of 8 flips, the two extreme ones are as far from 0."""
    first = np.array([[0.0], [1.0], [2.0]])
    (found,) = paired.compare(first, first + 1, np.array(["a", "b", "c"]))
    assert found == (1.0, 2.0, 1.0, 1.0, 1.0, 0.25, 3, 0, 0)


def test_equal_scores_and_a_single_subject():
    scores = np.arange(8.0)[:, None]
    (same,) = paired.compare(scores, scores, np.arange(8))
    assert same[2:] == (0, 0, 0, 1, 0, 8, 0)
    (alone,) = paired.compare(scores, scores[::-1] + 1, np.zeros(8))
    assert alone.low is alone.high is None and alone.p == 1 and alone.difference == 1
    assert (alone.higher, alone.equal, alone.lower) == (4, 1, 3)


def test_interval_is_that_of_the_differences_not_of_the_scores():
    """Two models that differ by little on masks that differ by much."""
    rng = np.random.default_rng(4)
    first = rng.uniform(0, 1, (40, 1))
    second = first + 0.02 + rng.normal(0, 0.01, (40, 1))
    (found,) = paired.compare(first, second, np.arange(40))
    assert found.low is not None and 0.01 < found.low < found.difference < found.high < 0.03
    assert found.p == pytest.approx(1 / (1 + paired.FLIPS))


def test_other_masks_are_an_error():
    with pytest.raises(ValueError, match="expected scores of the same 3 masks"):
        paired.compare(np.zeros((3, 1)), np.zeros((4, 1)), np.arange(3))
    with pytest.raises(ValueError, match="at least one value"):
        paired.compare(np.zeros((0, 1)), np.zeros((0, 1)), np.arange(0))
