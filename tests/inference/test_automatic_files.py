"""Files of automatic masks: annotations judged by pycocotools, label maps, resuming."""

import contextlib
import io

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from samjax import visualization
from samjax.data import run_lengths
from samjax.inference import AutomaticConfig, AutomaticMaskGenerator, Predictor
from samjax.inference import automatic_files as auto
from samjax.inference.image_files import find_images

EVERYTHING = AutomaticConfig(
    points_per_side=3, pred_iou_thresh=0.0, stability_score_thresh=0.0, stability_score_offset=0.1
)
NOTHING = AutomaticConfig(points_per_side=3, pred_iou_thresh=1.0)


@pytest.fixture(scope="module")
def predictor(model):
    return Predictor(model)


@pytest.fixture
def scans(tmp_path, photo):
    """A folder with two images of one name in different folders."""
    for name, shape in {"x/a.png": (50, 60, 3), "y/a.png": (40, 45)}.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "in" / name), photo(*shape))
    return tmp_path / "in"


@pytest.fixture
def run(predictor, scans, tmp_path):
    """Finds the masks of images into `out`."""

    def run_with(*names, config=EVERYTHING, **options):
        found = find_images([scans, *names], tmp_path / "out")
        return auto.predict_automatic_files(predictor, found, tmp_path / "out", config, **options)

    return run_with


def load(folder):
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(folder / auto.ANNOTATIONS)


def content(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_pycocotools_reads_the_generators_masks(run, predictor, scans, tmp_path):
    assert run() == auto.AutomaticOutcome({}, [])
    coco = load(tmp_path / "out")
    assert [image["file_name"] for image in coco.imgs.values()] == ["x/a.png", "y/a.png"]
    assert [category["name"] for category in coco.cats.values()] == ["object"]
    for image_id, image in coco.imgs.items():
        pixels = cv2.imread(str(scans / image["file_name"]))
        expected = AutomaticMaskGenerator(predictor, EVERYTHING).generate(pixels, "BGR")
        expected = [record for record in expected if record["area"]]
        found = coco.imgToAnns[image_id]
        assert found and len(found) == len(expected)
        assert (image["height"], image["width"]) == pixels.shape[:2]
        for label, (annotation, record) in enumerate(zip(found, expected, strict=True), 1):
            mask = coco.annToMask(annotation)
            np.testing.assert_array_equal(mask, record["segmentation"])
            encoded = coco_mask.encode(np.asfortranarray(mask))
            assert annotation["bbox"] == coco_mask.toBbox(encoded).tolist()
            assert annotation["area"] == coco_mask.area(encoded) == record["area"]
            assert annotation["label"] == label and annotation["iscrowd"] == 0
            for name in ("point_coords", "crop_box"):
                assert annotation[name] == record[name]
            for name in ("predicted_iou", "stability_score"):
                assert annotation[name] == pytest.approx(record[name], abs=1e-5)
        stem = tmp_path / "out" / image["file_name"].removesuffix(".png")
        labels = cv2.imread(f"{stem}_labels.png", cv2.IMREAD_UNCHANGED)
        assert labels.dtype == np.uint16
        np.testing.assert_array_equal(labels, smallest_on_top(expected, pixels.shape[:2]))
        assert max(cv2.imread(f"{stem}_overlay.png").shape[:2]) == 768


def smallest_on_top(records, shape):
    labels = np.zeros(shape, np.uint16)
    for y, x in np.ndindex(shape):
        on = [(r["area"], i) for i, r in enumerate(records, 1) if r["segmentation"][y, x]]
        labels[y, x] = min(on)[1] if on else 0
    return labels


def test_label_maps_show_the_smaller_mask_and_of_equal_ones_the_first():
    large, left, right = np.zeros((3, 4, 6), bool)
    large[:, :5], left[1, 1:4], right[1, 3:6] = True, True, True
    labels = auto.label_map([run_lengths.encode(m) for m in (large, left, right)], (4, 6))
    assert labels[1].tolist() == [1, 2, 2, 2, 3, 3] and labels[0].tolist() == [1] * 5 + [0]
    assert not auto.label_map([], (4, 6)).any()
    with pytest.raises(ValueError, match="at most 65535 masks in an image, found 65536"):
        auto.label_map([run_lengths.encode(left)] * 65536, (4, 6))


def test_boxes_hold_all_parts_of_a_mask():
    mask = np.zeros((6, 8), bool)
    mask[1, 2], mask[4, 5:7] = True, True
    record = dict.fromkeys(("predicted_iou", "stability_score", "point_coords", "crop_box"), 0)
    record |= {"segmentation": run_lengths.encode(mask), "area": 3}
    expected = coco_mask.toBbox(coco_mask.encode(np.asfortranarray(mask.astype(np.uint8))))
    assert auto._annotation(record, 1)["bbox"] == expected.tolist() == [2, 1, 5, 4]


def test_overlays_draw_labels_with_edges():
    labels = np.zeros((10, 10), np.uint16)
    labels[2:8, 2:8], labels[:, 9] = 1, 300
    colors = [(200, 0, 0), (0, 200, 0)]
    drawn = visualization.draw_labels(np.zeros((10, 10, 3), np.uint8), labels, colors, 0.5)
    assert drawn[5, 5].tolist() == [100, 0, 0] and drawn[2, 5].tolist() == [200, 0, 0]
    assert drawn[5, 9].tolist() == [0, 200, 0] and not drawn[labels == 0].any()


def test_images_without_masks(run, tmp_path):
    assert run(config=NOTHING).without_masks == ["x/a.png", "y/a.png"]
    coco = load(tmp_path / "out")
    assert len(coco.imgs) == 2 and not coco.anns
    labels = cv2.imread(str(tmp_path / "out/x/a_labels.png"), cv2.IMREAD_UNCHANGED)
    assert labels.shape == (50, 60) and not labels.any()


def test_an_interrupted_run_goes_on(run, tmp_path, monkeypatch):
    run()
    expected = content(tmp_path / "out")
    done = []
    generate = AutomaticMaskGenerator.generate

    def interrupted(self, *image, **options):
        if len(done) == 1:
            raise KeyboardInterrupt
        done.append(image)
        return generate(self, *image, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt, match="1 of 2 images"):
        patch.setattr(AutomaticMaskGenerator, "generate", interrupted)
        run(overwrite=True)
    assert not (tmp_path / "out" / auto.ANNOTATIONS).exists()
    done.clear()
    with monkeypatch.context() as patch:  # Only one image is left to do.
        patch.setattr(AutomaticMaskGenerator, "generate", interrupted)
        assert run() == auto.AutomaticOutcome({}, [])
    assert content(tmp_path / "out") == expected


def test_bad_images_are_left_out_and_join_later(run, scans, tmp_path):
    (scans / "b.png").write_bytes(b"no image")
    assert list(run().failed) == ["b.png"]
    assert len(load(tmp_path / "out").imgs) == 2
    cv2.imwrite(str(scans / "b.png"), np.zeros((30, 30), np.uint8))
    assert not run().failed
    assert load(tmp_path / "out").imgs[1]["file_name"] == "b.png"


def test_a_folder_has_one_kind_of_settings(run, tmp_path):
    run()
    with pytest.raises(ValueError, match="automatic"):
        run(config=NOTHING)
    run(config=NOTHING, overwrite=True)
    assert not load(tmp_path / "out").anns


def test_files_of_other_programs_stay(run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / auto.ANNOTATIONS).write_text("mine")
    with pytest.raises(ValueError, match=r"annotations\.json: expected room for a result of all"):
        run()
    assert (tmp_path / "out" / auto.ANNOTATIONS).read_text() == "mine"
