import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samjax.curation import curate, rules
from samjax.curation.case import Case, CaseSource, LabelMap
from samjax.curation.options import CurationOptions


def test_a_volume_is_normalised_by_one_range():
    volume = np.array([[[-1000, 0]], [[1000, 3000]]], np.int16)
    found = rules.to_uint8(volume, rules.intensity_range(volume))
    np.testing.assert_array_equal(found, [[[0, 64]], [[128, 255]]])


def test_a_window_clips():
    volume = np.array([-2000.0, -160.0, 40.0, 240.0, 5000.0, np.nan])
    found = rules.to_uint8(volume, rules.intensity_range(volume, rules.WINDOWS["abdomen"]))
    np.testing.assert_array_equal(found, [0, 0, 128, 255, 255, 0])


@pytest.mark.parametrize(
    ("class_name", "window"),
    [
        ("lung_upper_lobe_left", "lung"),
        ("Liver", "liver"),
        ("liver_tumor", "liver"),
        ("vertebrae_L1", "bone"),
        ("rib_left_3", "bone"),
        ("brain", "brain"),
        ("heart_ventricle_left", "mediastinum"),
        ("pancreas", "soft_tissue"),
        ("tribune", "soft_tissue"),  # Whole words only.
        ("label_7", "soft_tissue"),
    ],
)
def test_every_organ_has_a_window(class_name, window):
    assert rules.window_of(class_name) == window
    assert set(rules.ORGANS) <= set(rules.WINDOWS)


def test_percentiles_leave_out_the_extremes():
    volume = np.concatenate([np.arange(1000.0), [1e9]])
    low, high = rules.intensity_range(volume, percentiles=(0.5, 99.5))
    assert 4 < low < 6
    assert 994 < high < 997
    # Nearly all is one value: the whole range has to do.
    assert rules.intensity_range(np.array([0.0] * 999 + [7.0]), percentiles=(1, 99)) == (0, 7)


def test_what_is_no_number_does_not_count():
    assert rules.intensity_range(np.array([1.0, np.nan, np.inf, 3.0])) == (1, 3)
    with pytest.raises(ValueError, match="found no finite value"):
        rules.intensity_range(np.array([np.nan]))
    with pytest.raises(ValueError, match="expected low < high, found 5 and 5"):
        rules.intensity_range(np.zeros(3), window=(5, 5))


def test_a_constant_volume_is_black():
    assert not rules.to_uint8(np.full((2, 2), 7.0), (7.0, 7.0)).any()


def test_pictures_within_0_to_255_are_taken_as_they_are():
    assert rules.is_8_bit(np.array([[3, 250]], np.uint8))
    assert rules.is_8_bit(np.array([[0, 255]], np.uint16))
    for other in (np.array([[0, 256]]), np.array([[-1, 9]]), np.array([[0.5, 2.0]])):
        assert not rules.is_8_bit(other)


def test_slices_that_are_too_long_are_left_out():
    """The shorter side is at least half of the longer one."""
    kept = [*rules.slices((100, 80, 40))]
    assert {axis for axis, _ in kept} == {"x", "z"}  # 80 x 40 just is, 100 x 40 is not.
    assert len(kept) == 100 + 40
    assert [*rules.slices((10, 10, 10), "z")] == [("z", i) for i in range(10)]


def test_a_slice_has_the_first_axis_along_its_columns():
    volume = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    np.testing.assert_array_equal(rules.cut(volume, "z", 3), volume[:, :, 3].T)
    np.testing.assert_array_equal(rules.cut(volume, "y", 1), volume[:, 1, :].T)
    np.testing.assert_array_equal(rules.cut(volume, "x", 0), volume[0, :, :].T)
    assert rules.cut(np.zeros((2, 3, 4, 3)), "z", 0).shape == (3, 2, 3)


def test_a_class_in_pieces_is_a_mask_each_the_largest_first():
    mask = np.zeros((6, 9), bool)
    mask[0:2, 0:2] = True
    mask[2, 2] = True  # Touches by its corner: one piece.
    mask[4:6, 4:9] = True
    first, second = rules.components(mask)
    assert (first.sum(), second.sum()) == (10, 5)
    assert rules.components(np.zeros((4, 4))) == []


def test_an_object_of_two_label_files_counts_once():
    values = np.zeros((20, 30), np.uint8)
    values[2:12, 3:20] = 1
    labels = [LabelMap(one, {1: "tumour"}) for one in (values, values.copy(), values[::-1])]
    case = Case(np.full((20, 30), 90, np.uint8), False, tuple(labels))
    source = CaseSource("dicom", "a", "", "d", "ct_00", ("a",), ())
    counts = curate.Counts()
    (one,) = curate.slices_of(case, source, CurationOptions(), counts)
    assert [name for name, _ in one.masks] == ["tumour", "tumour"]
    assert counts.left_out == {"objects that are there twice": 1}


@given(st.integers(0, 2**32 - 1))
def test_components_are_disjoint_and_cover_the_mask(seed):
    mask = np.random.default_rng(seed).random((12, 15)) < 0.4
    pieces = rules.components(mask)
    assert [piece.sum() for piece in pieces] == sorted((p.sum() for p in pieces), reverse=True)
    np.testing.assert_array_equal(np.sum([*pieces, np.zeros_like(mask)], axis=0), mask)


def test_a_hundred_pixels_of_256_x_256_are_enough():
    mask = np.zeros((256, 256), bool)
    mask.flat[:99] = True
    assert not rules.large_enough(mask)
    mask.flat[99] = True
    assert rules.large_enough(mask)
    assert not rules.large_enough(np.eye(1000, dtype=bool)[:, :1] * np.ones((1, 1000), bool) * 0)
