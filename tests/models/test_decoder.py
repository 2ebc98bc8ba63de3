import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small import shapes

from samjax import models, types
from samjax.models.prompt_encoder import PromptEncoder

B, K = 2, 3


@pytest.fixture(scope="module")
def predict():
    return jax.jit(models.predict_masks, static_argnums=(0, 4))


def make_prompts(max_points, mask_size=16, points=2, box=False, mask=False, seed=0):
    rng = np.random.default_rng(seed)
    empty = types.no_prompts(B, K, max_points, mask_size)
    coords = rng.uniform(0, 32, (B, K, points, 2))
    labels = rng.integers(0, 2, (B, K, points))
    corners = np.sort(rng.uniform(0, 32, (B, K, 2, 2)), axis=2).reshape(B, K, 4)
    return empty.replace(
        points=empty.points.at[:, :, :points].set(coords),
        labels=empty.labels.at[:, :, :points].set(labels),
        boxes=jnp.asarray(corners, jnp.float32),
        has_box=jnp.full((B, K), box),
        mask=jnp.asarray(rng.normal(size=empty.mask.shape), jnp.float32),
        has_mask=jnp.full((B, K), mask),
    )


COMBINATIONS = [
    {"points": points, "box": box, "mask": mask}
    for points in (0, 1)
    for box in (False, True)
    for mask in (False, True)
]


@pytest.mark.parametrize("kinds", COMBINATIONS)
def test_padding_never_changes_a_digit(predict, tiny, params, embedding, kinds):
    small, large = make_prompts(1, **kinds), make_prompts(9, **kinds)
    # What lies in padding, or in a prompt that is not there, must not matter either.
    large = large.replace(points=jnp.where(large.labels[..., None] == -10, 1e6, large.points))
    if not kinds["box"]:
        large = large.replace(boxes=large.boxes + 100)
    if not kinds["mask"]:
        large = large.replace(mask=large.mask + 100)
    for ours, theirs in zip(
        predict(tiny, params, embedding, small, True),
        predict(tiny, params, embedding, large, True),
        strict=True,
    ):
        # Sums of another length may round otherwise, and nothing more.
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_every_prompt_matters(predict, tiny, params, embedding):
    predictions = [
        predict(tiny, params, embedding, make_prompts(1, **kinds), True)[0]
        for kinds in COMBINATIONS
    ]
    for i, one in enumerate(predictions):
        for other in predictions[:i]:
            assert np.abs(one - other).max() > 1e-3


def test_all_combinations_share_one_compilation(predict, tiny, params, embedding):
    before = predict._cache_size()
    for kinds in COMBINATIONS:
        predict(tiny, params, embedding, make_prompts(5, **kinds), True)
    assert predict._cache_size() == before + 1


def test_objects_and_images_are_independent(predict, tiny, params, embedding):
    prompts = make_prompts(1, points=1, box=True, mask=True)
    other = make_prompts(1, points=1, box=True, mask=True, seed=1)
    mixed = jax.tree.map(lambda a, b: a.at[0, 1].set(b[0, 1]), prompts, other)
    changed = embedding.at[1].add(1.0)
    logits, iou = predict(tiny, params, embedding, prompts, True)
    mixed_logits, mixed_iou = predict(tiny, params, changed, mixed, True)
    same = np.array([[True, False, True], [False, False, False]])
    np.testing.assert_array_equal((logits == mixed_logits).all((-3, -2, -1)), same)
    np.testing.assert_array_equal((iou == mixed_iou).all(-1), same)


def test_shapes(tiny, params, embedding):
    for multimask, candidates in ((True, 3), (False, 1)):
        run = lambda g, m=multimask: models.predict_masks(tiny, params, embedding, g, m)  # noqa: E731
        logits, iou = jax.eval_shape(run, make_prompts(2))
        assert logits.shape == (B, K, candidates, 16, 16)
        assert iou.shape == (B, K, candidates)
        assert logits.dtype == iou.dtype == jnp.float32


def test_points_are_encoded_as_published(tiny, params):
    """Position by random Fourier features of the pixel's centre, plus the label's embedding."""
    prompts = make_prompts(3, points=3)
    prompts = prompts.replace(labels=jnp.broadcast_to(jnp.array([1, 0, -1]), (B, K, 3)))
    embedded = models.encode_prompts(tiny, params, prompts)
    own = params["prompt_encoder"]
    matrix = np.float64(own["pe_layer"]["positional_encoding_gaussian_matrix"])
    centred = 2 * (np.float64(prompts.points) + 0.5) / tiny.image_size - 1
    angles = 2 * np.pi * centred @ matrix
    position = np.concatenate([np.sin(angles), np.cos(angles)], -1)
    expected = np.broadcast_to(own["not_a_point_embed"], position.shape).copy()
    expected[:, :, 0] = position[:, :, 0] + own["point_embeddings_1"]
    expected[:, :, 1] = position[:, :, 1] + own["point_embeddings_0"]
    np.testing.assert_allclose(embedded.sparse[:, :, :3], expected, atol=1e-4)
    # One more token, SAM's padding point, is there since there is no box.
    np.testing.assert_allclose(embedded.sparse[:, :, 3], expected[:, :, 2], atol=1e-6)
    np.testing.assert_array_equal(embedded.valid[0, 0], [True] * 4 + [False] * 2)


@pytest.mark.parametrize(
    ("kinds", "valid"),
    [
        ({"points": 0}, [0, 0, 0, 0, 0]),
        ({"points": 0, "box": True}, [0, 0, 0, 1, 1]),
        ({"points": 1}, [1, 0, 1, 0, 0]),
        ({"points": 2}, [1, 1, 1, 0, 0]),
        ({"points": 2, "box": True}, [1, 1, 0, 1, 1]),
    ],
)
def test_which_tokens_are_present(tiny, params, kinds, valid):
    embedded = jax.jit(models.encode_prompts, static_argnums=0)(
        tiny, params, make_prompts(2, **kinds)
    )
    np.testing.assert_array_equal(embedded.valid, np.broadcast_to(np.array(valid, bool), (B, K, 5)))


def test_a_mask_prompt_of_another_side_is_named(tiny, params, unchecked):
    with pytest.raises(ValueError, match=r"prompts.mask: expected side 16, found shape .*17"):
        models.encode_prompts(tiny, params, make_prompts(2, mask_size=17))


@pytest.mark.heavy
def test_the_gaussian_matrix_never_gets_a_gradient(tiny, params, embedding):
    prompts = make_prompts(2, box=True, mask=True)

    def loss(params):
        logits, iou = models.predict_masks(tiny, params, embedding, prompts)
        return jnp.square(logits).mean() + iou.mean()

    gradient = jax.jit(jax.grad(loss))(params)["prompt_encoder"]
    assert (gradient["pe_layer"]["positional_encoding_gaussian_matrix"] == 0).all()
    assert (gradient["point_embeddings_2"] != 0).any()
    assert (gradient["mask_downscaling_0"]["kernel"] != 0).any()


@pytest.mark.heavy
def test_bfloat16(predict, tiny, params, embedding, change):
    config = change(dtype="bfloat16")
    prompts = make_prompts(2, box=True, mask=True)
    logits, iou = predict(config, params, embedding.astype(jnp.bfloat16), prompts, True)
    exact, exact_iou = predict(tiny, params, embedding, prompts, True)
    assert logits.dtype == iou.dtype == jnp.float32
    assert jnp.isfinite(logits).all()
    assert jnp.isfinite(iou).all()
    assert np.corrcoef(np.ravel(logits), np.ravel(exact))[0, 1] > 0.99
    np.testing.assert_allclose(iou, exact_iou, atol=0.1 * np.abs(exact_iou).max())


def test_position_encoding_is_float32_in_bfloat16(change, params):
    encoder = PromptEncoder(change(dtype="bfloat16"))
    variables = {"params": params["prompt_encoder"]}
    encoding = encoder.apply(variables, method=PromptEncoder.grid_encoding)
    assert encoding.dtype == jnp.float32


def test_more_candidates(change):
    config = change(num_multimask=2)
    logits, iou = jax.eval_shape(
        lambda params: models.predict_masks(
            config, params, jnp.zeros((B, 4, 4, 32)), make_prompts(1, points=1)
        ),
        shapes(config),
    )
    assert logits.shape == (B, K, 2, 16, 16)
    assert iou.shape == (B, K, 2)


@pytest.mark.heavy
def test_objects_select_prepared_images_by_index(tiny, params):
    """The second, first and second of two images, each with its own prompt."""
    embedding = jax.random.normal(jax.random.key(5), (2, 4, 4, 32))
    index = jnp.array([1, 0, 1])
    prompts = jax.tree.map(lambda x: x.reshape(-1, 1, *x.shape[2:])[:3], make_prompts(4, points=2))
    images = models.prepare_images(tiny, params, embedding).take(index)
    found = models.predict_prepared(tiny, params, images, prompts)
    expected = models.predict_masks(tiny, params, embedding[index], prompts)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    swapped = models.predict_masks(tiny, params, embedding[1 - index], prompts)
    assert np.abs(swapped[0] - found[0]).max() > 1e-2
