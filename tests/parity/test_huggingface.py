"""Plain SAM against Hugging Face's SamModel with random weights: needs no file from anywhere."""

import functools

import jax
import numpy as np
import pytest

from samjax import conversion, models, types

torch = pytest.importorskip("torch", reason="parity needs torch")
transformers = pytest.importorskip("transformers", reason="parity needs transformers")

pytestmark = [pytest.mark.parity, pytest.mark.heavy]

SIZE, OBJECTS = 128, 2


def _config():
    """Two windowed blocks with padding (grid 8, window 5) and one global one."""
    vision = transformers.SamVisionConfig(
        hidden_size=48,
        output_channels=64,
        num_hidden_layers=3,
        num_attention_heads=3,
        image_size=SIZE,
        window_size=5,
        global_attn_indexes=[1],
        mlp_dim=96,
        num_pos_feats=32,
    )
    prompt = transformers.SamPromptEncoderConfig(hidden_size=64, image_size=SIZE)
    # SAM's own decoder has 1e-5 where Hugging Face has 1e-6 by default.
    decoder = transformers.SamMaskDecoderConfig(
        hidden_size=64, mlp_dim=80, iou_head_hidden_dim=40, layer_norm_eps=1e-5
    )
    return transformers.SamConfig(
        vision_config=vision.to_dict(),
        prompt_encoder_config=prompt.to_dict(),
        mask_decoder_config=decoder.to_dict(),
    )


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Returns both models, with the same random weights."""
    torch.manual_seed(0)
    theirs = transformers.SamModel(_config()).eval()
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            # As made, biases and positions are zero: a mistake in them would go unnoticed.
            if "positional_embedding" not in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
    path = tmp_path_factory.mktemp("sam")
    theirs.save_pretrained(path)
    ours, _ = conversion.from_torch(path)
    return theirs, ours


@pytest.fixture(scope="module")
def embeddings(pair):
    """Returns the embeddings of two images by both: (2, 64, 8, 8) and (2, 8, 8, 64)."""
    theirs, ours = pair
    images = np.random.default_rng(1).normal(size=(2, SIZE, SIZE, 3)).astype(np.float32)
    with torch.no_grad():
        expected = theirs.get_image_embeddings(torch.from_numpy(images).permute(0, 3, 1, 2))
    with jax.default_matmul_precision("highest"):
        found = jax.jit(functools.partial(models.encode_image, ours.config))(ours.params, images)
    return expected, found


def _close(found, expected):
    expected = np.asarray(expected)
    tolerance = 1e-4 * np.abs(expected).max()
    np.testing.assert_allclose(np.asarray(found), expected, rtol=0, atol=tolerance)


def test_embedding(embeddings):
    expected, found = embeddings
    _close(np.einsum("bhwc->bchw", found), expected)


@pytest.mark.parametrize("multimask", [True, False])
@pytest.mark.parametrize("kinds", ["points", "box", "points box", "points mask", "none"])
def test_masks(pair, embeddings, kinds, multimask):
    theirs, ours = pair
    rng = np.random.default_rng(2)
    corners = np.sort(rng.uniform(0, SIZE, (2, OBJECTS, 2, 2)), axis=2).reshape(2, OBJECTS, 4)
    points = rng.uniform(0, SIZE, (2, OBJECTS, 3, 2)).astype(np.float32)
    labels = np.array([1, 0, -1], np.int32) * np.ones((2, OBJECTS, 1), np.int32)
    side = ours.config.mask_size
    # Hugging Face takes one mask for all objects of an image.
    masks = rng.normal(size=(2, 1, side, side)).astype(np.float32)
    prompts = types.no_prompts(2, OBJECTS, 3, side)
    inputs = {}
    if "points" in kinds:
        prompts = prompts.replace(points=points, labels=labels)
        inputs |= {"input_points": points, "input_labels": labels}
    if "box" in kinds:
        prompts = prompts.replace(boxes=corners.astype("f4"), has_box=prompts.has_box | True)
        inputs["input_boxes"] = corners.astype("f4")
    if "mask" in kinds:
        every = np.broadcast_to(masks, prompts.mask.shape)
        prompts = prompts.replace(mask=every, has_mask=prompts.has_mask | True)
        inputs["input_masks"] = masks
    tensors = {name: torch.from_numpy(value) for name, value in inputs.items()}
    with torch.no_grad():
        expected = theirs(image_embeddings=embeddings[0], multimask_output=multimask, **tensors)
    embedding = np.einsum("bchw->bhwc", embeddings[0].numpy())
    predict = jax.jit(functools.partial(models.predict_masks, ours.config, multimask=multimask))
    with jax.default_matmul_precision("highest"):
        logits, iou = predict(ours.params, embedding, prompts)
    objects = expected.iou_scores.shape[1]  # One where nothing is prompted.
    _close(logits[:, :objects], expected.pred_masks)
    _close(iou[:, :objects], expected.iou_scores)
