"""AutoSAM's published code: embeddings, logits and scores of its heads, and three updates."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samjax import conversion, losses, masks, models
from samjax.conversion import naming, torch_file
from samjax.data.classes import numbered
from samjax.models import HeadConfig, groups
from samjax.models.heads.autosam import AutosamHead
from samjax.models.prompt_encoder import PositionEncoding, cell_centres
from samjax.tasks import SemanticTask, TrainableConfig
from samjax.training import step
from samjax.training.optim import OptimConfig

pytestmark = [pytest.mark.parity, pytest.mark.heavy]
# Published: cross-entropy and batch Dice of the classes that are not perfect, at input resolution.
LOSS = losses.ClassLossConfig(1.0, 1.0, "input", "batch", False, 1.0, True)
PREDICT = jax.jit(models.predict_classes, static_argnums=0)
FROZEN = ("iou_token", "iou_prediction_head", "pe_layer")


class Published:
    """Files and arrays of the fixture."""

    def __init__(self, folder):
        self.folder = folder
        self.settings = json.loads((folder / "config.json").read_text())
        with np.load(folder / "autosam.npz") as file:
            self.arrays = dict(file)
        heads = self.settings["config"]["dec_heads"]
        self.options = conversion.ConversionOptions(decoder_heads=heads)
        model, _ = conversion.from_torch(self.file, self.options)
        self.model = dataclasses.replace(model, params=jax.tree.map(jnp.asarray, model.params))

    @property
    def file(self):
        return self.folder / "autosam_state_dict.pth"

    def encode(self, params):
        grey = jnp.asarray(self.arrays["image"])[..., None]
        side = self.settings["image_size"]
        shape = (len(grey), side, side, 1)
        image = jax.image.resize(grey, shape, "bilinear", antialias=False)
        return models.encode_image(self.model.config, params, jnp.repeat(image, 3, axis=-1))


@pytest.fixture(scope="module")
def published(method_fixtures):
    return Published(method_fixtures / "autosam")


@pytest.fixture(scope="module")
def embedding(published):
    return jax.jit(published.encode)(published.model.params)


def assert_classes(arrays, logits, prefix=""):
    np.testing.assert_allclose(logits, arrays[f"{prefix}low_res_logits"], atol=2e-4)
    row = masks.upsample(logits, arrays["image"].shape[-1])[:, :, 100]
    np.testing.assert_allclose(row, arrays[f"{prefix}class_logits_row_100"], atol=2e-4)


def test_embedding(published, embedding):
    theirs = published.arrays["embedding"].transpose(0, 2, 3, 1)
    np.testing.assert_allclose(embedding, theirs, atol=2e-4 * np.abs(theirs).max())


def test_position_encoding_of_its_own_matrix(published):
    config = published.model.config
    own = published.model.params["mask_decoder"]["pe_layer"]
    found = PositionEncoding(config.prompt_dim).apply(
        {"params": own}, cell_centres(config.grid_size)
    )
    theirs = published.arrays["image_pe"].transpose(1, 2, 0)
    np.testing.assert_allclose(found, theirs, atol=1e-5)


def test_classes_and_scores(published):
    config, params = published.model.config, published.model.params
    theirs = jnp.asarray(published.arrays["embedding"].transpose(0, 2, 3, 1))
    logits = PREDICT(config, params, theirs)
    assert_classes(published.arrays, logits)
    side = published.arrays["image"].shape[-1]
    classes = masks.upsample(logits, side).argmax(1)
    assert (classes == published.arrays["class_map"]).mean() > 0.9999
    own = {"params": params["mask_decoder"]}
    _, scores = AutosamHead(config).apply(own, theirs, method=AutosamHead.with_scores)
    np.testing.assert_allclose(scores, published.arrays["scores"], atol=2e-4)


def test_the_file_both_ways(published, tmp_path):
    conversion.to_torch(tmp_path / "again.pth", published.model)
    theirs, ours = (torch_file.read(p).tensors for p in (published.file, tmp_path / "again.pth"))
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        np.testing.assert_array_equal(ours[name], tensor, err_msg=name)
    assert published.model.config.head == HeadConfig("autosam", published.settings["classes"] - 1)
    assert len(published.model.classes) == published.settings["classes"] - 1


@pytest.mark.parametrize("positions", ["sam", "random"])
def test_a_head_on_sam_has_what_the_published_one_takes_from_it(published, positions):
    base = published.folder / published.settings["base"]["file"].split()[0]
    classes = published.model.classes
    head = HeadConfig("autosam", len(classes), positions)
    options = conversion.ConversionOptions(
        decoder_heads=published.options.decoder_heads, head=(head, classes)
    )
    model, report = conversion.from_torch(base, options)
    ours, theirs = (naming.state_dict(each.params) for each in (model, published.model))
    elsewhere = set(published.settings["base"]["not_from_the_file"])
    assert ours.keys() == theirs.keys() and elsewhere < ours.keys()
    for name in ours.keys() - elsewhere:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
    drawn = {entry.key for entry in report.entries if entry.status == "initialised"}
    assert drawn == (elsewhere if positions == "random" else set())


class FixedToken(SemanticTask):
    """The published code trains no parameter with `iou` in its name."""

    @property
    def frozen(self):
        return f"{super().frozen}|mask_decoder/iou_token"


class Run:
    """Three updates on the fixture's images and labels."""

    def __init__(self, published):
        self.published, arrays = published, published.arrays
        trainable = TrainableConfig(encoder="frozen")
        self.task = FixedToken(published.model.config, LOSS, trainable)
        config = step.StepConfig(
            self.task, OptimConfig(5e-4, schedule="constant", clip_norm=0.0), 3, 3
        )
        params = published.model.params
        state = step.init_state(config, params, jax.random.key(0))
        all_groups = step.ParamGroups(groups.split(self.task.model, params), state.optimizer)
        trainable = all_groups.pick(self.task.first_groups, self.task.frozen)
        self.labels = jnp.asarray(arrays["label"])
        update = jax.jit(step.update, static_argnums=(0, 3))
        self.metrics = []
        for _ in range(3):
            trainable, _, metrics = update(
                config, all_groups.params, trainable, self.loss_of, jnp.float32(5e-4)
            )
            self.metrics.append(metrics)
        self.before = naming.state_dict(params)
        self.after = naming.state_dict(groups.merge(all_groups.updated(trainable).params))

    def loss_of(self, params):
        return self.task.loss_of_embedding(params, self.published.encode(params), self.labels)


@pytest.fixture(scope="module")
def run(published):
    return Run(published)


def test_losses(run):
    arrays = run.published.arrays
    ours = [metrics.loss for metrics in run.metrics]
    np.testing.assert_allclose(ours, arrays["train/loss"], rtol=1e-5)
    first = run.metrics[0].terms
    terms = first["ce"], first["dice_loss"]
    np.testing.assert_allclose(terms, arrays["train/ce_dice_of_the_first"], rtol=1e-5)


def test_first_gradients(run):
    params = run.published.model.params
    gradients = naming.state_dict(jax.jit(jax.grad(lambda p: run.loss_of(p)[0]))(params))
    names = [name for name in run.published.arrays if name.startswith("train/grad/")]
    assert len(names) > 80
    for name in names:
        theirs = run.published.arrays[name]
        ours = np.asarray(gradients[name.removeprefix("train/grad/")])
        if name.endswith("k_proj.bias"):
            assert np.abs(ours).max() < 1e-6
        else:
            scale = np.linalg.norm(theirs)
            assert np.linalg.norm(ours - theirs) <= 1e-3 * scale, name


def test_every_parameter_after_three_updates(run):
    """Within what float32 itself is worth, by the published code's own run in float64."""
    own_error = run.published.settings["float32_against_float64"]["after3"]
    names = [name for name in run.published.arrays if name.startswith("train/after3/")]
    moved = 0
    for name in (name.removeprefix("train/after3/") for name in names):
        if name.endswith("k_proj.bias"):
            continue
        tolerance = max(1e-6, 10 * own_error[name][0]) if name in own_error else 0
        theirs = run.published.arrays[f"train/after3/{name}"]
        ours = np.asarray(run.after[name])
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance, err_msg=name)
        moved += bool((ours != run.before[name]).any())
    assert moved > 70


def test_encoder_iou_parts_and_the_idle_hypernetwork_keep_their_bits(run):
    still = (*FROZEN, "image_encoder", "output_hypernetworks_mlps.1")
    names = [name for name in run.after if any(part in name for part in still)]
    assert len(names) > 80
    for name in names:
        np.testing.assert_array_equal(run.after[name], run.before[name], err_msg=name)


def heads_alone(published):
    return {
        "autosam": published.folder / "checkpoint_b4.pth.tar",
        "cnn": published.folder / "cnn_head.pth",
        "linear": published.folder / "linear_head.pth",
    }


@pytest.mark.parametrize("kind", ["autosam", "cnn", "linear"])
def test_files_of_a_head_alone(published, kind, tmp_path):
    """They take the encoder, and AutoSAM's matrix, of another file."""
    file = heads_alone(published)[kind]
    options = dataclasses.replace(published.options, base=published.file)
    model, report = conversion.from_torch(file, options)
    assert not report.mismatches
    head = model.config.head
    assert (head.kind, head.classes) == (kind, published.settings["classes"] - 1)
    theirs = published.arrays["embedding"].transpose(0, 2, 3, 1)
    params = jax.tree.map(jnp.asarray, model.params)
    logits = PREDICT(model.config, params, jnp.asarray(theirs))
    assert_classes(published.arrays, logits, "" if kind == "autosam" else f"{kind}/")
    conversion.to_torch(tmp_path / "again.pth", model)
    again = torch_file.read(tmp_path / "again.pth").tensors
    for name, tensor in torch_file.read(file).tensors.items():
        full = name if name.startswith("mask_decoder.") else f"mask_decoder.{name}"
        np.testing.assert_array_equal(again[full], tensor, err_msg=name)
    encoder = torch_file.read(published.file).tensors
    for name in (name for name in encoder if name.startswith("image_encoder.")):
        np.testing.assert_array_equal(again[name], encoder[name], err_msg=name)


def test_a_head_without_its_encoder_or_matrix_is_refused(published):
    sam = published.folder / published.settings["base"]["file"].split()[0]
    files = heads_alone(published)
    with pytest.raises(ValueError, match="expected an image encoder beside a head of kind cnn"):
        conversion.from_torch(files["cnn"], published.options)
    on_sam = dataclasses.replace(published.options, base=sam)
    with pytest.raises(ValueError, match="expected the random matrix that the head was trained"):
        conversion.from_torch(files["autosam"], on_sam)
    model, report = conversion.from_torch(files["autosam"], dataclasses.replace(on_sam, seed=3))
    drawn = [entry for entry in report.entries if entry.status == "initialised"]
    assert [entry.key for entry in drawn] == ["pe_layer.positional_encoding_gaussian_matrix"]
    assert (
        "seed 3" in drawn[0].note and np.isfinite(model.params["mask_decoder"]["iou_token"]).all()
    )
    with pytest.raises(ValueError, match="found one with an image encoder; convert it without"):
        conversion.from_torch(published.file, on_sam)


def test_other_numbers_of_classes_are_named(published):
    head = HeadConfig("autosam", 1), numbered(1)
    with pytest.raises(
        ValueError, match=r"expected 3 classes beside the background.*found class_1"
    ):
        conversion.from_torch(published.file, dataclasses.replace(published.options, head=head))
