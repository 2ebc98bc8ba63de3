import json

import numpy as np
import pytest

from samjax.data.boxes import tight_box
from samjax.data.files import DataError, read_image
from samjax.data.index import load_index, load_metadata
from samjax.data.phantoms import (
    CLASS_NUMBERS,
    PhantomConfig,
    anatomy,
    draw_phantom,
    rendering,
    write_phantoms,
)
from samjax.data.quality import check_samples


def phantoms(count, size=128):
    modalities = list(rendering.MODALITIES)
    return [
        (modalities[n % 4], *draw_phantom(modalities[n % 4], size, np.random.default_rng(n)))
        for n in range(count)
    ]


def test_the_folder_is_complete_and_has_no_bad_file(phantom_root):
    train, test = load_index(phantom_root, "train"), load_index(phantom_root, "test")
    assert (len(train), len(test)) == (12, 4)
    assert check_samples(phantom_root, train + test, 64, "pad_or_stretch") == []
    found = load_metadata(phantom_root, test)
    assert {m.modality for m in found.values()} == {"ct", "mr", "ultrasound", "x_ray"}
    assert {m.class_name for m in found.values()} <= set(CLASS_NUMBERS)
    folder = json.loads((phantom_root / "SAMed2D_v1.json").read_text())
    assert len(folder) == 16
    assert not phantom_root.with_name("phantoms.partial").exists()


def test_phantoms_depend_only_on_the_seed(tmp_path, phantom_root):
    config = PhantomConfig(count_train=2, count_test=1, size=64, seed=3)
    write_phantoms(tmp_path / "same", config)
    write_phantoms(tmp_path / "other", PhantomConfig(2, 1, 64, seed=4))
    first = load_index(phantom_root, "train")[1].image
    pixels = [read_image(root / first)[0] for root in
              (phantom_root, tmp_path / "same", tmp_path / "other")]  # fmt: skip
    np.testing.assert_array_equal(pixels[0], pixels[1])
    assert (pixels[0] != pixels[2]).any()


def test_a_folder_is_written_once_and_never_over_another(tmp_path):
    root, config = tmp_path / "p", PhantomConfig(2, 1, 64)
    root.with_name("p.partial").mkdir()  # Left by a run that was stopped.
    (root.with_name("p.partial") / "half.png").touch()
    write_phantoms(root, config)
    assert not (root / "half.png").exists()
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    write_phantoms(root, config)
    assert before == {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    with pytest.raises(DataError, match=r"expected the phantoms of .* 'seed': 1.*found"):
        write_phantoms(root, PhantomConfig(2, 1, 64, seed=1))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").touch()
    with pytest.raises(DataError, match=r"found no phantoms\.json"):
        write_phantoms(tmp_path / "mine", config)


def test_masks_are_visible_connected_and_do_not_overlap():
    for _, image, masks in phantoms(12):
        assert image.dtype == np.uint8
        assert image.std() > 10
        assert len(masks) >= 1
        stack = np.stack([mask for _, _, mask in masks])
        assert stack.sum(0).max() == 1
        assert (stack.mean((1, 2)) >= anatomy.MIN_AREA_FRACTION).all()
        names = [(kind, component) for kind, component, _ in masks]
        assert len(set(names)) == len(names)


def test_the_filled_box_leaves_room_to_improve():
    scores = []
    for _, _, masks in phantoms(80):
        for _, _, mask in masks:
            x0, y0, x1, y1 = tight_box(mask)
            scores.append(2 * mask.sum() / (mask.sum() + (x1 - x0) * (y1 - y0)))
    assert 0.70 < np.mean(scores) < 0.78


def test_structures_differ_from_their_surroundings():
    """The mean inside differs from the mean of the ring around, in nearly every mask."""
    distinct = []
    for _, image, masks in phantoms(40):
        for _, _, mask in masks:
            inside = image[mask > 0]
            ring = _dilated(mask, 3) & ~_dilated(mask, 1)
            distinct.append(abs(inside.mean() - image[ring].mean()) > 10)
    assert np.mean(distinct) > 0.85


def _dilated(mask, times):
    grown = mask.astype(bool)
    for _ in range(times):
        padded = np.pad(grown, 1)
        grown = grown | padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    return grown
