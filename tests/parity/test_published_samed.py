"""SAMed's published code: its files, outputs, and three updates on one batch."""

import functools
import hashlib
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import reference_samed
from samjax import conversion, masks, models, types
from samjax.conversion import naming, torch_file
from samjax.models import groups, layers, peft
from samjax.training import config as training_config
from samjax.training import step

pytestmark = [pytest.mark.parity, pytest.mark.heavy]


class Samed:
    """The fixture: its arrays, its settings, and the model that its files make."""

    def __init__(self, folder, base, name):
        with np.load(folder / "samed.npz") as file:
            self.theirs = dict(file)
        self.settings = json.loads((folder / "config.json").read_text())
        if hashlib.sha256(base.read_bytes()).hexdigest() != self.settings["base"]["sha256"]:
            pytest.skip(f"{base} is not the file that {folder} was made from")
        options = conversion.ConversionOptions(
            base=base,
            image_size=self.settings["image_size"],
            decoder_heads=self.settings["config"]["dec_heads"],
        )
        (self.file,) = folder.glob(name)
        self.model, self.report = conversion.from_torch(self.file, options)
        images = jnp.asarray(self.theirs["image"])
        self.images = jnp.repeat(images[..., None], 3, axis=-1)

    def run(self, function, *arguments):
        params = jax.tree.map(jnp.asarray, self.model.params)
        return np.asarray(
            jax.jit(function, static_argnums=0)(self.model.config, params, *arguments)
        )


@pytest.fixture(scope="module")
def samed(fixtures, method_fixtures):
    return Samed(method_fixtures / "samed", fixtures / "tiny_sam_1024.pth", "epoch_*.pth")


@pytest.fixture(scope="module")
def samed_s(fixtures, method_fixtures):
    return Samed(method_fixtures / "samed", fixtures / "tiny_sam_1024.pth", "samed_s_*.pth")


def close(found, expected, tolerance=2e-4):
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * scale)


def theirs_of(name):
    """Returns the name in SAMed's network of a tensor, by ours."""
    return re.sub(r"Adapter\.(\w)_(\w)\.", r"attn.qkv.linear_\2_\1.", name)


def test_the_files_determine_the_network(samed):
    settings, config = samed.settings, samed.model.config
    assert (config.head.kind, config.head.classes) == ("semantic", settings["classes"])
    assert config.peft == models.PeftConfig("lora", rank=settings["rank"])
    assert not samed.report.mismatches and not samed.report.is_guess


def test_one_projection_with_lora(samed):
    key = "lora_unit/qkv_of_block_"
    (number,) = (
        name.removeprefix(key) for name in samed.theirs if re.fullmatch(rf"{key}\d+", name)
    )
    params = samed.model.params["image_encoder"][f"blocks_{number}"]
    block = jax.tree.map(jnp.asarray, params)
    x = jnp.asarray(samed.theirs["lora_unit/x"])
    plain = layers.Linear(3 * x.shape[-1], jnp.float32)
    found = plain.apply({"params": block["attn"]["qkv"]}, x)
    close(found, samed.theirs[f"{key}{number}_without_lora"], 1e-6)
    lora = peft.make(samed.model.config.peft, "float32")
    update = lora.apply({"params": block["adapter"]}, x, method="qkv")
    close(found + update, samed.theirs[f"{key}{number}"], 1e-6)


def test_embedding_logits_and_classes(samed):
    theirs, config = samed.theirs, samed.model.config
    embedding = samed.run(models.encode_image, samed.images)
    close(embedding, theirs["embedding"].transpose(0, 2, 3, 1))
    without = functools.partial(models.encode_image, adapters=False)
    close(samed.run(without, samed.images), theirs["embedding_without_lora"].transpose(0, 2, 3, 1))
    low_res = samed.run(models.predict_classes, embedding)
    close(low_res, theirs["low_res_logits"])
    full = np.asarray(masks.upsample(jnp.asarray(low_res), config.image_size))
    close(full[:, :, 128], theirs["class_logits_full_row_128"])
    # Where two classes are equal to rounding, either is right.
    first, second = np.sort(full, axis=1)[:, -1], np.sort(full, axis=1)[:, -2]
    clear = first - second > 1e-4 * np.abs(full).max()
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(full.argmax(1)[clear], theirs["class_map"][clear])


class Updates:
    """Three updates of the fixture's batch by the recipe, at the fixture's rates."""

    def __init__(self, samed):
        experiment = training_config.from_config_dict(reference_samed.get_config())
        task = experiment.task(samed.model.config, "logits")
        labels = jnp.asarray(samed.theirs["label"])

        def loss_of(params):
            embedding = models.encode_image(samed.model.config, params, samed.images)
            return task.loss_of_embedding(params, embedding, labels)

        params = jax.tree.map(jnp.asarray, samed.model.params)
        config = experiment.step(task, total_steps=3, steps_per_epoch=3)
        state = step.init_state(config, params, jax.random.key(0))
        all_groups = step.ParamGroups(groups.split(task.model, params), state.optimizer)
        trainable = all_groups.pick(task.first_groups, task.frozen)
        update = jax.jit(step.update, static_argnums=(0, 3))
        self.metrics = []
        for rate in samed.theirs["train/loss_ce_dice_rate"][:, 3]:
            trainable, _, metrics = update(
                config, all_groups.params, trainable, loss_of, jnp.asarray(rate)
            )
            self.metrics.append(metrics)
        self.after = _named(groups.merge(all_groups.updated(trainable).params))
        self.before = _named(samed.model.params)
        gradients = jax.jit(jax.grad(lambda p: loss_of(p)[0]))(params)
        self.gradients = _named(gradients)


def _named(params):
    return {theirs_of(name): leaf for name, leaf in naming.state_dict(params).items()}


@pytest.fixture(scope="module")
def updates(samed):
    return Updates(samed)


def test_losses(samed, updates):
    expected = samed.theirs["train/loss_ce_dice_rate"][:, :3]
    found = [(m.loss, m.terms["ce"], m.terms["dice_loss"]) for m in updates.metrics]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def gradient_names(samed):
    prefix = "train/grad/"
    return [name.removeprefix(prefix) for name in samed.theirs if name.startswith(prefix)]


def test_first_gradients(samed, updates):
    names = gradient_names(samed)
    assert len(names) > 100
    for name in names:
        theirs, ours = samed.theirs[f"train/grad/{name}"], np.asarray(updates.gradients[name])
        if name.endswith("k_proj.bias"):
            assert np.abs(ours).max() < 1e-6
        else:
            error = np.linalg.norm(ours - theirs)
            assert error <= 1e-3 * np.linalg.norm(theirs), name


def test_every_parameter_after_three_updates(samed, updates):
    """Within what float32 itself is worth, by the published code's own run in float64."""
    own_error = samed.settings["float32_against_float64"]["after3"]
    for name in gradient_names(samed):
        if not name.endswith("k_proj.bias"):
            theirs = samed.theirs[f"train/after3/{name}"]
            tolerance = max(1e-6, 10 * own_error[name][0])
            np.testing.assert_allclose(
                updates.after[name], theirs, rtol=0, atol=tolerance, err_msg=name
            )
            assert (np.asarray(updates.after[name]) != updates.before[name]).any(), name


def test_parameters_without_a_gradient_keep_their_bits(samed, updates):
    still = updates.after.keys() - set(gradient_names(samed))
    assert still >= set(samed.theirs["train/no_gradient"].tolist())
    assert any(name.startswith("image_encoder.") for name in still)
    for name in still:
        np.testing.assert_array_equal(updates.after[name], updates.before[name], err_msg=name)


def scores(config, params, embedding):
    prompts = types.no_prompts(len(embedding), 1, 1, config.mask_size)
    return models.predict_masks(config, params, embedding, prompts)[1][:, 0]


def test_lora_in_the_decoder(samed_s):
    """SAMed_s."""
    embedding = samed_s.run(models.encode_image, samed_s.images)
    low_res = samed_s.run(models.predict_classes, embedding)
    close(low_res, samed_s.theirs["samed_s/low_res_logits"])
    close(samed_s.run(scores, embedding), samed_s.theirs["samed_s/scores"])


def test_a_volume(samed):
    """Slices are resampled by splines as in the published test, and classes by nearest."""
    zoom = pytest.importorskip("scipy.ndimage").zoom
    volume, expected = samed.theirs["volume/image"], samed.theirs["volume/prediction"]
    sizes = re.findall(r"-> (\d+) \(zoom 3\)", samed.settings["keys"]["volume/*"])
    found = volume
    for side in map(int, sizes):
        factors = [1, *(side / length for length in found.shape[1:])]
        found = np.stack([zoom(each, factors[1:], order=3) for each in found])
    images = jnp.repeat(jnp.asarray(found, jnp.float32)[..., None], 3, axis=-1)
    low_res = samed.run(models.predict_classes, samed.run(models.encode_image, images))
    classes = masks.upsample(jnp.asarray(low_res), images.shape[1]).argmax(1)
    back = [length / images.shape[1] for length in volume.shape[1:]]
    restored = np.stack([zoom(np.asarray(each), back, order=0) for each in classes])
    np.testing.assert_array_equal(restored, expected)


@pytest.mark.parametrize("which", ["samed", "samed_s"])
def test_the_file_again_bit_for_bit(request, which, tmp_path):
    start = request.getfixturevalue(which)
    conversion.to_torch(tmp_path / "back.pth", start.model)
    pairs = (start.file, tmp_path / "back.pth")
    theirs, ours = (torch_file.read(path).tensors for path in pairs)
    assert theirs.keys() == ours.keys()
    for key, tensor in theirs.items():
        assert tensor.dtype == ours[key].dtype
        np.testing.assert_array_equal(tensor, ours[key], err_msg=key)
