import pytest

from samjax.curation import filename_words, pairing

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
    "letters with accents, as one sign and as two": (
        ["images/\u00e91.png", "masks/e\u03011.png"],
        {"images/\u00e91.png": [("masks/e\u03011.png", "")]},
    ),
    "classes of one sign": (
        ["images/a.png", "masks/a_肝.png"],
        {"images/a.png": [("masks/a_肝.png", "肝")]},
    ),
    "numbered objects of a numbered image": (
        ["x/img_0/images/img_0.png", "x/img_0/masks/0.png", "x/img_0/masks/1.png"],
        {
            "x/img_0/images/img_0.png": [
                ("x/img_0/masks/0.png", ""),
                ("x/img_0/masks/1.png", ""),
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
    "the number after the word": (
        ["image_1.png", "mask_1.png", "img12.png", "lbl12.png"],
        {
            "image_1.png": [("mask_1.png", "")],
            "img12.png": [("lbl12.png", "")],
        },
    ),
    "BTCV": (
        ["Training/img/img0001.nii.gz", "Training/label/label0001.nii.gz"],
        {"Training/img/img0001.nii.gz": [("Training/label/label0001.nii.gz", "")]},
    ),
    "LiTS": (
        ["volume-1.nii", "segmentation-1.nii", "volume-11.nii", "segmentation-11.nii"],
        {
            "volume-1.nii": [("segmentation-1.nii", "")],
            "volume-11.nii": [("segmentation-11.nii", "")],
        },
    ),
    "Original and Ground Truth": (
        ["PNG/Original/1.png", "PNG/Ground Truth/1.png"],
        {"PNG/Original/1.png": [("PNG/Ground Truth/1.png", "")]},
    ),
    "masks that are counted": (
        ["scan.png", "scan_mask.png", "scan_mask_1.png", "scan_1.png", "scan_1_mask.png"],
        {
            "scan.png": [("scan_mask.png", ""), ("scan_mask_1.png", "")],
            "scan_1.png": [("scan_1_mask.png", "")],
        },
    ),
    "an image of that number": (
        ["image.png", "mask.png", "image_1.png", "mask_1.png"],
        {"image.png": [("mask.png", "")], "image_1.png": [("mask_1.png", "")]},
    ),
    "capitals tell apart": (
        ["A.png", "a.png", "A_mask.png", "a_mask.png"],
        {"A.png": [("A_mask.png", "")], "a.png": [("a_mask.png", "")]},
    ),
    "several modalities of one label": (
        ["B/B01/B01_flair.nii.gz", "B/B01/B01_t1ce.nii.gz", "B/B01/B01_seg.nii.gz"],
        {
            "B/B01/B01_flair.nii.gz": [("B/B01/B01_seg.nii.gz", "")],
            "B/B01/B01_t1ce.nii.gz": [("B/B01/B01_seg.nii.gz", "")],
        },
    ),
    "a channel's number": (
        ["F/images/x_0000.nii.gz", "F/labels/x.nii.gz"],
        {"F/images/x_0000.nii.gz": [("F/labels/x.nii.gz", "")]},
    ),
    "files of classes beside a case": (
        ["s1/ct.nii.gz", "s1/segmentations/rib_left_1.nii.gz", "s1/segmentations/liver.nii.gz"],
        {
            "s1/ct.nii.gz": [
                ("s1/segmentations/liver.nii.gz", "liver"),
                ("s1/segmentations/rib_left_1.nii.gz", "rib_left_1"),
            ]
        },
    ),
    "an object a file": (
        ["t/x1/images/x1.png", f"t/x1/masks/{'1a' * 16}.png", f"t/x1/masks/{'2b' * 16}.png"],
        {
            "t/x1/images/x1.png": [
                (f"t/x1/masks/{'1a' * 16}.png", ""),
                (f"t/x1/masks/{'2b' * 16}.png", ""),
            ]
        },
    ),
    "a folder for each class": (
        ["images/p1.png", "masks/liver/p1.png", "masks/spleen/p1.png"],
        {"images/p1.png": [("masks/liver/p1.png", "liver"), ("masks/spleen/p1.png", "spleen")]},
    ),
    "folders beside each other": (
        [
            "ISIC_Training_Data/I_1.jpg",
            "ISIC_Training_Part1_GroundTruth/I_1_segmentation.png",
            "ISIC_Test_Data/I_2.jpg",
            "ISIC_Test_Part1_GroundTruth/I_2_segmentation.png",
        ],
        {
            "ISIC_Training_Data/I_1.jpg": [
                ("ISIC_Training_Part1_GroundTruth/I_1_segmentation.png", "")
            ],
            "ISIC_Test_Data/I_2.jpg": [("ISIC_Test_Part1_GroundTruth/I_2_segmentation.png", "")],
        },
    ),
    "of several folders the nearest": (
        [
            "2017/ISIC_2017_Data/I_1.jpg",
            "2017/ISIC_2017_GroundTruth/I_1_segmentation.png",
            "2018/ISIC_2018_Input/I_1.jpg",
            "2018/ISIC_2018_GroundTruth_v3/I_1_segmentation.png",
        ],
        {
            "2017/ISIC_2017_Data/I_1.jpg": [
                ("2017/ISIC_2017_GroundTruth/I_1_segmentation.png", "")
            ],
            "2018/ISIC_2018_Input/I_1.jpg": [
                ("2018/ISIC_2018_GroundTruth_v3/I_1_segmentation.png", "")
            ],
        },
    ),
    "a title that holds a word": (
        ["X_with_GT/images/a.png", "X_with_GT/masks/a.png"],
        {"X_with_GT/images/a.png": [("X_with_GT/masks/a.png", "")]},
    ),
    "Slicer's segmentation": (
        ["p/scan.nrrd", "p/scan.seg.nrrd"],
        {"p/scan.nrrd": [("p/scan.seg.nrrd", "")]},
    ),
    "upper and lower case": (
        ["Images/A.PNG", "Masks/a.png"],
        {"Images/A.PNG": [("Masks/a.png", "")]},
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_labels_find_their_image(name):
    files, expected = LAYOUTS[name]
    found = pairing.pair(files)
    assert {pair.image: list(pair.labels) for pair in found.pairs} == expected
    assert not found.alone
    assert not found.lost
    assert not found.unclear


def test_files_without_a_partner_are_reported():
    found = pairing.pair(["images/a.png", "images/b.png", "masks/a.png", "masks/c.png"])
    assert [pair.image for pair in found.pairs] == ["images/a.png"]
    assert found.alone == ("images/b.png",)
    assert found.lost == ("masks/c.png",)


def test_two_folders_of_labels_are_not_chosen_from():
    found = pairing.pair(["images/a.png", "masks/a.png", "labels/a.png"])
    assert not found.pairs
    detail = "expected one folder of labels, found labels/a.png, masks/a.png"
    assert found.unclear == {"images/a.png": detail}


def test_those_who_drew_labels_are_no_classes():
    found = pairing.pair(["images/a.png", "masks_rater1/a.png", "masks_rater2/a.png"])
    assert "expected one folder of labels" in found.unclear["images/a.png"]


@pytest.mark.parametrize("word", ["masked_ball.png", "segment.png", "labelled.png", "imagery.png"])
def test_longer_words_mean_nothing(word):
    assert not filename_words.labels_among([word])
    assert filename_words.key(word) == word[:-4]


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("case1.png", "case1_2_mask.png"),
        ("images/case1.png", "masks/case1_2.png"),
        ("case1.png", "case1_b_mask.png"),
        ("case1.png", "case1_003_liver_mask.png"),
        ("p1.nii.gz", "p1_t2_mask.nii.gz"),
        ("images/scan07.png", "masks/scan08.png"),
        ("train/images/1.png", "test/masks/1.png"),
        ("apple.png", "pear_mask.png"),
    ],
)
def test_a_label_of_another_image_is_given_to_none(image, label):
    found = pairing.pair([image, label])
    assert (found.pairs, found.alone, found.lost) == ((), (image,), (label,))


def test_capitals_are_no_reason_to_take_two_labels_together():
    found = pairing.pair(["A.png", "A_mask.png", "a_mask.png"])
    assert found.pairs[0].labels == (("A_mask.png", ""),)
    assert found.lost == ("a_mask.png",)


def test_one_label_of_two_images_is_reported_not_guessed():
    found = pairing.pair(["images/a.png", "images/a.jpg", "masks/a.png"])
    detail = "expected one image of that name, found images/a.jpg, images/a.png"
    assert found.unclear == {"masks/a.png": detail}
