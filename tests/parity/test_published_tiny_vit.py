"""MobileSAM and LiteMedSAM against their published PyTorch code, from the file to the masks.

As a user has them: the `.pt` file goes to the `Predictor`, with no more than an image size.
"""

import os
from pathlib import Path

import numpy as np
import pytest

import samjax
from samjax.data import inputs

pytestmark = [pytest.mark.parity, pytest.mark.heavy]

SHARED = Path(__file__).parents[3] / "shared/fixtures"
# Tolerances, relative to the largest expected value.
EMBEDDING, LOW_RES, SCORES, LOGITS = 1e-4, 5e-4, 5e-4, 1e-3


def folder(variable, name):
    path = Path(os.environ.get(variable, SHARED / name))
    if not path.is_dir():
        pytest.skip(f"needs the outputs of the published code in {path} ({variable})")
    return path


def arrays(path):
    with np.load(path) as file:
        return dict(file)


@pytest.fixture(scope="module")
def mobile_folder():
    return folder("SAMJAX_MOBILE_FIXTURES", "tiny_mobile_sam")


@pytest.fixture(scope="module")
def mobile(mobile_folder):
    return arrays(mobile_folder / "mobile.npz")


@pytest.fixture(scope="module")
def mobile_predictor(mobile_folder, mobile):
    predictor = samjax.Predictor.from_pretrained(mobile_folder / "tiny_mobile.pt")
    predictor.set_image(mobile["image"])
    return predictor


@pytest.fixture(scope="module")
def lite():
    return arrays(folder("SAMJAX_LITE_FIXTURES", "tiny_lite_medsam") / "lite.npz")


@pytest.fixture(scope="module")
def lite_predictor(lite):
    checkpoint = folder("SAMJAX_LITE_FIXTURES", "tiny_lite_medsam") / "tiny_lite.pt"
    predictor = samjax.Predictor.from_pretrained(checkpoint)
    predictor.set_image(lite["image"])
    return predictor


def close(ours, theirs, tolerance):
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * np.abs(theirs).max())


def check_predictions(predictor, prompts, theirs, name):
    logits, scores, low_res = predictor.predict(**prompts, return_logits=True)
    close(low_res, theirs[f"{name}low_res"], LOW_RES)
    np.testing.assert_allclose(scores, theirs[f"{name}scores"], rtol=0, atol=SCORES)
    if f"{name}logits" in theirs:
        close(logits, theirs[f"{name}logits"], LOGITS)


def test_mobile_sam_embedding(mobile_predictor, mobile):
    close(mobile_predictor.get_image_embedding()[0], mobile["embedding"], EMBEDDING)


@pytest.mark.parametrize(
    "name",
    ["box/multi", "box/single", "points/multi", "points_box/single", "points_boxmask/single"],
)
def test_mobile_sam_masks(mobile_predictor, mobile, name):
    kinds, kind = name.split("/")
    prompts = {}
    if "points" in kinds:
        prompts |= dict(point_coords=mobile["points"], point_labels=mobile["labels"])
    if kinds in ("box", "points_box"):
        prompts["box"] = mobile["box"]
    if "boxmask" in kinds:  # The mask predicted from the box, without the box.
        prompts["mask_input"] = mobile["box/single/low_res"]
    if kind == "single":  # Three are the default.
        prompts["multimask_output"] = False
    check_predictions(mobile_predictor, prompts, mobile, f"{name}/")


def test_mobile_sam_at_256(mobile_folder, mobile):
    checkpoint = mobile_folder / "tiny_mobile.pt"
    predictor = samjax.Predictor.from_pretrained(checkpoint, image_size=256)
    predictor.set_image(mobile["image_256"])
    close(predictor.get_image_embedding()[0], mobile["embedding_256"], EMBEDDING)
    check_predictions(predictor, dict(box=mobile["box_256"]), mobile, "box_256/")


def test_lite_medsam_input(lite_predictor, lite):
    model = lite_predictor.model
    size = model.config.image_size
    found, placement = inputs.prepare_image(lite["image"], size, model.preprocessing)
    np.testing.assert_allclose(found, lite["input_256"], rtol=0, atol=1e-6)
    box = placement.to_input(lite["box"].reshape(2, 2)).ravel()
    np.testing.assert_allclose(box, lite["box_256"], rtol=0, atol=1e-3)


def test_lite_medsam(lite_predictor, lite):
    close(lite_predictor.get_image_embedding()[0], lite["embedding"], EMBEDDING)
    check_predictions(lite_predictor, dict(box=lite["box"]), lite, "")
