"""Classes of masks, and the label maps made of them."""

import numpy as np
import pytest

from samjax import models
from samjax.data import augment as augmentation
from samjax.data import classes, index, inputs, phantoms
from samjax.data.augment import AugmentConfig
from samjax.data.config import DataConfig
from samjax.data.files import DataError
from samjax.data.inputs import Preprocessing
from samjax.data.pipeline import load_for_evaluation, training_iterator
from samjax.models.directory import Model


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms")
    phantoms.write_phantoms(folder, phantoms.PhantomConfig(6, 2, size=48, seed=1))
    return folder


def test_the_smallest_mask_is_on_top_and_shared_pixels_are_counted():
    masks = np.zeros((3, 4, 4), np.uint8)
    masks[0, 1, 1] = 1  # Inside the next one.
    masks[1, :3, :3] = 1
    masks[2, 3, 3] = 1
    labels, shared = classes.label_map(masks, [2, 1, 1])
    expected = np.zeros((4, 4), np.uint8)
    expected[:3, :3], expected[1, 1], expected[3, 3] = 1, 2, 1
    np.testing.assert_array_equal(labels, expected)
    assert shared == 1


def test_masks_of_one_class_share_nothing():
    masks = np.ones((2, 3, 3), np.uint8)
    labels, shared = classes.label_map(masks, [4, 4])
    assert shared == 0 and (labels == 4).all()


def test_overlaps_add_up_over_images():
    left, right = np.zeros((2, 2, 4), np.uint8)
    left[:, :3], right[:, 2:] = 1, 1
    apart = classes.overlaps([left, right], ["liver", "liver"])
    together = classes.overlaps([left, right], ["liver", "kidney"])
    assert apart + together + classes.overlaps([], []) == classes.Overlaps(1, 2, 16)
    assert str(together).endswith("overlap in 1 images, 25.00% of pixels")


def test_no_mask_is_background_alone():
    labels, shared = classes.label_map(np.zeros((0, 3, 3), np.uint8), [])
    assert shared == 0 and not labels.any() and labels.shape == (3, 3)


def test_colours_differ():
    made = classes.with_colors([f"c{i}" for i in range(60)])
    assert len({each.color for each in made}) == 60


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("a", "b", "a"), "classes: expected different names, found 'a' 2 times"),
        (("a", ""), r"classes: expected a name of every class, found \['a', ''\]"),
    ],
)
def test_every_class_has_a_name_of_its_own(names, message):
    with pytest.raises(ValueError, match=message):
        classes.with_colors(names)
    config = models.SamConfig(head=models.HeadConfig("semantic", classes=len(names)))
    made = tuple(classes.SemanticClass(name, (0, 0, 0)) for name in names)
    with pytest.raises(ValueError, match=message):
        Model(config, Preprocessing(), {}, made)


def test_label_maps_of_a_folder_are_its_masks(root):
    """Without augmentation, each class of a label map is where the image has a mask of it."""
    samples = index.load_index(root, "train")
    named = classes.class_names(root, samples)
    used = classes.with_colors(sorted(set(named.values())))
    number = classes.numbers(used)
    config = DataConfig(str(root), batch_size=len(samples), augment=AugmentConfig(), threads=1)
    batch = next(training_iterator(samples, config, Preprocessing(), 32, classes=used))
    assert set(batch) == {"image", "labels", "seed"} and batch["labels"].dtype == np.uint8
    by_image = {}
    for sample in samples:
        found = load_for_evaluation(sample, root, Preprocessing(), 32)
        labels = [number[named[path]] for path in sample.masks]
        by_image[found.image.tobytes()] = classes.label_map(found.masks, labels)[0]
    for image, labels in zip(batch["image"], batch["labels"], strict=True):
        np.testing.assert_array_equal(labels, by_image[image.tobytes()])


def test_masks_without_a_class_are_named(root):
    sample = index.Sample("images/a.png", ("masks/b.png",))
    with pytest.raises(DataError, match=r"expected the class of every mask.*masks/b.png"):
        classes.class_names(root, [sample])


def test_a_label_map_without_foreground_is_augmented_too():
    """Of a chosen few classes, many images have none."""
    image = np.ones((32, 32, 3), np.float32)
    config = AugmentConfig(flip=0.5, rotate_degrees=45.0, zoom=2.0)
    empty = np.zeros((1, 32, 32), np.uint8)
    placement = inputs.place(32, 32, 32, "stretch")
    for seed in range(8):
        rng = np.random.default_rng(seed)
        varied, labels = augmentation.augment(image, empty, placement, config, rng)
        assert not labels.any() and varied.shape == image.shape
    assert (varied == 0).any()  # It was turned.


def test_a_class_never_takes_the_pixels_of_another():
    rng = np.random.default_rng(0)
    image = np.zeros((32, 32, 3), np.float32)
    labels = np.zeros((1, 32, 32), np.uint8)
    labels[0, :4, :4], labels[0, 16:24, 16:24] = 1, 2
    image[..., 0] = labels[0]
    config = AugmentConfig(zoom=3.0)
    placement = inputs.place(32, 32, 32, "stretch")
    for _ in range(20):
        varied, moved = augmentation.augment(image, labels, placement, config, rng)
        sure = (varied[..., 0] % 1 == 0) & (moved[0] != 0)
        np.testing.assert_array_equal(varied[..., 0][sure], moved[0][sure])
