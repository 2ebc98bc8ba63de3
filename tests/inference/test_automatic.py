"""Automatic masks against an independent slow version, and their bounds."""

import dataclasses
import itertools
import math

import cv2
import jax.numpy as jnp
import numpy as np
import pytest
import small
from scipy import ndimage

import samjax
from samjax import models
from samjax.data import run_lengths
from samjax.data.classes import with_colors
from samjax.data.inputs import Preprocessing
from samjax.inference import Predictor, automatic_proposals, batch
from samjax.inference.automatic import AutomaticMaskGenerator
from samjax.inference.automatic_config import AutomaticConfig
from samjax.models import HeadConfig, PeftConfig
from samjax.models.directory import Model

# Equal to the usual tiny network but for its name in the caches of compiled programs.
DRAWN = dataclasses.replace(small.TINY, iou_head_hidden_dim=16, peft=PeftConfig("none"))
PLAIN = dict(
    points_per_side=4, pred_iou_thresh=0.0, stability_score_thresh=0.0, stability_score_offset=0.5
)
EVERY = dict(PLAIN, box_nms_thresh=1.0, crop_nms_thresh=1.0)
FILTERED = dict(PLAIN, pred_iou_thresh=0.4, stability_score_thresh=0.7)


def drawn_masks(config, params, images, prompts, multimask=True):
    """In place of a decoder: blobs of three sizes with islands and holes, some of them twice."""
    at = prompts.points[:, :, 0] * config.mask_size / config.image_size
    count = config.num_multimask if multimask else 1
    candidate = jnp.arange(count)
    of_image = jnp.abs(images.embedding).mean(axis=(1, 2, 3))[:, None, None]
    snapped = jnp.round(at / 3) * 3 + 0.2 * jnp.sin(at)
    rows, columns = jnp.mgrid[: config.mask_size, : config.mask_size] + 0.5
    x, y = (snapped[..., i, None, None, None] for i in (0, 1))
    radius = (1.5 + 1.5 * candidate)[:, None, None] + of_image[..., None, None]
    texture = 2.5 * jnp.sin(1.9 * columns + x) * jnp.cos(2.3 * rows + candidate[:, None, None])
    logits = radius - jnp.hypot(columns - x, rows - y) + texture
    scores = 0.5 + 0.45 * jnp.sin(9 * at.sum(-1)[..., None] + 2 * candidate + 5 * of_image)
    return logits, scores


@pytest.fixture(scope="module")
def drawing():
    """Predictor whose masks are those of `drawn_masks`."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(models, "predict_prepared", drawn_masks)
        yield Predictor(Model(DRAWN, Preprocessing(), small.random_params(DRAWN)))


@pytest.fixture(scope="module")
def smooth():
    """Makes images of smooth coloured noise, whose crops differ."""

    def make(height, width):
        coarse = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
        return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)

    return make


class Slow:
    """SAM's mask generator, one mask at a time, on the ordinary predictor."""

    def __init__(self, predictor, image, settings):
        self.predictor, self.image, self.settings = predictor, image, AutomaticConfig(**settings)

    def masks(self):
        settings = self.settings
        height, width = self.image.shape[:2]
        found = []
        for layer, crop in slow_crops(height, width, settings):
            found += slow_nms(
                list(self.of_crop(layer, crop)), settings.box_nms_thresh, "predicted_iou"
            )
        if settings.crop_n_layers:
            found = slow_nms(found, settings.crop_nms_thresh, "smallness")
        if settings.min_mask_region_area:
            for each in found:
                mask, changed = slow_regions(each["segmentation"], settings.min_mask_region_area)
                each |= {"segmentation": mask, "box": slow_box(mask), "unchanged": 1.0 - changed}
            threshold = max(settings.box_nms_thresh, settings.crop_nms_thresh)
            found = slow_nms(found, threshold, "unchanged")
        return found

    def of_crop(self, layer, crop):
        settings = self.settings
        height, width = self.image.shape[:2]
        x0, y0, x1, y1 = crop
        self.predictor.set_image(self.image[y0:y1, x0:x1])
        side = settings.points_per_side // settings.crop_n_points_downscale_factor**layer
        for row, column in itertools.product(range(side), repeat=2):
            point = np.array([(column + 0.5) / side * (x1 - x0), (row + 0.5) / side * (y1 - y0)])
            logits, scores, _ = self.predictor.predict(point[None], [1], return_logits=True)
            for of_mask, score in zip(logits, scores, strict=True):
                stability = slow_stability(of_mask, settings.stability_score_offset)
                if settings.pred_iou_thresh > 0 and not score > settings.pred_iou_thresh:
                    continue
                if settings.stability_score_thresh and stability < settings.stability_score_thresh:
                    continue
                mask = np.zeros((height, width), bool)
                mask[y0:y1, x0:x1] = of_mask > 0
                if not mask.any() or slow_at_edge(slow_box(mask), crop, width, height):
                    continue
                yield {
                    "segmentation": mask,
                    "box": slow_box(mask),
                    "predicted_iou": score,
                    "stability_score": stability,
                    "point_coords": [[point[0] + x0, point[1] + y0]],
                    "crop_box": [x0, y0, x1 - x0, y1 - y0],
                    "smallness": 1 / ((x1 - x0) * (y1 - y0)),
                }


def slow_crops(height, width, settings):
    yield 0, (0, 0, width, height)
    for layer in range(1, settings.crop_n_layers + 1):
        n = 2**layer
        overlap = int(settings.crop_overlap_ratio * min(height, width) * 2 / n)
        length = [math.ceil((overlap * (n - 1) + side) / n) for side in (width, height)]
        for i, j in itertools.product(range(n), repeat=2):
            x, y = i * (length[0] - overlap), j * (length[1] - overlap)
            if x < width and y < height:
                yield layer, (x, y, min(x + length[0], width), min(y + length[1], height))


def slow_stability(logits, offset):
    possible = (logits > -offset).sum()
    return (logits > offset).sum() / possible if possible else 0.0


def slow_box(mask):
    rows, columns = np.nonzero(mask)
    return columns.min(), rows.min(), columns.max(), rows.max()


def slow_at_edge(box, crop, width, height):
    return any(
        abs(side - of_crop) <= 20 and abs(side - of_image) > 20
        for side, of_crop, of_image in zip(box, crop, (0, 0, width, height), strict=True)
    )


def slow_iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    union = sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (a, b)) - common
    return common / union if union else 0.0


def slow_nms(found, threshold, key):
    kept = []
    for each in sorted(found, key=lambda each: -each[key]):
        if all(slow_iou(each["box"], other["box"]) <= threshold for other in kept):
            kept.append(each)
    return kept


def slow_regions(mask, area):
    """A single small island counts as a change, as it does for SAM, though it stays."""
    changed = False
    for inside in (False, True):
        labels, count = ndimage.label(mask == inside, np.ones((3, 3)))
        sizes = np.bincount(labels.ravel(), minlength=count + 1)
        dropped = [i for i in range(1, count + 1) if sizes[i] < area]
        changed |= bool(dropped)
        if inside and len(dropped) == count:
            dropped.remove(1 + sizes[1:].argmax())
        mask = np.where(np.isin(labels, dropped), not inside, mask)
    return mask, changed


def assert_same(found, expected):
    """Checks masks of two programs that round differently: a pixel may lie at the cut-off."""
    assert [each["crop_box"] for each in found] == [each["crop_box"] for each in expected]
    for key, bound in {
        "point_coords": 1e-9,
        "predicted_iou": 1e-4,
        "stability_score": 1e-2,
    }.items():
        np.testing.assert_allclose(
            [each[key] for each in found], [each[key] for each in expected], atol=bound
        )
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours["segmentation"] != theirs["segmentation"]).sum() <= 2
        x0, y0, x1, y1 = slow_box(ours["segmentation"])
        assert ours["bbox"] == [x0, y0, x1 - x0, y1 - y0]
        assert ours["area"] == ours["segmentation"].sum()


def compare(predictor, image, settings):
    found = AutomaticMaskGenerator(predictor, **settings).generate(image)
    assert_same(found, Slow(predictor, image, settings).masks())
    return found


SETTINGS = {
    "all masks": EVERY,
    "filters": FILTERED,
    "offset": dict(FILTERED, stability_score_offset=1.5, stability_score_thresh=0.2),
    "duplicates": dict(PLAIN, points_per_side=6, box_nms_thresh=0.3),
    "small regions": dict(FILTERED, min_mask_region_area=60),
    "large regions": dict(PLAIN, min_mask_region_area=3000, box_nms_thresh=0.6),
    "batches": dict(FILTERED, points_per_side=5, points_per_batch=8),
    "a layer of crops": dict(PLAIN, crop_n_layers=1, crop_n_points_downscale_factor=2),
}
CROPS = {
    "crops": dict(FILTERED, points_per_side=8, crop_n_layers=1),
    "two layers": dict(
        PLAIN, points_per_side=8, crop_n_layers=2, crop_n_points_downscale_factor=2,
        crop_nms_thresh=0.5, crop_overlap_ratio=0.2, min_mask_region_area=40,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SETTINGS)
def test_equals_the_slow_version(drawing, smooth, name):
    found = compare(drawing, smooth(100, 140), SETTINGS[name])
    assert len(found) > 3
    assert (len(found) == 48) == (name == "all masks")


@pytest.mark.heavy
@pytest.mark.parametrize("name", CROPS)
def test_crops_equal_the_slow_version(drawing, smooth, name):
    found = compare(drawing, smooth(200, 250), CROPS[name])
    crops = {tuple(each["crop_box"]) for each in found}
    assert len(crops) > 3 and (0, 0, 250, 200) in crops


def test_small_regions_change_masks_and_boxes(drawing, smooth):
    image = smooth(100, 140)
    before, after = (
        AutomaticMaskGenerator(drawing, **EVERY, min_mask_region_area=area).generate(image)
        for area in (0, 60)
    )
    at = {(*each["point_coords"][0], each["predicted_iou"]): each for each in before}
    changed = [
        each["bbox"] != at[(*each["point_coords"][0], each["predicted_iou"])]["bbox"]
        for each in after
    ]
    assert any(changed)


@pytest.mark.parametrize("multimask", [True, False])
def test_a_network_equals_the_slow_version(model, photo, multimask):
    preprocessing = dataclasses.replace(model.preprocessing, multimask=multimask)
    predictor = Predictor(dataclasses.replace(model, preprocessing=preprocessing))
    found = compare(predictor, photo(80, 70, 3), EVERY)
    assert len(found) > 8


@pytest.mark.heavy
@pytest.mark.parametrize("kind", ["tiny_vit", "prompts"])
def test_other_networks_equal_the_slow_version(photo, kind):
    config = small.TINY_TINY_VIT
    if kind == "prompts":
        config = models.tiny(head=HeadConfig("prompts", classes=3), peft=PeftConfig("none"))
    classes = with_colors(["a", "b", "c"][: config.head.classes])
    predictor = Predictor(Model(config, Preprocessing(), small.random_params(config), classes))
    assert compare(predictor, photo(80, 70, 3), EVERY)


def test_masks_below_the_threshold_are_not_measured(drawing, smooth, monkeypatch):
    """The others are the same as if all had been."""
    image, measured = smooth(100, 140), []
    program = automatic_proposals._measure_points

    def record(*arguments):
        measured.append(program(*arguments))
        return measured[-1]

    monkeypatch.setattr(automatic_proposals, "_measure_points", record)
    settings = dict(EVERY, points_per_side=8)
    every = AutomaticMaskGenerator(drawing, **settings).propose(image)
    some = AutomaticMaskGenerator(drawing, **settings | dict(pred_iou_thresh=0.8)).propose(image)
    index = np.flatnonzero(every.predicted_iou > 0.8)
    assert 0 < len(index) < len(every) / 2
    for name, values in vars(every.take(index)).items():
        np.testing.assert_array_equal(getattr(some, name), values)
    areas = [np.asarray(each[-1]) for each in measured]
    assert (areas[0] > 0).all()
    assert (areas[1] == 0).sum() > len(every) / 4


def test_another_shape_on_the_same_canvas_compiles_nothing(drawing, smooth):
    generator = AutomaticMaskGenerator(drawing, **EVERY)
    functions = (
        batch.encode,
        automatic_proposals._measure_points,
        automatic_proposals._take,
        automatic_proposals._restore_packed,
    )
    generator.generate(smooth(100, 140))
    before = [function._cache_size() for function in functions]
    for height, width in ((140, 90), (33, 256)):
        assert generator.generate(smooth(height, width))
    assert [function._cache_size() for function in functions] == before


def test_forms_of_masks(drawing, smooth):
    image = smooth(100, 140)
    masks, lengths, texts = (
        AutomaticMaskGenerator(drawing, **FILTERED, output_mode=mode).generate(image)
        for mode in ("binary_mask", "uncompressed_rle", "coco_rle")
    )
    for mask, counts, text in zip(masks, lengths, texts, strict=True):
        assert isinstance(text["segmentation"]["counts"], str)
        for form in (counts, text):
            decoded = run_lengths.decode(form["segmentation"])
            np.testing.assert_array_equal(decoded, mask["segmentation"])
            assert {**form, "segmentation": None} == {**mask, "segmentation": None}


def test_points_of_ones_own(drawing, smooth):
    image, layers = smooth(100, 140), dict(crop_n_layers=1, points_per_side=2)
    grids = AutomaticConfig(**PLAIN | layers).grids()
    settings = PLAIN | layers | dict(points_per_side=None)
    own = AutomaticMaskGenerator(drawing, **settings, point_grids=grids).generate(image)
    assert_same(own, AutomaticMaskGenerator(drawing, **PLAIN | layers).generate(image))


def test_an_embedding_that_is_there(drawing, smooth):
    image = smooth(100, 140)
    generator = AutomaticMaskGenerator(drawing, AutomaticConfig(**FILTERED))
    embedded = batch.embed_images(drawing.model, [image])
    assert_same(generator.generate(image, embedded=embedded), generator.generate(image))


@pytest.mark.parametrize("settings", [{}, dict(min_mask_region_area=9), dict(crop_n_layers=1)])
def test_no_mask_that_passes(drawing, smooth, settings):
    none = PLAIN | dict(pred_iou_thresh=1.0) | settings
    assert AutomaticMaskGenerator(drawing, **none).generate(smooth(100, 140)) == []


@pytest.mark.parametrize("layers", [0, 1])
@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (1, 1), (3, 2)])
def test_images_of_few_pixels(drawing, photo, shape, layers):
    settings = dict(EVERY, points_per_side=2, crop_n_layers=layers, min_mask_region_area=2)
    found = compare(drawing, photo(*shape), settings)
    assert found or shape == (1, 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(points=8), "points: expected one of box_nms_thresh, .* or point_grids, found no"),
        (dict(points_per_side=0), "points_per_side: expected 1 or more, found 0"),
        (dict(pred_iou_thresh=1.2), "pred_iou_thresh: expected 0 to 1, found 1.2"),
        (dict(stability_score_offset=-1.0), "stability_score_offset: expected 0 or more"),
        (dict(output_mode="png"), "output_mode: expected one of .*, found 'png'"),
        (dict(points_per_side=None), "points_per_side: expected it or point_grids, .* neither"),
        (dict(point_grids=[[[0.5, 0.5]]]), "points_per_side: expected it or .*, found both"),
        (
            dict(points_per_side=3, crop_n_layers=2, crop_n_points_downscale_factor=2),
            "crop_n_points_downscale_factor: expected at least one point per side",
        ),
    ],
)
def test_refuses_settings(unchecked, drawing, settings, message):
    with pytest.raises(ValueError, match=message):
        AutomaticMaskGenerator(drawing, **settings)


@pytest.mark.parametrize(
    ("grids", "message"),
    [
        ([], "point_grids: expected a list of 1, one for each layer, found 0"),
        (np.zeros((4, 2)), "point_grids: expected a list of 1, .* found one array"),
        ([[0.5, 0.5]], r"point_grids\[0\]: expected shape \(n, 2\), found \(2,\)"),
        ([np.zeros((0, 2))], r"point_grids\[0\]: expected shape \(n, 2\), found \(0, 2\)"),
        ([[[0.5, 1.5]]], r"point_grids\[0\]: expected shares from 0 to 1"),
        ([[[0.5, np.nan]]], r"point_grids\[0\]: expected shares from 0 to 1"),
        ([[[0.5, 0.5], [0.1]]], r"point_grids\[0\]: expected shape \(n, 2\)"),
        ([[["left", "top"]]], r"point_grids\[0\]: expected shape \(n, 2\)"),
    ],
)
def test_refuses_grids(unchecked, drawing, grids, message):
    with pytest.raises(ValueError, match=message):
        AutomaticMaskGenerator(drawing, points_per_side=None, point_grids=grids)


def test_refuses_models_that_take_no_points(model):
    of_boxes = dataclasses.replace(model.preprocessing, point_prompts=False)
    with pytest.raises(ValueError, match=r"automatic masks: .* takes boxes alone"):
        samjax.AutomaticMaskGenerator(dataclasses.replace(model, preprocessing=of_boxes))
    config = models.tiny(head=HeadConfig("semantic", classes=3))
    with pytest.raises(ValueError, match=r"automatic masks: .*model.head.kind=semantic"):
        samjax.AutomaticMaskGenerator(
            Model(config, Preprocessing(), {}, with_colors(["a", "b", "c"]))
        )


def test_a_predictor_decides_on_its_adapters():
    model = Model(small.TINY, Preprocessing(), small.random_params(small.TINY))
    predictor = Predictor(model, adapters=False)
    assert not AutomaticMaskGenerator(predictor).predictor.adapters
    with pytest.raises(ValueError, match="adapters: expected False, as in the predictor"):
        AutomaticMaskGenerator(predictor, adapters=True)
