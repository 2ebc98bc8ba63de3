import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samjax.curation import labels
from samjax.curation.case import CaseError
from samjax.curation.labels import OBJECT, to_label_maps
from samjax.curation.options import Dataset

COLOURS = Dataset(classes={"core": "#ff0000", "oedema": "#00ff00"})


def to_label_map(stored, known):
    (found,) = to_label_maps(stored, known)
    return found


def colour_map():
    image = np.zeros((40, 40, 3), np.uint8)
    image[5:25, 5:25] = (0, 255, 0)
    image[10:18, 10:18] = (255, 0, 0)
    return image


def areas(label):
    return {label.name_of(v): int((label.values == v).sum()) for v in np.unique(label.values) if v}


def test_colours_are_classes():
    assert areas(to_label_map(colour_map(), COLOURS)) == {"core": 64, "oedema": 336}


def test_colours_without_a_table_are_named_by_their_code():
    assert areas(to_label_map(colour_map(), Dataset())) == {
        "colour_ff0000": 64,
        "colour_00ff00": 336,
    }


@pytest.mark.parametrize("known", [COLOURS, Dataset()])
def test_antialiased_edges_take_the_nearest_colour(known):
    large = cv2.resize(colour_map(), (160, 160), interpolation=cv2.INTER_LINEAR)
    assert len(np.unique(large.reshape(-1, 3), axis=0)) > 10
    found = to_label_map(large, known)
    assert len(areas(found)) == 2
    expected = np.array([64, 336]) * 16
    assert np.abs(np.array(sorted(areas(found).values())) / expected - 1).max() < 0.1


def test_a_photograph_is_no_label():
    image = np.random.default_rng(0).integers(0, 8, (64, 64, 3)).astype(np.uint8) * 30
    with pytest.raises(CaseError, match="expected labels of a few colours, found"):
        to_label_map(image, Dataset())


def test_an_alpha_channel_is_dropped():
    image = np.dstack([colour_map(), np.full((40, 40), 255, np.uint8)])
    assert areas(to_label_map(image, COLOURS)) == {"core": 64, "oedema": 336}


@pytest.mark.parametrize("values", [(0, 1), (0, 255), (False, True)])
def test_two_values_are_one_mask(values):
    stored = np.array([values, values[::-1]])
    stored = stored if stored.dtype == bool else stored.astype(np.uint8)
    found = to_label_map(stored, Dataset(class_name="lesion"))
    assert areas(found) == {"lesion": 2}
    assert areas(to_label_map(np.dstack([np.uint8(stored)] * 3), Dataset())) == {OBJECT: 2}


def test_a_jpeg_mask_is_cut_at_half():
    mask = np.zeros((64, 64), np.uint8)
    cv2.circle(mask, (30, 30), 15, 255, -1)
    _, data = cv2.imencode(".jpg", mask, [cv2.IMWRITE_JPEG_QUALITY, 70])
    stored = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    assert len(np.unique(stored)) > 5
    np.testing.assert_array_equal(to_label_map(stored, Dataset()).values, mask > 127)


def test_a_map_of_few_labels_is_classes():
    stored = np.array([[0, 1, 2], [3, 3, 0]], np.uint8)
    assert areas(to_label_map(stored, Dataset())) == {"label_1": 1, "label_2": 1, "label_3": 2}
    named = Dataset(classes={"liver": 3, "kidney": 1})
    found = to_label_map(stored, named)
    assert areas(found) == {"kidney": 1, "liver": 2}  # What the table does not name is left out,
    assert found.unnamed == 1  # and counted.


def test_many_labels_in_one_piece_each_are_instances():
    stored = np.zeros((40, 40), np.uint16)
    for i in range(25):
        y, x = divmod(i, 5)
        stored[8 * y : 8 * y + 8, 8 * x : 8 * x + 8] = i + 1  # They touch.
    found = to_label_map(stored, Dataset(class_name="nucleus"))
    assert set(found.names.values()) == {"nucleus"}
    assert len(np.unique(found.values)) == 25
    as_told = to_label_map(stored, Dataset(kind="classes"))
    assert as_told.name_of(7) == "label_7"


def test_whole_floats_are_labels_and_others_are_not():
    assert areas(to_label_map(np.array([[0.0, 2.0]]), Dataset())) == {"label_2": 1}
    for wrong in (0.37, np.nan):
        with pytest.raises(CaseError, match="expected whole numbers as labels, found"):
            to_label_map(np.array([[0.0, wrong]]), Dataset())
    with pytest.raises(CaseError, match="expected labels from 0 on, found -1"):
        to_label_map(np.array([[0, -1]]), Dataset())


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 6))
def test_layers_hold_every_mask_whole(seed, count):
    rng = np.random.default_rng(seed)
    masks = [(f"class_{i % 3}", rng.random((4, 5, 6)) < rng.uniform(0, 0.3)) for i in range(count)]
    maps = labels.layered(iter(masks))
    found = [
        (label.names[int(value)], label.values == value)
        for label in maps
        for value in np.unique(label.values)
        if value
    ]
    expected = [(name, mask) for name, mask in masks if mask.any()]
    assert len(found) == len(expected)
    for name, mask in expected:
        assert any(name == other and (mask == values).all() for other, values in found)


def test_what_does_not_overlap_shares_a_map():
    masks = [(str(i), np.arange(600).reshape(10, 60) == i) for i in range(300)]
    maps = labels.layered(masks)
    assert [len(label.names) for label in maps] == [255, 45]
    assert len(labels.layered([masks[0], masks[0]])) == 2
