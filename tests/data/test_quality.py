import cv2
import numpy as np
import pytest

from samjax.data.files import DataError
from samjax.data.index import load_index
from samjax.data.quality import check_samples, format_report, select_usable


@pytest.fixture
def bad_root(write_folder, blob):
    """One good mask beside a bad one of each kind, and two bad images."""
    dot = np.zeros((30, 40), np.uint8)
    dot[1, 1] = 255
    soft = blob.copy()
    soft[5] //= 2
    masks = {
        "good.png": blob,
        "soft.png": soft,
        "shape.png": blob[:20],
        "empty.png": blob * 0,
        "dot.png": dot,
        "deep.png": blob.astype(np.uint16),
        "labels.png": blob // 100,
        "cut.png": blob,
        "gone.png": blob,
    }
    images = {"a_1.png": masks, "b_1.png": {"other.png": blob}, "c_1.png": {}, "d_1.png": masks}
    root = write_folder(images)
    (root / "masks/cut.png").write_bytes((root / "masks/cut.png").read_bytes()[:40])
    (root / "masks/gone.png").unlink()
    cv2.imwrite(str(root / "images/b_1.png"), np.zeros((30, 40), np.uint16))
    (root / "images/d_1.png").unlink()
    return root


def test_every_kind_of_bad_file_is_found_and_named(bad_root):
    samples = load_index(bad_root, "train")
    issues = check_samples(bad_root, samples, 16, "pad_or_stretch", threads=2)
    assert [(issue.path, issue.kind) for issue in issues] == [
        ("masks/soft.png", "not_binary"),
        ("masks/shape.png", "shape"),
        ("masks/empty.png", "empty"),
        ("masks/dot.png", "vanished"),
        ("masks/deep.png", "layout"),
        ("masks/labels.png", "layout"),
        ("masks/cut.png", "unreadable"),
        ("masks/gone.png", "missing"),
        ("images/b_1.png", "layout"),
        ("images/c_1.png", "no_masks"),
        ("images/d_1.png", "missing"),
    ]
    for issue in issues:
        assert issue.path in issue.detail
    assert "(30, 40), found (20, 40)" in issues[1].detail


def test_bad_files_are_left_out_or_refused(bad_root):
    samples = load_index(bad_root, "train")
    issues = check_samples(bad_root, samples, 16, "pad_or_stretch")
    (usable,) = select_usable(samples, issues, "skip")
    assert (usable.image, usable.masks) == ("images/a_1.png", ("masks/good.png", "masks/soft.png"))
    with pytest.raises(DataError) as error:
        select_usable(samples, issues, "error")
    for issue in issues[1:]:
        assert issue.path in str(error.value)
    with pytest.raises(DataError, match="no usable image is left"):
        select_usable(samples[1:], issues, "skip")


def test_a_mask_vanishes_only_at_the_size_it_is_resized_to(bad_root):
    samples = load_index(bad_root, "train")[:1]
    kinds = {issue.kind for issue in check_samples(bad_root, samples, 64, "pad_or_stretch")}
    assert "vanished" not in kinds


def test_a_good_folder_has_no_issue(phantom_root):
    samples = load_index(phantom_root, "train")
    issues = check_samples(phantom_root, samples, 64, "pad_or_stretch")
    assert issues == []
    assert select_usable(samples, issues, "error") == samples
    assert format_report(issues, 12) == "12 images checked, no problem found"


def test_the_report_counts_and_names_the_first(bad_root):
    issues = check_samples(bad_root, load_index(bad_root, "train"), 16, "pad_or_stretch")
    text = format_report(issues, 4, named=2)
    assert text.startswith("4 images checked, 10 bad files (3 layout, 2 missing, ")
    assert text.endswith("and 8 more")
    assert len(text.splitlines()) == 4
