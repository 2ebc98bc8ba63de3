import dataclasses
import logging
import shutil

import numpy as np
import pytest

from samjax import fields
from samjax.data.augment import AugmentConfig
from samjax.data.config import DataConfig
from samjax.data.files import DataError
from samjax.data.index import Sample, load_index
from samjax.data.inputs import Preprocessing
from samjax.data.pipeline import draw_masks, load_for_evaluation, training_iterator

SIZE = 48
INPUTS = Preprocessing(resize="stretch")


@pytest.fixture
def config(phantom_root):
    varied = AugmentConfig(flip=0.5, rotate_degrees=10, intensity=0.2)
    return DataConfig(root=str(phantom_root), batch_size=4, masks_per_image=3, augment=varied)


@pytest.fixture
def samples(phantom_root):
    return load_index(phantom_root, "train")


def batches(samples, config, count, skip=0, **processes):
    iterator = training_iterator(samples, config, INPUTS, SIZE, **processes)
    found = [next(iterator) for _ in range(skip + count)][skip:]
    iterator.close()
    return found


def assert_equal(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_a_batch_has_the_shapes_and_values_promised(samples, config):
    (batch,) = batches(samples, config, 1)
    assert {name: (value.shape, value.dtype.name) for name, value in batch.items()} == {
        "image": ((4, SIZE, SIZE, 3), "float32"),
        "masks": ((4, 3, SIZE, SIZE), "uint8"),
        "boxes": ((4, 3, 4), "float32"),
        "seed": ((4,), "uint32"),
    }
    assert set(np.unique(batch["masks"])) == {0, 1}
    assert len(set(batch["seed"])) == 4
    for mask, (x0, y0, x1, y1) in zip(
        batch["masks"].reshape(-1, SIZE, SIZE), batch["boxes"].reshape(-1, 4), strict=True
    ):
        assert mask[int(y0) : int(y1), int(x0) : int(x1)].sum() > 0.5 * mask.sum()


def test_a_saved_state_resumes_bit_for_bit_at_any_number_of_threads(samples, config):
    iterator = training_iterator(samples, config, INPUTS, SIZE)
    for _ in range(3):
        next(iterator)
    state = iterator.get_state()
    expected = [next(iterator) for _ in range(4)]
    iterator.close()
    config = dataclasses.replace(config, threads=1, prefetch=1)
    resumed = training_iterator(samples, config, INPUTS, SIZE)
    resumed.set_state(state)
    assert_equal(expected, [next(resumed) for _ in range(4)])
    resumed.close()


@pytest.mark.parametrize("balance", fields.choices(DataConfig)["balance"])
def test_two_processes_together_get_the_batches_of_one(samples, config, balance):
    halves = [dataclasses.replace(s, dataset="ab"[i % 2]) for i, s in enumerate(samples)]
    config = dataclasses.replace(config, balance=balance)
    whole = batches(halves, config, 5)
    parts = [batches(halves, config, 5, process_index=i, process_count=2) for i in (0, 1)]
    for batch, first, second in zip(whole, *parts, strict=True):
        together = {
            name: np.stack([first[name], second[name]], axis=1).reshape(batch[name].shape)
            for name in batch
        }
        assert_equal([batch], [together])


def identities(samples, config, count):
    """Which sample every image of the stream is, by its brightness."""
    plain = dataclasses.replace(config, augment=AugmentConfig())
    images = [load_for_evaluation(s, config.root, INPUTS, SIZE).image for s in samples]
    means = np.array([image.mean(dtype=np.float64) for image in images])
    stream = np.concatenate([batch["image"] for batch in batches(samples, plain, count)])
    found = stream.mean((1, 2, 3), dtype=np.float64)
    return np.abs(found[:, None] - means).argmin(1)


def test_every_epoch_sees_every_image_once_in_a_new_order(samples, config):
    epochs = identities(samples, config, 9).reshape(3, 12)
    assert (np.sort(epochs) == np.arange(12)).all()
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_seeds_give_other_streams_and_epochs_other_draws(samples, config):
    first, other = batches(samples, config, 3), batches(
        samples, dataclasses.replace(config, seed=1), 3
    )  # fmt: skip
    seeds = np.concatenate([batch["seed"] for batch in first + other])
    assert len(set(seeds)) == 24


def test_balance_shows_a_small_dataset_as_often_as_a_large_one(samples, config):
    rare = [dataclasses.replace(s, dataset="rare" if i < 2 else "x") for i, s in enumerate(samples)]
    balanced = dataclasses.replace(config, balance="dataset")
    found = identities(rare, balanced, 10)
    assert (found < 2).mean() == 0.5
    assert len(set(found)) == 12


def test_balance_by_mask_shows_an_image_as_often_as_it_takes_to_draw_its_masks(samples, config):
    config = dataclasses.replace(config, balance="mask", masks_per_image=2)
    counts = np.arange(1, 13)
    many = [
        dataclasses.replace(s, masks=s.masks[:1] * n) for s, n in zip(samples, counts, strict=True)
    ]
    epoch = -(-counts // 2)  # 42 images, of which a batch has four.
    found = identities(many, config, 21)
    np.testing.assert_array_equal(np.bincount(found, minlength=12), 2 * epoch)


def test_masks_are_distinct_as_far_as_there_are_enough():
    rng = np.random.default_rng(0)
    for available in range(1, 8):
        drawn = draw_masks(available, 4, "distinct", rng)
        assert drawn.shape == (4,)
        assert len(set(drawn)) == min(available, 4)
        assert set(drawn) <= set(range(available))
    replaced = [len(set(draw_masks(4, 4, "replacement", rng))) for _ in range(50)]
    assert min(replaced) < 4


def test_an_image_with_one_mask_repeats_it(samples, config):
    single = [dataclasses.replace(sample, masks=sample.masks[:1]) for sample in samples]
    (batch,) = batches(single, config, 1)
    assert (batch["masks"] == batch["masks"][:, :1]).all()
    assert (batch["boxes"] == batch["boxes"][:, :1]).all()


@pytest.fixture
def broken(phantom_root, tmp_path):
    """A copy in which one image has turned bad after the check."""
    root = tmp_path / "broken"
    shutil.copytree(phantom_root, root)
    samples = load_index(root, "train")
    (root / samples[5].image).write_bytes(b"")
    return root, samples


def test_a_file_that_turns_bad_stops_the_run_by_name(broken, config):
    root, samples = broken
    config = dataclasses.replace(config, root=str(root), on_bad="error")
    with pytest.raises(DataError, match=rf"{samples[5].image}: expected an image"):
        batches(samples, config, 3)


def test_a_file_that_turns_bad_is_replaced_and_named(broken, config, caplog):
    root, samples = broken
    config = dataclasses.replace(config, root=str(root))
    with caplog.at_level(logging.WARNING):
        first = batches(samples, config, 4)
    assert samples[5].image in caplog.text
    assert_equal(first, batches(samples, config, 4))


def test_a_folder_that_turns_bad_as_a_whole_stops_the_run(broken, config):
    root, samples = broken
    shutil.rmtree(root / "masks")
    config = dataclasses.replace(config, root=str(root))
    with pytest.raises(DataError, match="10 unusable images in a row"):
        batches(samples, config, 1)


def test_a_vanished_mask_and_one_of_another_shape_are_named(write_folder, blob, config):
    dot = np.zeros((30, 40), np.uint8)
    dot[1, 1] = 255
    for name, pixels, message in (
        ("dot.png", dot, r"dot\.png: expected foreground at 16 x 16 pixels"),
        ("cut.png", blob[:9], r"cut\.png: expected a mask of the image's shape \(30, 40\)"),
    ):
        root = write_folder({"a_1.png": {name: pixels}})
        config = dataclasses.replace(config, root=str(root), batch_size=1, on_bad="error")
        samples = load_index(root, "train")
        with pytest.raises(DataError, match=message):
            next(training_iterator(samples, config, INPUTS, 16))


def test_an_image_without_masks_is_named(samples, config):
    bare = dataclasses.replace(samples[0], masks=())
    with pytest.raises(DataError, match=f"{bare.image}: expected a mask, found none"):
        load_for_evaluation(bare, config.root, INPUTS, SIZE)
    config = dataclasses.replace(config, on_bad="error")
    with pytest.raises(DataError, match=f"{bare.image}: expected a mask, found none"):
        batches([bare] * 4, config, 1)


def test_too_few_images_or_uneven_batches_are_refused(samples, config):
    with pytest.raises(ValueError, match="multiple of the 3 processes, found 4"):
        batches(samples, config, 1, process_count=3)
    with pytest.raises(DataError, match=r"at least data\.batch_size = 4 images, found 2"):
        batches(samples[:2], config, 1)


def test_evaluation_sees_every_mask_in_both_sizes(samples, config):
    sample = samples[0]
    found = load_for_evaluation(sample, config.root, INPUTS, SIZE)
    assert found.image.shape == (SIZE, SIZE, 3)
    assert found.masks.shape == (len(sample.masks), SIZE, SIZE)
    assert found.original_masks.shape == (len(sample.masks), 64, 64)
    assert (found.placement.height, found.placement.inner_height) == (64, SIZE)
    areas = [masks.mean((1, 2)) for masks in (found.masks, found.original_masks)]
    np.testing.assert_allclose(*areas, atol=0.01)


def test_evaluation_keeps_a_mask_that_vanishes(write_folder, blob):
    dot = np.zeros((30, 40), np.uint8)
    dot[1, 1] = 255
    root = write_folder({"a_1.png": {"blob.png": blob, "dot.png": dot}})
    found = load_for_evaluation(load_index(root, "train")[0], root, INPUTS, 16)
    assert found.masks.any((1, 2)).tolist() == [True, False]
    assert found.original_masks.any((1, 2)).all()
    gone = Sample("images/a_1.png", ("masks/gone.png",))
    with pytest.raises(DataError, match="no such file"):
        load_for_evaluation(gone, root, INPUTS, 16)
