import cv2
import numpy as np
import pytest

from samjax import visualization

GREY = np.full((60, 80, 3), 100, np.uint8)


@pytest.mark.parametrize("shape", [(6, 8), (6, 8, 1), (6, 8, 3), (6, 8, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, bool])
def test_any_image_becomes_a_picture(shape, dtype):
    image = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    picture = visualization.to_uint8_rgb(image)
    assert picture.shape == (6, 8, 3)
    assert picture.dtype == np.uint8
    assert picture.max() == (1 if dtype == np.uint8 else 255)
    assert not np.shares_memory(picture, image)


def test_colours_come_as_rgb():
    blue = np.zeros((2, 2, 3), np.uint8)
    blue[..., 0] = 255
    assert visualization.to_uint8_rgb(blue, "bgr")[0, 0].tolist() == [0, 0, 255]
    decoded = cv2.imdecode(
        np.frombuffer(visualization.encode_png(blue), np.uint8), cv2.IMREAD_COLOR
    )
    assert decoded[0, 0].tolist() == [0, 0, 255]


def test_no_drawing_changes_its_picture():
    before = GREY.copy()
    mask = np.zeros((30, 40), np.uint8)
    mask[10:20, 10:20] = 1
    drawn = [
        visualization.draw_mask(GREY, mask, visualization.TRUTH),
        visualization.draw_contour(GREY, mask, visualization.TRUTH),
        visualization.draw_box(GREY, (5, 5, 30, 30)),
        visualization.draw_points(GREY, np.array([[20.0, 20.0]]), np.array([1])),
    ]
    np.testing.assert_array_equal(GREY, before)
    assert all((picture != GREY).any() and picture.shape == GREY.shape for picture in drawn)


def test_a_mask_of_half_the_resolution_lies_where_it_should():
    mask = np.zeros((30, 40), np.uint8)
    mask[10:20, 5:15] = 1
    tinted = (visualization.draw_mask(GREY, mask, visualization.TRUTH) != GREY).any(-1)
    rows, columns = np.nonzero(tinted)
    assert (rows.min(), rows.max() + 1) == (20, 40)
    assert (columns.min(), columns.max() + 1) == (10, 30)


def test_box_covers_its_pixels_and_points_their_centres():
    box = (visualization.draw_box(GREY, (10, 20, 30, 40), thickness=1) != GREY).any(-1)
    rows, columns = np.nonzero(box)
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (10, 20, 30, 40)
    points = np.array([[20.0, 30.0], [60.0, 30.0], [40.0, 10.0]])
    clicks = visualization.draw_points(GREY, points, np.array([1, 0, -1]), radius=5)
    assert clicks[27, 17].tolist() == list(visualization.FOREGROUND)
    assert clicks[27, 57].tolist() == list(visualization.BACKGROUND)
    assert (clicks[:18] == 100).all()  # A point that is none is not drawn.


@pytest.mark.parametrize("width", [8, 40, 200])
def test_labels_stay_within_their_bar(width):
    bar = visualization.label_bar("a label of some length", width)
    assert bar.shape == (visualization.BAR_HEIGHT, width, 3)
    if width > 30:
        assert (bar[:, -4:] == visualization.PAPER).all()
    picture = visualization.add_label(GREY, "name")
    np.testing.assert_array_equal(picture[visualization.BAR_HEIGHT :], GREY)


def test_fit_keeps_the_aspect_ratio():
    assert visualization.resize_longest_side(GREY, 160).shape == (120, 160, 3)
    assert visualization.resize_longest_side(GREY, 40).shape == (30, 40, 3)
    assert visualization.resize_longest_side(np.zeros((1, 500, 3), np.uint8), 50).shape == (
        1,
        50,
        3,
    )


def test_grid_holds_pictures_of_any_size():
    rows = [[GREY, GREY[:20, :30]], [GREY[:10]]]
    picture = visualization.grid(rows, gap=2)
    assert picture.shape == (60 + 10 + 6, 80 + 30 + 6, 3)
    assert (picture == 100).all(-1).sum() == 60 * 80 + 20 * 30 + 10 * 80
