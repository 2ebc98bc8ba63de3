"""Embeddings, prompts, logits and IoU against the published PyTorch code's own."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import published
import pytest

from samjax import models

pytestmark = pytest.mark.parity

MAX_POINTS = 6  # More than any combination has, so that padding is in every comparison.
COMBINATIONS = {
    "point": ("point",),
    "box": ("box",),
    "points3": ("points3",),
    "points3_box": ("points3", "box"),
    "points3_mask": ("points3", "mask"),
    "mask": ("mask",),
    "none": (),
}

encode = jax.jit(models.encode_image, static_argnums=(0, 3))
embed = jax.jit(models.encode_prompts, static_argnums=0)
decode = jax.jit(models.decode_masks, static_argnums=(0, 4))


@pytest.fixture(scope="module")
def forward(fixtures):
    return published.forward(fixtures)


@pytest.fixture(scope="module")
def adapted(fixtures):
    return published.load(fixtures, published.ADAPTED)


@pytest.fixture(scope="module")
def embedding(adapted, forward):
    return encode(adapted.config, adapted.params, forward.images, True)


def close(ours, theirs, tolerance):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)


@pytest.mark.parametrize("adapters", [True, False])
def test_embedding(adapted, forward, adapters):
    ours = encode(adapted.config, adapted.params, forward.images, adapters)
    theirs = forward.arrays[f"embedding_adapter_{'on' if adapters else 'off'}"]
    close(ours, published.channels_last(theirs), 2e-4)


def test_embedding_with_remat(adapted, forward, embedding):
    import dataclasses

    remat = dataclasses.replace(adapted.config, remat=True)
    close(encode(remat, adapted.params, forward.images, True), embedding, 1e-6)


def test_embedding_of_plain_sam_resized(fixtures, forward):
    plain = published.load(fixtures, published.PLAIN, 256)
    ours = encode(plain.config, plain.params, forward.images, True)
    close(ours, published.channels_last(forward.arrays["embedding_sam1024_resized_to_256"]), 2e-4)


def test_embedding_of_plain_sam_at_1024(fixtures, forward):
    plain = published.load(fixtures, published.PLAIN)
    theirs = published.channels_last(forward.arrays["embedding_sam1024_at_1024"])
    # The published run enlarges the first image four times, bilinearly, after normalisation.
    size = (1, 1024, 1024, 3)
    image = jax.image.resize(forward.images[:1], size, "bilinear", antialias=False)
    close(encode(plain.config, plain.params, image, True), theirs, 2e-4)


def test_position_encoding_of_the_grid(adapted, forward):
    from samjax.models.prompt_encoder import PromptEncoder

    variables = {"params": adapted.params["prompt_encoder"]}
    ours = PromptEncoder(adapted.config).apply(variables, method=PromptEncoder.grid_encoding)
    close(ours, published.channels_last(forward.arrays["dense_pe"])[0], 1e-5)


def make_prompts(forward, adapted, kinds):
    arrays = forward.arrays
    sources = {
        "point": {"points": (arrays["point_coords"], arrays["point_labels"])},
        "points3": {"points": (arrays["points3_coords"], arrays["points3_labels"])},
        "box": {"boxes": arrays["boxes"]},
        "mask": {"mask": forward.by_object(arrays["mask_input"][:, 0])},
    }
    merged = functools.reduce(lambda a, b: a | b, (sources[kind] for kind in kinds), {})
    return forward.prompts(adapted.config.mask_size, MAX_POINTS, **merged)


@pytest.mark.parametrize("name", COMBINATIONS)
def test_prompts(adapted, forward, name):
    embedded = embed(
        adapted.config, adapted.params, make_prompts(forward, adapted, COMBINATIONS[name])
    )
    theirs = forward.by_object(forward.arrays[f"{name}/sparse"])
    present = np.asarray(embedded.valid)
    assert (present == present[0, 0]).all()
    close(np.asarray(embedded.sparse)[:, :, present[0, 0]], theirs, 1e-5)
    means = forward.by_object(forward.arrays[f"{name}/dense_channel_mean"])
    close(embedded.dense.mean(axis=(2, 3)), means, 1e-5)


@pytest.mark.parametrize("multimask", [True, False])
@pytest.mark.parametrize("name", COMBINATIONS)
def test_masks(adapted, forward, embedding, name, multimask):
    prompts = make_prompts(forward, adapted, COMBINATIONS[name])
    embedded = embed(adapted.config, adapted.params, prompts)
    logits, iou = decode(adapted.config, adapted.params, embedding, embedded, multimask)
    their_logits = forward.by_object(forward.arrays[f"{name}/low_res_logits_multimask_{multimask}"])
    their_iou = forward.by_object(forward.arrays[f"{name}/iou_multimask_{multimask}"])
    close(logits, their_logits, 2e-4 * np.abs(their_logits).max())
    close(iou, their_iou, 2e-4 * np.abs(their_iou).max())


def test_prompt_combinations_share_one_compilation(adapted, forward, embedding):
    predict = jax.jit(models.predict_masks, static_argnums=(0, 4))
    predict.clear_cache()  # JAX keeps one cache per function, whoever compiles it.
    for kinds in COMBINATIONS.values():
        prompts = make_prompts(forward, adapted, kinds)
        predict(adapted.config, adapted.params, embedding, prompts, True)
    assert predict._cache_size() == 1


def test_bfloat16_stays_near(adapted, forward, embedding):
    import dataclasses

    half = dataclasses.replace(adapted.config, dtype="bfloat16")
    ours = encode(half, adapted.params, forward.images, True).astype(jnp.float32)
    close(ours, embedding, 0.05 * float(jnp.abs(embedding).max()))
