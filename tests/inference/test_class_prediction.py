"""Prediction of classes: arrays, folders, and prompts where there is no place for them."""

import dataclasses
import json

import cv2
import jax
import numpy as np
import pytest
from PIL import Image
from small import random_params

from samjax import cli, models
from samjax.data.classes import with_colors
from samjax.data.inputs import Preprocessing
from samjax.inference import Predictor, class_files, image_files
from samjax.models import HeadConfig, directory
from samjax.models.directory import Model

CLASSES = with_colors(["liver", "left kidney", "spleen"])


@pytest.fixture(scope="module")
def semantic():
    head = HeadConfig("semantic", classes=len(CLASSES))
    config = models.tiny(peft=models.PeftConfig("lora"), head=head)
    return Model(config, Preprocessing(), random_params(config), CLASSES)


@pytest.fixture
def scans(tmp_path, photo):
    (tmp_path / "in").mkdir()
    for name, size in {"a": (50, 60), "b": (40, 30)}.items():
        cv2.imwrite(str(tmp_path / f"in/{name}.png"), photo(*size, 3))
    return tmp_path / "in"


@pytest.mark.heavy
def test_labels_have_the_images_size_and_are_the_highest_logits(semantic, photo):
    predictor = Predictor(semantic)
    predictor.set_image(photo(32, 32, 3))  # The size of the input.
    found = predictor.predict_classes()
    assert found.class_map.shape == (32, 32) and found.class_map.dtype == np.uint8
    side = models.tiny().mask_size
    assert found.low_res.shape == (len(CLASSES) + 1, side, side)
    full = jax.image.resize(found.low_res, (4, 32, 32), "bilinear", antialias=False)
    differ = found.class_map != full.argmax(0)
    assert differ.mean() < 0.01  # Rounding of near ties.


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_probabilities_sum_to_one_and_the_highest_is_the_label(semantic, photo, dtype):
    config = dataclasses.replace(semantic.config, dtype=dtype)
    predictor = Predictor(dataclasses.replace(semantic, config=config))
    predictor.set_image(photo(45, 70, 3))
    class_map, probabilities, low_res = predictor.predict_classes(return_probabilities=True)
    assert probabilities.shape == (len(CLASSES) + 1, 45, 70)
    assert probabilities.dtype == low_res.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(0), 1, atol=1e-5)
    assert (probabilities.argmax(0) != class_map).mean() < 0.01  # Rounding of near ties.
    assert predictor.predict_classes().probabilities is None


@pytest.mark.parametrize("kind", ["autosam", "cnn", "linear"])
def test_heads_without_prompt_encoder_have_embeddings_and_classes(kind, photo):
    head = HeadConfig(kind, classes=len(CLASSES))
    config = models.tiny(peft=models.PeftConfig("none"), head=head)
    params = random_params(config)
    assert "prompt_encoder" not in params
    predictor = Predictor(Model(config, Preprocessing(), params, CLASSES))
    predictor.set_image(photo(40, 30, 3))
    grid = config.grid_size
    assert predictor.get_image_embedding().shape == (1, config.prompt_dim, grid, grid)
    assert predictor.predict_classes().class_map.shape == (40, 30)


def test_a_batch_is_its_images(semantic, photo):
    predictor, images = Predictor(semantic), [photo(50, 60, 3), photo(33, 20, 3), photo(9, 9)]
    predictor.set_image_batch(images)
    together = predictor.predict_classes_batch()
    assert [each.class_map.shape for each in together] == [(50, 60), (33, 20), (9, 9)]
    predictor.set_image(images[1])
    alone = predictor.predict_classes()
    np.testing.assert_allclose(together[1].low_res, alone.low_res, atol=1e-4)


def test_prompts_need_a_model_of_masks_and_classes_a_semantic_one(semantic, model, photo):
    predictor = Predictor(semantic)
    predictor.set_image(photo(32, 32, 3))
    with pytest.raises(ValueError, match=r"prompts: expected none.*call predict_classes"):
        predictor.predict(box=[1, 1, 8, 8])
    promptable = Predictor(model)
    promptable.set_image(photo(32, 32, 3))
    with pytest.raises(ValueError, match=r"model.head.kind: expected a semantic head"):
        promptable.predict_classes()


def test_a_folder_of_class_maps_that_is_made_once(semantic, scans, tmp_path, monkeypatch):
    predictor, out = Predictor(semantic), tmp_path / "out"
    images = image_files.find_images([scans], out)
    assert class_files.predict_class_files(predictor, images, out) == {}
    manifest = json.loads((out / "predictions.json").read_text())
    assert [each["name"] for each in manifest["classes"]] == [each.name for each in CLASSES]
    for name, entry in manifest["images"].items():
        labels = np.asarray(Image.open(out / entry["class_map"]))
        assert labels.shape == tuple(entry["size"]) and labels.max() <= len(CLASSES), name
        number = {each["name"]: each["label"] for each in manifest["classes"]}
        counted = {each: int((labels == number[each]).sum()) for each in entry["pixels"]}
        assert counted == entry["pixels"]
        colors = np.array([(0, 0, 0), *(each.color for each in CLASSES)], np.uint8)
        seen = cv2.imread(str(out / entry["class_map"]))[..., ::-1]
        np.testing.assert_array_equal(seen, colors[labels])
        assert cv2.imread(str(out / entry["overlay"])).shape[1] in (768, 576)
    monkeypatch.setattr(Predictor, "set_image", lambda *_: pytest.fail("done again"))
    assert class_files.predict_class_files(predictor, images, out) == {}


def test_the_command_takes_no_prompt_for_a_semantic_model(semantic, scans, tmp_path, capsys):
    directory.save(tmp_path / "model", semantic)
    command = ["predict", str(scans), "--checkpoint", str(tmp_path / "model")]
    assert cli.main([*command, "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out/a_classes.png").is_file()
    box = ["--box", "1", "1", "9", "9", "--out", str(tmp_path / "other")]
    assert cli.main([*command, *box]) == 2
    assert "--box: expected no prompts" in capsys.readouterr().err
