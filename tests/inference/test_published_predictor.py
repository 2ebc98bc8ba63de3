"""Predictor on image files: same numbers as the published code."""

import numpy as np
import pytest

import samjax
from samjax.data import files, inputs

pytestmark = [pytest.mark.parity, pytest.mark.heavy]
PICTURES = (
    "ct_00--SAMMed2D_demo--amos_0006--z_0090.png",
    "ct_00--SAMMed2D_demo--s0114--z_0111.png",
)


@pytest.fixture(scope="module")
def predictor(fixtures):
    return samjax.Predictor.from_pretrained(fixtures / "tiny_sam_med2d_256.pth")


@pytest.fixture(scope="module")
def forward(fixtures):
    with np.load(fixtures / "forward.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize("number", range(len(PICTURES)))
def test_predictor(predictor, forward, real_data, number):
    pixels, order = files.read_image(real_data / "images" / PICTURES[number])
    predictor.set_image(pixels, order.upper())
    embedding = forward["embedding_adapter_on"][number]
    np.testing.assert_allclose(predictor.get_image_embedding()[0], embedding, atol=2e-4)
    place = inputs.place(*pixels.shape[:2], 256, "pad_or_stretch")
    rows = slice(5 * number, 5 * number + 5)  # The published batch has five masks an image.

    fed = forward["mask_input"][rows].astype(np.float64)
    arguments = {
        "point": dict(
            point_coords=place.to_original(forward["point_coords"][rows]),
            point_labels=forward["point_labels"][rows],
        ),
        "box": dict(box=place.to_original(forward["boxes"][rows].reshape(5, 2, 2)).reshape(5, 4)),
        "mask": dict(mask_input=np.log(fed) - np.log1p(-fed)),  # The logits with this sigmoid.
    }
    for name, prompts in arguments.items():
        for multimask in (True, False):
            _, scores, low_res = predictor.predict(**prompts, multimask_output=multimask)
            logits = forward[f"{name}/low_res_logits_multimask_{multimask}"][rows]
            iou = forward[f"{name}/iou_multimask_{multimask}"][rows]
            np.testing.assert_allclose(low_res, logits, atol=2e-4 * np.abs(logits).max())
            np.testing.assert_allclose(scores, iou, atol=2e-4 * np.abs(iou).max())
