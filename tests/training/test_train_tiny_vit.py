"""Training of a TinyViT, with and without adapters, from a checkpoint."""

import dataclasses
import json
import re
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy
from small import TINY_TINY_VIT, random_params, shapes

from samjax import conversion
from samjax.conversion import convert
from samjax.models import PeftConfig, SamConfig, directory, groups
from samjax.tasks import TrainableConfig
from samjax.training import checkpoint, resume, setup, step
from samjax.training.config import Experiment, from_config_dict, to_config_dict

MODEL = dataclasses.replace(
    TINY_TINY_VIT, image_size=toy.SIZE, patch_size=4, decoder_depth=1, decoder_heads=2
)
TRAINABLE = {"adapters": ("sam_med2d", {"adapter"}), "full": ("none", {"encoder"})}
PROMPTING = dataclasses.replace(toy.PROMPTING, iterations=1)  # The encoder learns in the first.


def learned(encoder, train_step, batch):
    """Flat parameters before and after one batch."""
    kind, _ = TRAINABLE[encoder]
    config = toy.variant(
        model=dataclasses.replace(MODEL, peft=PeftConfig(kind)),
        prompting=PROMPTING,
        trainable=TrainableConfig(encoder=encoder),
    )
    params = jax.tree.map(jnp.asarray, random_params(config.task.model))
    state = step.init_state(config, params, toy.key(True, task=config.task))
    after, metrics = train_step(config, state, batch)
    assert np.asarray(metrics.finite).all()
    model = config.task.model
    return groups.split(model, params), groups.split(model, after.params)


@pytest.mark.heavy
@pytest.mark.parametrize("encoder", ["adapters", "full"])
def test_only_what_shall_learn_does(train_step, batch, encoder):
    before, after = learned(encoder, train_step, batch)
    changed = {
        name: {path for path in before[name] if (before[name][path] != after[name][path]).any()}
        for name in before
    }
    assert any(path.endswith("bn/var") for path in before["constant"])
    assert not changed["constant"]
    _, moving = TRAINABLE[encoder]
    for name in {"adapter", "encoder"} & before.keys():
        assert bool(changed[name]) == (name in moving), name
    if "encoder" in moving:
        assert any(path.endswith("bn/scale") for path in changed["encoder"])


def test_every_parameter_belongs_to_a_group():
    split = groups.split(MODEL, shapes(MODEL))
    assert all("/adapter/" in path for path in split["adapter"])
    assert not any("/adapter/" in path or "/bn/var" in path for path in split["encoder"])


@pytest.fixture(scope="module")
def lite_file(tmp_path_factory):
    config = dataclasses.replace(MODEL, peft=PeftConfig("none"))
    lite = directory.Model(config, convert.LITE_MEDSAM_PREPROCESSING, random_params(config))
    path = tmp_path_factory.mktemp("checkpoint") / "lite.pth"
    conversion.to_torch(path, lite)
    return path, lite


def from_file(path, **fields):
    model = SamConfig(image_size=48, peft=toy.MODEL.peft)
    return setup.prepare_model(Experiment(init_from=str(path), model=model, **fields))


def test_a_run_starts_from_the_file_with_fresh_adapters(lite_file):
    path, lite = lite_file
    begin = from_file(path)
    assert begin.preprocessing == lite.preprocessing
    assert begin.config.encoder == "tiny_vit"
    assert begin.config.tiny_vit.dims == MODEL.tiny_vit.dims
    assert (begin.config.image_size, begin.config.peft.kind) == (48, "sam_med2d")
    own = groups.split(begin.config, begin.params)
    assert own["adapter"]
    for path, leaf in groups.split(lite.config, lite.params)["encoder"].items():
        np.testing.assert_array_equal(own["encoder"][path], leaf)


def test_the_recipe_may_decide_how_images_are_prepared(lite_file, caplog):
    path, lite = lite_file
    assert from_file(path, preprocessing_from="checkpoint").preprocessing == lite.preprocessing
    assert "prepared in another way" not in caplog.text
    assert from_file(path, preprocessing_from="recipe").preprocessing == Experiment().preprocessing
    told = r"another way \(preprocessing_from decides\): .*normalise 'min_max', now 'mean_std'"
    assert re.search(told, caplog.text)


def test_masks_that_were_never_trained_are_not_chosen_among():
    experiment = Experiment()
    for own, trained in ((True, True), (False, False)):
        task = experiment.task(MODEL, "logits", multimask=own)
        assert task.trainable.multimask == trained


def test_fields_of_the_network_can_be_set_one_by_one():
    config = to_config_dict(Experiment())
    config.model.encoder = "tiny_vit"
    config.model.tiny_vit.dims = (16, 32, 64, 320)
    config.model.tiny_vit.num_heads = (1, 2, 10)
    model = from_config_dict(config).model
    assert model.tiny_vit.dims == (16, 32, 64, 320)
    assert model.tiny_vit.depths == (2, 2, 6, 2)


def test_a_run_older_than_a_field_began_with_its_default(tmp_path):
    path, checkpoints = tmp_path / "config.json", mock.Mock(checkpoint.Checkpoints, latest=1)
    experiment = Experiment(model=toy.MODEL)
    resume.write(experiment, b"", tmp_path)
    fields = json.loads(path.read_text())
    del (
        fields["model"]["encoder"],
        fields["model"]["tiny_vit"],
        fields["preprocessing"]["normalise"],
    )
    path.write_text(json.dumps(fields))
    resume.check_settings(experiment, tmp_path, checkpoints)
    other = dataclasses.replace(experiment, model=MODEL)
    with pytest.raises(ValueError, match=r"model\.encoder: 'vit' then, 'tiny_vit' now"):
        resume.check_settings(other, tmp_path, checkpoints)
