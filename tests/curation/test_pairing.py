import pytest

from samjax.curation import pairing

LAYOUTS = {
    "two folders": (["images/a.png", "masks/a.png"], {"images/a.png": [("masks/a.png", "")]}),
    "folders of a split": (
        ["train/images/a.png", "train/labels/a.png", "test/images/a.png", "test/labels/a.png"],
        {
            "train/images/a.png": [("train/labels/a.png", "")],
            "test/images/a.png": [("test/labels/a.png", "")],
        },
    ),
    "suffixes": (
        ["STS_002/CT_image.nii.gz", "STS_002/CT_mask.nii.gz"],
        {"STS_002/CT_image.nii.gz": [("STS_002/CT_mask.nii.gz", "")]},
    ),
    "a second lesion": (
        ["benign (1).png", "benign (1)_mask.png", "benign (1)_mask_1.png"],
        {"benign (1).png": [("benign (1)_mask.png", ""), ("benign (1)_mask_1.png", "")]},
    ),
    "a number alone": (
        ["img2d.tif", "mask2d.tif", "img3d.tif", "mask3d.tif"],
        {"img2d.tif": [("mask2d.tif", "")], "img3d.tif": [("mask3d.tif", "")]},
    ),
    "a file for each class": (
        ["images/p1_0001.png", "masks/p1_0001_liver_000.png", "masks/p1_0001_left kidney.png"],
        {
            "images/p1_0001.png": [
                ("masks/p1_0001_left kidney.png", "left kidney"),
                ("masks/p1_0001_liver_000.png", "liver"),
            ]
        },
    ),
    "the longest name": (
        ["images/a.png", "images/a_1.png", "masks/a_1.png", "masks/a.png"],
        {"images/a.png": [("masks/a.png", "")], "images/a_1.png": [("masks/a_1.png", "")]},
    ),
    "the only two of a folder": (
        ["x/example_ct_sm.nii.gz", "x/example_seg.nii.gz"],
        {"x/example_ct_sm.nii.gz": [("x/example_seg.nii.gz", "")]},
    ),
    "upper and lower case": (
        ["Images/A.PNG", "Masks/a.png"],
        {"Images/A.PNG": [("Masks/a.png", "")]},
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_labels_find_their_image(name):
    files, expected = LAYOUTS[name]
    pairs, lost, unclear = pairing.pair(files)
    assert {pair.image: list(pair.labels) for pair in pairs} == expected
    assert not lost
    assert not unclear


def test_what_has_no_partner_is_told():
    pairs, lost, _ = pairing.pair(["images/a.png", "images/b.png", "masks/a.png", "masks/c.png"])
    assert {pair.image: bool(pair.labels) for pair in pairs} == {
        "images/a.png": True,
        "images/b.png": False,
    }
    assert lost == ["masks/c.png"]


def test_two_folders_of_labels_are_not_chosen_from():
    pairs, _, unclear = pairing.pair(["images/a.png", "masks/a.png", "labels/a.png"])
    assert not pairs
    assert unclear == {"images/a.png": ["labels/a.png", "masks/a.png"]}


@pytest.mark.parametrize("word", ["masked_ball.png", "segment.png", "labelled.png", "imagery.png"])
def test_longer_words_mean_nothing(word):
    assert not pairing.is_label(word)
    assert pairing.key(word) == word[:-4]
