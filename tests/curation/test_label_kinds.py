"""The meaning of label pixels: one decision for a data set, reported and applied."""

import json

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image

from samjax.curation import discover, formats, local, prepare, store, survey
from samjax.curation.options import CurationOptions, Dataset
from samjax.data.files import DataError

EMPTY = np.zeros((48, 64), np.uint8)
PLACES = [(slice(4, 20), slice(4, 24)), (slice(4, 20), slice(36, 60)),
          (slice(28, 44), slice(4, 24)), (slice(28, 44), slice(36, 60))]  # fmt: skip
AREAS = [320, 384, 320, 384]


def labelled(*values, background=0, kind=np.uint8):
    """Returns a label picture with a rectangle for each value."""
    stored = np.full(EMPTY.shape, background, kind)
    for place, value in zip(PLACES, values, strict=False):
        stored[place] = value
    return stored


def coloured(*colours, background=(0, 0, 0)):
    """Returns a label picture with a rectangle for each colour."""
    number = labelled(*range(1, len(colours) + 1))
    return np.array([background, *colours], np.uint8)[number]


@pytest.fixture
def curated(tmp_path):
    """Writes label pictures, or the files that a function makes, and curates them."""

    def understand(*stored, suffix="png", table=None, **known):
        run = tmp_path / str(len([*tmp_path.iterdir()]))
        root, target = run / "source", run / "target"
        for folder in ("images", "masks"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(0)
        for number, one in enumerate(stored):
            path = root / f"masks/p{number}_001.{suffix}"
            picture = one if isinstance(one, Image.Image) else Image.fromarray(one)
            picture.save(path, **({"quality": 90} if suffix == "jpg" else {}))
            image = rng.integers(0, 255, picture.size[::-1], dtype=np.uint8)
            Image.fromarray(image).save(root / f"images/p{number}_001.png")
        understand.run = run
        if table:
            (root / "labels.json").write_text(json.dumps(table))
        lines = []
        options = CurationOptions((Dataset(**known),))
        executor = local.with_processes(1)
        summary = prepare.prepare(root, target, options, executor, lines.append)
        assert tuple(lines[-len(summary.labels) :]) == summary.labels
        assert json.loads((target / "report.json").read_text())["labels"] == [*summary.labels]
        found = [
            {row.class_name: row.area for row in store.read_case(target, name).rows}
            for name in store.cases(target)
        ]
        return found, (*summary.labels, "")[0], summary

    return understand


def named(prefix, values, pattern="{}", areas=AREAS):
    names = [prefix + pattern.format(value) for value in values]
    return dict(zip(names, areas, strict=False))


def test_255_beside_small_numbers_is_left_out(curated):
    found, lines, _ = curated(labelled(1, 2, 255), labelled(2, 1))
    assert found == [named("label_", [1, 2]), named("label_", [2, 1])]
    assert lines.endswith("(masks/): label map with classes 1, 2; 255 left out")


def test_a_description_overrides_it(curated):
    found, lines, summary = curated(labelled(1, 2, 255), classes={"a": 1, "b": 255}, ignore=(2,))
    assert found == [{"a": 320, "b": 320}]
    assert "label map with classes 1 (a), 255 (b); 2 left out" in lines
    assert summary.is_clean


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_few_separate_greys_are_labels(curated, kind):
    scale = 1 if kind is np.uint8 else 257
    greys = [63 * scale, 126 * scale, 189 * scale, 252 * scale]
    found, lines, _ = curated(labelled(*greys, kind=kind), labelled(*greys[:2], kind=kind))
    assert found == [named("label_", greys), named("label_", greys[:2])]
    assert "label map with classes" in lines


def test_a_ramp_between_two_values_is_one_mask(curated):
    sharp = cv2.resize(labelled(255), None, fx=4, fy=4, interpolation=cv2.INTER_NEAREST)
    soft = cv2.GaussianBlur(sharp, (0, 0), 3)
    disc = cv2.circle(np.zeros((192, 256), np.uint8), (120, 90), 61, 255, -1)
    few = cv2.resize(disc, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    assert np.unique(few).tolist() == [0, 64, 128, 191, 255]
    for stored in (soft, few):
        found, lines, _ = curated(stored)
        assert found == [{"object": int((stored > 127).sum())}]
        assert "one object with grey edges, cut at half: above 127" in lines
    assert "label map with classes 64, 128, 191, 255" in curated(few, kind="classes")[1]


def test_greys_with_smeared_edges_have_no_rings(curated):
    sharp = cv2.resize(labelled(128, 255), None, fx=4, fy=4, interpolation=cv2.INTER_NEAREST)
    sharp = np.roll(sharp, (3, 5), (0, 1))
    sharp[20:80, 101:149] = 255  # 128 touches 255.
    found, lines, _ = curated(sharp, suffix="jpg")
    assert "label map with classes 128, 255, with grey edges" in lines
    expected = {"label_128": (sharp == 128).sum(), "label_255": (sharp == 255).sum()}
    assert found[0] == pytest.approx(expected, rel=0.02)


def test_what_is_along_the_border_is_the_background(curated):
    disc = labelled(128, background=255)
    disc[8:14, 8:14] = 0
    found, lines, _ = curated(disc, disc[::-1].copy())
    assert found == [{"label_0": 36, "label_128": 320 - 36}] * 2
    assert lines.endswith("label map with classes 0, 128; background 255")
    table = {"cup": 0, "disc": 128, "background": 255}
    found, lines, _ = curated(disc, table=table)
    assert found[0] == {"cup": 36, "disc": 320 - 36}


def test_colours_on_a_line_are_classes(curated):
    colours = [(128, 0, 0), (255, 0, 0), (255, 255, 0)]
    other = coloured((255, 85, 0), background=(127, 127, 127))
    found, lines, _ = curated(coloured(*colours), other)
    names = ["800000", "ff0000", "ffff00"]
    assert found == [named("colour_", names), {"colour_ff5500": 320}]
    assert 'background "#000000", "#7f7f7f"' in lines


def test_dark_greys_on_a_line_are_classes(curated):
    greys = [(11, 11, 11), (22, 22, 22), (33, 33, 33)]
    found, _, _ = curated(coloured(*greys))
    assert found == [named("label_", [11, 22, 33])]
    found, _, _ = curated(coloured(*greys), table={"a": [11, 11, 11], "b": [22, 22, 22]})
    assert found == [{"a": 320, "b": 384}]


@pytest.mark.parametrize("table", [None, {"a": "#ff0000", "b": "#00ff00", "c": "#0000ff"}])
@pytest.mark.parametrize("is_round", [False, True])
def test_colours_in_jpeg_are_clustered(curated, table, is_round):
    sharp = coloured((255, 0, 0), (0, 255, 0), (0, 0, 255)).repeat(4, 0).repeat(4, 1)
    sharp = np.roll(sharp, (3, 5), (0, 1))
    if is_round:  # More colours than are counted.
        discs = [(50, 50, 40), (150, 50, 44), (110, 135, 40)]
        sharp = np.zeros((192, 256, 3), np.uint8)
        for number, (x, y, radius) in enumerate(discs):
            colour = [255 * (number == channel) for channel in range(3)]
            cv2.circle(sharp, (x, y), radius, colour, -1)
    expected = [int((sharp == 255)[..., channel].sum()) for channel in range(3)]
    found, lines, _ = curated(sharp, suffix="jpg", table=table)
    names = "abc" if table else ["colour_ff0000", "colour_00ff00", "colour_0000ff"]
    assert found[0] == pytest.approx(dict(zip(names, expected, strict=True)), rel=0.02)
    assert "colour table with classes" in lines and "with smeared edges" in lines


def palette(stored, *colours):
    picture = Image.fromarray(stored, "P")
    picture.putpalette([channel for colour in colours for channel in colour])
    return picture


def test_colours_of_a_palette_decide_not_its_numbers(curated):
    white, black, red = (255, 255, 255), (0, 0, 0), (255, 0, 0)
    found, lines, _ = curated(palette(labelled(0, background=1), white, black))
    assert found == [{"object": 320}]
    found, lines, _ = curated(palette(labelled(1, 2), white, red, (0, 255, 0)))
    assert found == [named("label_", [1, 2])]
    assert lines.endswith("palette with classes 1, 2")
    found, lines, _ = curated(palette(labelled(0, 1, background=2), (0, 255, 0), red, black))
    assert found == [named("label_", [0, 1])]


def test_palettes_that_differ_are_read_by_their_colours(curated):
    black, red, green = (0, 0, 0), (255, 0, 0), (0, 255, 0)
    found, _, _ = curated(
        palette(labelled(1, 2), black, red, green), palette(labelled(2, 1), black, green, red)
    )
    assert found == [named("colour_", ["ff0000", "00ff00"])] * 2


def test_a_palette_with_a_void_border(curated):
    colours = [(0, 0, 0), (128, 0, 0), (0, 128, 0), *[(9, 9, i) for i in range(3, 255)]]
    found, lines, _ = curated(palette(labelled(1, 2, 255), *colours, (224, 224, 192)))
    assert found == [named("label_", [1, 2])]
    assert lines.endswith("; 255 left out")


def test_a_mask_in_the_alpha_channel(curated):
    rng = np.random.default_rng(0)
    alpha = labelled(255)
    for colour in (
        np.full((*EMPTY.shape, 3), 255, np.uint8),
        rng.integers(0, 255, (*EMPTY.shape, 3), np.uint8),
    ):
        found, lines, _ = curated(np.dstack([colour, alpha]))
        assert found == [{"object": 320}]
        assert "one object, from the alpha channel" in lines
    drawn = np.dstack(
        [coloured((255, 0, 0), (0, 255, 0), background=(255, 255, 255)), labelled(255, 255)]
    )
    found, lines, _ = curated(drawn)
    assert found == [named("colour_", ["ff0000", "00ff00"])]
    assert "background transparent" in lines


def test_an_alpha_channel_whose_object_is_all_of_the_border_is_ambiguous(curated):
    hole = Image.fromarray(labelled(1, 1))
    hole.putpalette([0, 0, 0, 255, 255, 255])
    hole.info["transparency"] = 1
    with pytest.raises(DataError, match="in the alpha channel: all of the border is opaque"):
        curated(hole)
    areas = curated(hole, kind="alpha")[0]
    assert areas == [{"object": EMPTY.size - sum(AREAS[:2])}]


def instances(count, seed):
    """Returns discs of one size at random positions."""
    rng = np.random.default_rng(seed)
    stored = np.zeros((96, 96), np.uint16)
    for number, cell in enumerate(rng.permutation(36)[:count], start=1):
        cv2.circle(stored, (int(cell % 6) * 16 + 8, int(cell // 6) * 16 + 8), 6, number, -1)
    return stored


def test_numbers_that_every_picture_counts_anew_are_instances(curated):
    found, lines, summary = curated(*(instances(n, n) for n in (5, 7, 9)))
    assert [*found[0]] == ["object"]
    assert summary.counts.masks == 21
    assert "instances, up to 9 in a file" in lines
    with pytest.raises(Exception, match='say `kind = "instances"` or `kind = "classes"`'):
        curated(*(instances(n, n) for n in (2, 3)))


def test_colours_that_no_two_pictures_share_are_instances(curated):
    colours = [(60 * n, 250 - 20 * m, 40 * m) for n in (1, 2, 3) for m in range(4)]
    found, lines, summary = curated(*(coloured(*colours[n : n + 4]) for n in (0, 4, 8)))
    assert found == [{"object": 320}] * 3
    assert summary.counts.masks == 12
    assert lines.endswith("instances, every colour of a picture is an object")


def test_a_description_resolves_ambiguous_labels(curated):
    pictures = [instances(n, n) for n in (2, 3)]
    assert curated(*pictures, kind="instances")[2].counts.masks == 5
    assert {*curated(*pictures, kind="classes")[0][1]} == {"label_1", "label_2", "label_3"}


def test_16_bit_masks_are_one_object(curated):
    found, lines, _ = curated(labelled(65535, kind=np.uint16))
    assert found == [{"object": 320}]
    found, lines, _ = curated(labelled(1, 2, 65535, kind=np.uint16))
    assert found == [named("label_", [1, 2])]
    assert lines.endswith("65535 left out")


def test_a_table_leaves_the_checks_on(curated):
    soft = cv2.GaussianBlur(labelled(255), (0, 0), 2)
    message = r"expected 1 \(lesion\) of the table of classes, found greys from 0 to 255"
    with pytest.raises(Exception, match=message):
        curated(soft, table={"lesion": 1})
    assert curated(soft, table={"lesion": 1}, kind="binary")[0] == [
        {"lesion": int((soft > 127).sum())}
    ]
    assert curated(soft, table={"lesion": 255})[0] == [{"lesion": int((soft > 127).sum())}]


def test_values_that_the_table_has_not_are_named_and_a_failure(curated):
    found, _, summary = curated(labelled(1), labelled(255), table={"lesion": 1})
    assert found == [{"lesion": 320}]
    (problem,) = summary.problems
    assert not summary.is_clean
    assert "p1_001.png: expected 1 (lesion) of the table of classes, found 255" in problem.detail
    # What lies beside a named label is left out on purpose.
    _, _, summary = curated(labelled(1, 3), labelled(3), table={"lesion": 1})
    assert summary.counts.unnamed == 2
    assert summary.is_clean


def test_an_inverted_mask_is_ambiguous(curated):
    stored = labelled(0, background=255)
    with pytest.raises(Exception, match="say `background = 255` or `background = 0`"):
        curated(stored)
    assert curated(stored, kind="binary", background=255)[0] == [{"object": 320}]
    assert curated(stored, kind="binary", background=0)[0] == [{"object": 48 * 64 - 320}]


def test_regions_of_nnunet_overlap(tmp_path):
    root, target = tmp_path / "source/Dataset001", tmp_path / "target"
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir(parents=True)
    Image.fromarray(labelled(60, 90, 120)).save(root / "imagesTr/x_0000.png")
    Image.fromarray(labelled(1, 2, 3, 4)).save(root / "labelsTr/x.png")
    labels = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "active": [3], "ignore": 4}
    content = {"channel_names": {"0": "mri"}, "labels": labels, "file_ending": ".png"}
    content["regions_class_order"] = [1, 2, 3]
    (root / "dataset.json").write_text(json.dumps(content))
    lines = []
    summary = prepare.prepare(
        root.parent, target, executor=local.with_processes(1), log=lines.append
    )
    areas = {}
    for row in store.read_case(target, store.cases(target)[0]).rows:
        areas[row.class_name] = areas.get(row.class_name, 0) + row.area
    assert areas == {"whole": 320 + 384 + 320, "core": 384 + 320, "active": 320}
    assert lines[-1].endswith("4 left out")
    assert summary.is_clean and not summary.counts.unnamed


@pytest.mark.parametrize("orientation", [3, 6])
def test_pictures_are_upright_or_lie_as_their_labels(write_pictures, orientation):
    stored = np.kron(labelled(200, 100), np.ones((2, 2))).astype(np.uint8)[:, 4:]
    turns = {3: 2, 6: -1}[orientation]
    root = write_pictures({"masks/a.png": np.rot90(stored, turns) // 200 * 255})
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    (root / "images").mkdir()
    Image.fromarray(stored).save(root / "images/a.jpg", exif=exif, quality=98)
    (source,) = discover.discover(root, CurationOptions()).sources
    case = formats.read(root, source, CurationOptions())
    assert np.abs(case.image.astype(int) - np.rot90(stored, turns)).max() < 12
    if orientation == 6:  # A mask that was drawn on what is stored.
        Image.fromarray(stored // 200 * 255).save(root / "masks/a.png")
        case = formats.read(root, source, CurationOptions())
        assert np.abs(case.image.astype(int) - stored).max() < 12
        assert case.left_out


def test_three_pages_are_three_slices(tmp_path):
    for folder, value in (("images", 90), ("masks", 255)):
        (tmp_path / folder).mkdir()
        pages = [Image.fromarray(np.roll(labelled(value), shift, 1)) for shift in (0, 5, 9)]
        pages[0].save(tmp_path / folder / "v.tif", save_all=True, append_images=pages[1:])
    (source,) = discover.discover(tmp_path, CurationOptions()).sources
    case = formats.read(tmp_path, source, CurationOptions())
    assert case.is_volume
    assert case.image.shape == case.labels[0].values.shape == (64, 48, 3)
    np.testing.assert_array_equal(case.labels[0].values[:, :, 1].T, np.roll(labelled(1), 5, 1))


def test_a_file_that_does_not_fit_the_decision_is_named(curated, monkeypatch):
    """Only some of very many files are inspected: the others have to match them."""
    monkeypatch.setattr(survey, "PICTURES", 2)
    found, lines, summary = curated(labelled(255), labelled(3, 7), labelled(255))
    assert found == [{"object": 320}] * 2
    assert lines.endswith("one object")
    (problem,) = summary.problems
    assert "p1_001.png: expected one object, as in the others of its data set" in problem.detail
    assert "found labels 3, 7" in problem.detail


def test_a_dataset_with_ambiguous_labels_leaves_the_others(tmp_path):
    root = tmp_path / "source"
    for name, stored in (("good", labelled(255)), ("bad", labelled(0, background=255))):
        for folder, picture in (("images", labelled(90)), ("masks", stored)):
            (root / name / folder).mkdir(parents=True)
            Image.fromarray(picture).save(root / name / folder / "p1_001.png")
    summary = prepare.prepare(root, tmp_path / "target", executor=local.with_processes(1))
    assert summary.counts.masks == 1
    assert [problem.kind for problem in summary.problems] == ["unclear"]
    assert not summary.is_clean


def test_the_decision_is_part_of_what_a_case_was_made_of(curated):
    pictures = [labelled(1, 2), labelled(2, 1)]
    curated(*pictures)
    root, target = (next(curated.run.glob(name)) for name in ("source", "target"))
    again = prepare.prepare(root, target, executor=local.with_processes(1))
    assert again.done == 0
    Image.fromarray(labelled(1, 2, 255)).save(root / "masks/p1_001.png")
    again = prepare.prepare(root, target, executor=local.with_processes(1))
    assert again.done == 2  # 255 is left out of both now.
