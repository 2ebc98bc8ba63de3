"""Head that prompts SAM's decoder for every class."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage
from small import random_params

from samjax import conversion, losses, masks, models, types
from samjax.data.boxes import tight_box
from samjax.data.classes import numbered
from samjax.data.inputs import Preprocessing
from samjax.losses.centres import centre_targets as make_targets
from samjax.models import HeadConfig, PeftConfig, directory
from samjax.models.heads.prompts import ClassMaps, class_logits
from samjax.models.heads.prompts import propose as make_proposals

CONFIG = models.tiny(head=HeadConfig("prompts", 2), peft=PeftConfig("none"))
HALF = jnp.float32(0.5)
propose = jax.jit(make_proposals, static_argnums=(2, 3, 4))
centre_targets = jax.jit(make_targets, static_argnums=(1, 2))
SIDE = CONFIG.mask_size
ANSWER = jax.jit(models.answer_maps, static_argnums=0)
MASKS = jax.jit(models.predict_masks, static_argnums=0)
PREDICT = jax.jit(models.predict_classes, static_argnums=(0, 3, 4))


@pytest.fixture(scope="module")
def params():
    """Returns random parameters; constants that data decide are as at the start."""
    drawn, declared = random_params(CONFIG), models.declarations(CONFIG)
    for name, leaf in drawn["prompt_head"].items():
        if not isinstance(leaf, dict):
            drawn["prompt_head"][name] = np.full_like(leaf, declared[f"prompt_head/{name}"].mean)
    return jax.tree.map(jnp.asarray, drawn)


@pytest.fixture(scope="module")
def embedding():
    shape = (2, CONFIG.grid_size, CONFIG.grid_size, CONFIG.prompt_dim)
    return jnp.asarray(np.random.default_rng(1).normal(size=shape).astype(np.float32))


def drawn(labels: np.ndarray, classes: int) -> ClassMaps:
    """Returns the maps that show exactly these labels."""
    targets, _ = centre_targets(jnp.asarray(labels)[None], classes, 2)
    shown = labels == np.arange(classes + 1)[:, None, None]
    return ClassMaps(jnp.asarray(12.0 * shown - 6)[None], 12.0 * (targets - 0.5))


def test_components_are_those_of_scipy():
    labels = np.random.default_rng(0).choice(4, size=(6, 20, 20), p=[0.5, 0.3, 0.1, 0.1])
    found = np.asarray(masks.components(jnp.asarray(labels)))
    for image, numbers in zip(labels, found, strict=True):
        assert ((numbers == 0) == (image == 0)).all()
        for label in (1, 2, 3):
            expected, count = ndimage.label(image == label, np.ones((3, 3)))
            pairs = {(e, n) for e, n in zip(expected.flat, numbers.flat, strict=True) if e}
            assert len(pairs) == len({n for _, n in pairs}) == count


def test_maps_become_boxes_and_points_of_every_object():
    labels = np.zeros((16, 16), int)
    labels[2:7, 1:5] = 1  # Two objects of class 1, none of class 2, one of class 3.
    labels[9:15, 2:8] = 1
    labels[4:8, 9:15] = 3
    found = propose(drawn(labels, 3), HALF, 2, 64)
    prompts, present = found.prompts, found.scores > HALF
    assert present.tolist() == [[[True, True], [False, False], [True, False]]]
    expected = [tight_box(np.uint8(labels == 3)) * 4]
    for rows in (slice(2, 7), slice(9, 15)):
        only = np.zeros_like(labels)
        only[rows] = labels[rows] == 1
        expected.append(tight_box(np.uint8(only)) * 4)
    boxes, points = np.asarray(prompts.boxes[0]), np.asarray(prompts.points[0, :, 0])
    for box in expected:
        i = min((0, 1, 4), key=lambda i: np.abs(boxes[i] - box).sum())
        np.testing.assert_allclose(boxes[i], box, atol=1)
        np.testing.assert_allclose(points[i], (box[:2] + box[2:]) / 2, atol=4)
    assert prompts.has_box.all() and (prompts.labels == 1).all()
    without = propose(drawn(labels, 3), HALF, 2, 64, False)
    assert (without.prompts.labels == types.PADDING).all()


def test_a_stray_part_of_a_class_is_not_in_the_box():
    labels = np.zeros((16, 16), int)
    labels[2:8, 2:8] = 1
    labels[14, 14] = 1
    found = propose(drawn(labels, 1), HALF, 1, 64)
    assert (found.scores > HALF).all()
    np.testing.assert_allclose(found.prompts.boxes[0, 0], [8, 8, 32, 32], atol=1)


def test_the_centre_of_a_ring_is_on_it():
    y, x = np.mgrid[:20, :20] - 9.5
    ring = ((np.hypot(x, y) < 8) & (np.hypot(x, y) > 5)).astype(int)
    _, centres = centre_targets(jnp.asarray(ring)[None], 1, 3)
    assert centres.sum() == 1 and ring[np.asarray(centres[0, 0])] == 1


def test_the_loss_of_centres_is_least_where_they_are():
    labels = np.zeros((1, 16, 16), int)
    labels[0, 3:8, 4:9] = 1
    right = drawn(labels[0], 1).centre
    wrong, none = jnp.roll(right, 6, axis=-1), jnp.full_like(right, -6.0)
    loss = {
        name: float(losses.centre_loss(logits, jnp.asarray(labels), 2))
        for name, logits in {"right": right, "wrong": wrong, "none": none}.items()
    }
    assert loss["right"] < 0.1 < loss["none"] < loss["wrong"]
    empty = losses.centre_loss(none, jnp.zeros_like(labels), 2)
    assert 0 <= float(empty) < 0.01


@pytest.mark.heavy
def test_the_decoder_answers_and_absent_classes_have_no_mask(params, embedding):
    head = params["prompt_head"]
    bias = jnp.asarray([9.0, 0, 0, 0, 0])  # Background everywhere.
    absent = {**params, "prompt_head": {**head, "maps": {**head["maps"], "bias": bias}}}
    logits = PREDICT(CONFIG, absent, embedding, True, True)
    assert logits.shape == (2, 3, SIDE, SIDE) and (logits.argmax(1) == 0).all()
    labels = np.zeros((SIDE, SIDE), int)
    labels[3:9, 4:12] = 2
    maps = drawn(labels, 2)
    one = embedding[:1]
    logits = class_logits(*ANSWER(CONFIG, params, one, maps, HALF), HALF)
    found = propose(maps, HALF, 2, CONFIG.image_size)
    candidates, scores = MASKS(CONFIG, params, one, found.prompts)
    best = candidates[0, 2, scores[0, 2].argmax()]  # The first object of class 2.
    np.testing.assert_allclose(logits[0, 2], best, atol=1e-5)
    assert (logits[0, 0] == 0).all() and (logits[0, 1] < -1e3).all()


@pytest.mark.heavy
def test_sams_parts_are_those_of_a_model_of_masks():
    plain = models.shapes(models.tiny(peft=PeftConfig("none")))
    found = models.shapes(CONFIG)
    own = {name for name in found if name.startswith("prompt_head/")}
    assert {name: shape for name, shape in found.items() if name not in own} == dict(plain)
    groups = {models.declarations(CONFIG)[name].group for name in own}
    assert groups == {"prompts", "constant"}
    large = models.vit_b(head=HeadConfig("prompts", 10))
    sizes = (np.prod(s) for n, s in models.shapes(large).items() if n.startswith("prompt_head/"))
    assert sum(sizes) < 2e6


def test_a_directory_keeps_head_and_decoder(params, tmp_path):
    model = directory.Model(CONFIG, Preprocessing(), jax.tree.map(np.asarray, params), numbered(2))
    directory.save(tmp_path / "model", model)
    again = directory.load(tmp_path / "model")
    assert (again.config, again.classes) == (CONFIG, numbered(2))
    jax.tree.map(np.testing.assert_array_equal, again.params, params)
    with pytest.raises(ValueError, match=r"found model.head.kind=prompts"):
        conversion.to_torch(tmp_path / "model.pth", model)
