import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samjax import prompting

SIZE = 64
jitter = jax.jit(prompting.jitter_boxes, static_argnums=(2, 3, 4))
KEYS = jax.random.split(jax.random.key(2), (40, 50))


def boxes(*box):
    return jnp.broadcast_to(jnp.array(box, jnp.float32), (*KEYS.shape, 4))


@pytest.mark.parametrize(
    ("box", "limit"),
    [
        ((20, 24, 50, 40), 5.0),
        ((20, 24, 26, 40), 3.0),  # Half of the shorter side.
        ((10, 10, 11, 60), 0.5),
    ],
)
def test_coordinates_move_on_their_own_within_the_limit(box, limit):
    moves = np.asarray(jitter(KEYS, boxes(*box), "coordinate", 5.0, SIZE)) - box
    assert np.abs(moves).max() <= limit
    # All of the range is used, evenly on both sides.
    assert (moves.reshape(-1, 4).max(0) > 0.98 * limit).all()
    assert (moves.reshape(-1, 4).min(0) < -0.98 * limit).all()
    assert np.abs(moves.reshape(-1, 4).mean(0)).max() < 0.06 * limit
    assert np.abs(np.corrcoef(moves.reshape(-1, 4).T) - np.eye(4)).max() < 0.1


@pytest.mark.parametrize("box", [(0, 0, 64, 64), (0, 60, 1, 64), (62, 0, 63, 3), (5, 5, 6, 6)])
def test_a_jittered_box_stays_in_the_image_and_is_never_inverted(box):
    moved = np.asarray(jitter(KEYS, boxes(*box), "coordinate", 5.0, SIZE))
    assert (moved >= 0).all()
    assert (moved <= SIZE).all()
    assert (moved[..., :2] <= moved[..., 2:]).all()


@pytest.mark.parametrize(
    ("box", "limit"),
    [
        ((20, 24, 50, 40), 5),
        ((20, 24, 27, 40), 3),  # Half of 7, in whole pixels.
        ((10, 10, 11, 60), 0),
        ((0, 0, 30, 30), 5),  # May leave the image, as the published code's do.
    ],
)
def test_a_shift_moves_the_box_as_a_whole(box, limit):
    moves = np.asarray(jitter(KEYS, boxes(*box), "shift", 5.0, SIZE)) - box
    np.testing.assert_array_equal(moves[..., :2], moves[..., 2:])
    drawn = set(range(-limit, limit)) or {0}  # The upper limit itself is never drawn.
    assert set(np.unique(moves[..., 0])) == drawn
    assert set(np.unique(moves[..., 1])) == drawn
    if limit > 1:
        assert abs(np.corrcoef(moves[..., 0].ravel(), moves[..., 1].ravel())[0, 1]) < 0.1


def test_a_box_grows_outwards_by_whole_pixels_within_the_image():
    tight = boxes(3, 24, 50, 60)
    moves = np.asarray(jitter(KEYS, tight, "grow", 5.0, SIZE)) - np.asarray(tight)
    assert set(np.unique(moves[..., 0])) == {-3.0, -2.0, -1.0, 0.0}  # Clipped at the border.
    assert set(np.unique(moves[..., 1])) == set(range(-5, 1))
    assert set(np.unique(moves[..., 2])) == set(range(6))
    assert set(np.unique(moves[..., 3])) == set(range(5))
    assert abs(np.corrcoef(moves[..., 1].ravel(), moves[..., 2].ravel())[0, 1]) < 0.1


def test_no_jitter():
    tight = boxes(3, 4, 20, 21)
    np.testing.assert_array_equal(jitter(KEYS, tight, "none", 5.0, SIZE), tight)
