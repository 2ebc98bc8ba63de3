import numpy as np
import pytest
from scipy import stats

from samjax.comparison import correlation, factors


def test_factors_of_a_rectangle():
    mask = np.zeros((50, 60), np.uint8)
    mask[10:20, 5:45] = 1  # 10 x 40; the ring is 1 high and 4 wide.
    image = np.where(mask == 1, 90, 0).astype(np.uint8)
    image[9:21, 1:49][mask[9:21, 1:49] == 0] = 30
    image[30:] = 255
    found = factors.measure(image, mask)
    assert (found.size, found.aspect, found.intensity) == (400, 0.25, 60)
    coloured = np.stack([image, image, 0 * image], axis=-1)
    assert factors.measure(coloured, mask).intensity == pytest.approx(40)
    assert factors.measure(255 - image, mask).intensity == 60  # Its sign does not count.


def test_factors_where_there_is_little_to_measure():
    image = np.random.default_rng(0).integers(0, 255, (20, 30), np.uint8)
    full = factors.measure(image, np.ones((20, 30), np.uint8))
    assert (full.size, full.intensity) == (600, 0)
    mask = np.zeros((20, 30), np.uint8)
    mask[0, 29] = 1
    corner = factors.measure(image, mask)
    around = image[:2, 28:].astype(int)
    expected = abs(around[0, 1] - (around.sum() - around[0, 1]) / 3)
    assert corner.intensity == pytest.approx(expected)
    assert (corner.size, corner.aspect, corner.complexity, corner.order) == (1, 1, 1, 1)


def effects_of(score, columns, kinds, subjects):
    return correlation.effects({"dice": score}, columns, kinds, subjects)["dice"]


def table(n=300, seed=0):
    rng = np.random.default_rng(seed)
    columns = rng.standard_normal((n, 3))
    columns[:, 1] += columns[:, 0]
    score = np.round(columns @ [1, -0.5, 0] + rng.standard_normal(n), 1)  # With equal values.
    kinds = rng.choice(["ct", "mr", "us"], n)
    score += 0.7 * (kinds == "us")
    names = ("size", "order", "noise")
    return (
        score,
        dict(zip(names, columns.T, strict=True)),
        kinds,
        rng.integers(0, 30, n).astype(str),
    )


def test_partial_correlations_are_those_of_the_inverse_matrix():
    score, columns, kinds, subjects = table()
    found = effects_of(score, columns, kinds, subjects)
    indicators = [kinds == kind for kind in ("mr", "us")]
    ranks = stats.rankdata(np.stack([score, *columns.values(), *indicators]), axis=1)
    inverse = np.linalg.pinv(np.corrcoef(ranks))
    for i, name in enumerate(columns, start=1):
        expected = -inverse[0, i] / np.sqrt(inverse[0, 0] * inverse[i, i])
        assert found.rho[name].value == pytest.approx(expected, abs=1e-10)
        assert found.rho[name].low < expected < found.rho[name].high
    assert found.rho["size"].low > 0.3 and found.rho["order"].high < -0.1
    assert found.rho["noise"].low < 0 < found.rho["noise"].high
    assert (found.masks, found.subjects) == (300, 30)


def test_the_categorys_effect_is_the_variance_that_it_alone_explains():
    score, columns, kinds, subjects = table()
    found = effects_of(score, columns, kinds, subjects).category
    rank = stats.rankdata(score)
    others = np.stack([np.ones(len(rank)), *map(stats.rankdata, columns.values())], axis=1)
    every = np.column_stack([others, kinds == "mr", kinds == "us"]).astype(float)
    left = [np.linalg.lstsq(x, rank)[1][0] for x in (others, every)]
    assert found.value == pytest.approx(1 - left[1] / left[0], abs=1e-10)
    assert 0 < found.low < found.value < found.high < 1


def test_one_factor_of_one_category_is_spearmans():
    score, columns, kinds, subjects = table()
    found = effects_of(score, {"size": columns["size"]}, ["ct"] * len(kinds), subjects)
    expected = stats.spearmanr(score, columns["size"])[0]
    assert found.rho["size"].value == pytest.approx(expected, abs=1e-10)
    assert found.category is None


def test_several_scores_at_once_are_each_by_itself():
    score, columns, kinds, subjects = table()
    scores = {"one": score, "same": 0 * score, "two": -(score**3)}
    found = correlation.effects(scores, columns, kinds, subjects)
    for name in ("one", "two"):
        assert found[name] == effects_of(scores[name], columns, kinds, subjects)
    assert found["same"].rho["size"] is None


def test_intervals_resample_subjects():
    """Every subject has ten equal masks: as if each had one."""
    score, columns, kinds, _ = table(40)
    single = effects_of(score, columns, kinds, [str(i) for i in range(40)])
    many = {name: np.repeat(column, 10) for name, column in columns.items()}
    subjects = [str(i) for i in range(40) for _ in range(10)]
    repeated = effects_of(np.repeat(score, 10), many, np.repeat(kinds, 10), subjects)
    for name in columns:
        np.testing.assert_allclose(repeated.rho[name], single.rho[name], atol=1e-6)


def test_there_is_no_effect_that_the_data_cannot_tell():
    score, columns, kinds, subjects = table()
    constant = effects_of(score, {**columns, "same": 0 * score}, kinds, subjects)
    assert constant.rho["same"] is None and constant.rho["size"] is not None
    twice = effects_of(score, {**columns, "again": columns["size"]}, kinds, subjects)
    assert set(twice.rho.values()) == {None} and twice.category is None
    assert set(effects_of(0 * score, columns, kinds, subjects).rho.values()) == {None}
    few = {name: column[:5] for name, column in columns.items()}
    found = effects_of(score[:5], few, kinds[:5], subjects[:5])
    assert set(found.rho.values()) == {None}
    one = effects_of(score, columns, kinds, ["s"] * len(score)).rho["size"]
    assert one.low is None and one.value > 0
