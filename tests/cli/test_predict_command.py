"""The console script, end to end on files."""

import functools
import json
import os

import cv2
import jax
import numpy as np
import pytest
from small import TINY

import samjax
from samjax import cli, lock, models
from samjax.data import inputs
from samjax.models import directory

BOX = ["--box", "5", "6", "30", "40"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    shapes = jax.eval_shape(functools.partial(models.init, TINY), jax.random.key(0))
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: rng.normal(0, 0.3, leaf.shape).astype(np.float32), shapes)
    path = tmp_path_factory.mktemp("checkpoint") / "tiny"
    directory.save(path, directory.Model(TINY, inputs.Preprocessing(), params))
    return path


@pytest.fixture
def scan(tmp_path):
    """Writes images; returns their paths."""

    def write(*names, shape=(50, 41, 3)):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
            assert cv2.imwrite(str(path), image)
        return [str(tmp_path / name) for name in names]

    return write


@pytest.fixture
def predict(model, tmp_path):
    """Runs `samjax predict` into the folder `out`; returns the exit code."""

    def run(*arguments):
        out = [] if "--out" in arguments else ["--out", tmp_path / "out"]
        command = ["predict", *arguments, "--checkpoint", model, *out]
        return cli.main([str(argument) for argument in command])

    return run


def written(tmp_path):
    out = tmp_path / "out"
    return sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())


def report(tmp_path):
    return json.loads((tmp_path / "out" / "predictions.json").read_text())


def mask(tmp_path, name):
    return cv2.imread(str(tmp_path / "out" / name), cv2.IMREAD_UNCHANGED)


def test_each_box_is_an_object(predict, scan, tmp_path, model):
    assert predict(*scan("liver.png"), *BOX, "--box", "1", "2", "20", "30") == 0
    names = ["liver_0.png", "liver_1.png", "liver_overlay.png", "predictions.json"]
    assert written(tmp_path) == names
    predictor = samjax.Predictor.from_pretrained(model)
    predictor.set_image(cv2.imread(str(tmp_path / "liver.png")), "BGR")
    masks, scores, _ = predictor.predict(box=np.array([[5, 6, 30, 40], [1, 2, 20, 30]]))
    entry = report(tmp_path)["images"]["liver.png"]
    assert entry["size"] == [50, 41] and entry["overlay"] == "liver_overlay.png"
    for index, item in enumerate(entry["objects"]):
        best = scores[index].argmax()
        found = mask(tmp_path, f"liver_{index}.png")
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, masks[index, best] * 255)
        np.testing.assert_allclose(item["scores"], scores[index], atol=1e-5)
        assert item["object"] == str(index) and item["best"] == best
        assert item["masks"] == [f"liver_{index}.png"]
    assert entry["objects"][0]["box"] == [5, 6, 30, 40]
    picture = mask(tmp_path, "liver_overlay.png")
    assert picture.shape == (768, 630, 3)


def test_points_are_one_object(predict, scan, tmp_path):
    points = ["--point", "10", "12", "1", "--point", "30", "40", "0"]
    assert predict(*scan("a.png"), *points, "--multimask") == 0
    names = ["a_0_0.png", "a_0_1.png", "a_0_2.png", "a_overlay.png", "predictions.json"]
    assert written(tmp_path) == names
    (entry,) = report(tmp_path)["images"]["a.png"]["objects"]
    assert entry["points"] == [[10, 12, 1], [30, 40, 0]] and entry["masks"] == names[:3]


def test_points_belong_to_the_one_box(predict, scan, tmp_path):
    assert predict(*scan("a.png"), *BOX, "--point", "10", "12", "1") == 0
    (entry,) = report(tmp_path)["images"]["a.png"]["objects"]
    assert entry["box"] == [5, 6, 30, 40] and entry["points"] == [[10, 12, 1]]


def test_same_names_do_not_collide(predict, scan, tmp_path):
    scan("in/x/a.png", "in/y/a.png", "in/y/a.bmp", "in/b.png")
    assert predict(tmp_path / "in", *BOX) == 0
    stems = ["b", "x/a", "y/a_bmp", "y/a_png"]
    masks = [f"{stem}{end}" for stem in stems for end in ("_0.png", "_overlay.png")]
    assert written(tmp_path) == sorted([*masks, "predictions.json"])
    assert set(report(tmp_path)["images"]) == {"b.png", "x/a.png", "y/a.bmp", "y/a.png"}


def test_one_image_by_several_paths(predict, scan, tmp_path):
    image = scan("in/a.png", "b.png")[1]
    roundabout = tmp_path / "in" / ".." / "b.png"
    assert predict(image, roundabout, tmp_path / "in" / "a.png", *BOX) == 0
    assert set(report(tmp_path)["images"]) == {"b.png", "in/a.png"}
    assert "in/a_0.png" in written(tmp_path)


def test_results_are_no_input_of_the_next_run(predict, scan, tmp_path):
    scan("a.png")
    assert predict(tmp_path, *BOX) == 0
    before = written(tmp_path)
    assert predict(tmp_path, *BOX) == 0
    assert written(tmp_path) == before


@pytest.mark.parametrize("options", [["--no-adapters"], ["--image-size", "96"]])
def test_options_reach_the_network(predict, scan, tmp_path, options):
    image = scan("a.png")
    assert predict(*image, *BOX) == 0
    plain = report(tmp_path)["images"]["a.png"]["objects"][0]["scores"]
    assert predict(*image, *BOX, *options) == 2
    assert predict(*image, *BOX, *options, "--overwrite") == 0
    assert report(tmp_path)["images"]["a.png"]["objects"][0]["scores"] != plain


def test_csv_of_prompts(predict, scan, tmp_path, capsys):
    scan("in/a.png", "in/sub/b.png", "in/c.png")
    prompts = tmp_path / "prompts.csv"
    prompts.write_text(
        "image,object,x0,y0,x1,y1,x,y,label\n"
        "a.png,kidney,5,6,30,40,,,\n"
        "a.png,kidney,,,,,10,12,1\n"
        "a.png,liver,,,,,20,22,1\n"
        "a.png,liver,,,,,30,42,0\n"
        "sub/b.png,1,5,6,30,40,8,9,1\n"
        "another.png,1,5,6,30,40,8,9,1\n"
    )
    assert predict(tmp_path / "in", "--prompts", prompts) == 0
    assert "1 of 3, the first c.png" in (output := capsys.readouterr().err)
    assert "for none of the images given: 1 of 3, the first another.png" in output
    assert report(tmp_path)["unmatched"] == ["another.png"]
    images = report(tmp_path)["images"]
    kidney, liver = images["a.png"]["objects"]
    assert kidney["object"] == "kidney" and kidney["masks"] == ["a_kidney.png"]
    assert kidney["box"] == [5, 6, 30, 40] and kidney["points"] == [[10, 12, 1]]
    assert "box" not in liver and liver["points"] == [[20, 22, 1], [30, 42, 0]]
    assert images["sub/b.png"]["objects"][0]["masks"] == ["sub/b_1.png"]
    assert mask(tmp_path, "sub/b_1.png").shape == (50, 41)


def test_json_of_prompts(predict, scan, tmp_path):
    image = scan("in/a.png", "in/b.png")[0]
    prompts = tmp_path / "prompts.json"
    entries = [{"box": [5, 6, 30, 40]}, {"points": [[10, 12, 1]]}]
    prompts.write_text(json.dumps({image: entries, "b.png": entries[:1]}))
    assert predict(tmp_path / "in", "--prompts", prompts) == 0
    images = report(tmp_path)["images"]
    assert [item["object"] for item in images["a.png"]["objects"]] == ["0", "1"]
    assert images["a.png"]["objects"][1]["points"] == [[10, 12, 1]]
    assert len(images["b.png"]["objects"]) == 1


def test_prompt_files_with_names_byte_order_marks_and_unknown_fields(
    predict, scan, tmp_path, capsys
):
    image = scan("a.png")
    prompts = tmp_path / "prompts.json"
    entries = [
        {"box": [5, 6, 30, 40], "object": "left kidney", "label": "organ"},
        {"points": [[10, 12, 1], [0, 0, -1]]},
    ]
    prompts.write_text(json.dumps({"a.png": entries}), encoding="utf-8-sig")
    assert predict(*image, "--prompts", prompts) == 0
    assert "left out: 'label', which says nothing here" in capsys.readouterr().err
    one, other = report(tmp_path)["images"]["a.png"]["objects"]
    assert one["object"] == "left kidney" and one["masks"] == ["a_left_kidney.png"]
    assert other["object"] == "1" and other["points"] == [[10, 12, 1], [0, 0, -1]]
    table = tmp_path / "prompts.csv"
    table.write_text(
        "image,object,x,y,label,class\na.png,left kidney,10,12,1,organ\n", encoding="utf-8-sig"
    )
    assert predict(*image, "--prompts", table, "--out", tmp_path / "other") == 0
    assert "left out: 'class', which says nothing here" in capsys.readouterr().err
    assert (tmp_path / "other" / "a_left_kidney.png").exists()


def test_goes_on_after_a_bad_image(predict, scan, tmp_path, capsys):
    images = scan("a.png", "z.png")
    (tmp_path / "broken.png").write_bytes(b"no image")
    scan("small.png", shape=(4, 4, 3))
    names = [images[0], tmp_path / "broken.png", tmp_path / "missing.png", tmp_path / "small.png"]
    assert predict(*names, images[1], *BOX) == 1
    captured = capsys.readouterr()
    assert "2 of 5 images predicted" in captured.out
    assert "not predicted: broken.png, missing.png, small.png\n" in captured.err
    failed = report(tmp_path)["failed"]
    assert set(failed) == {"broken.png", "missing.png", "small.png"}
    assert "no such file" in failed["missing.png"] and "outside" in failed["small.png"]
    for name, reason in failed.items():
        assert f"{name}: {reason}" in captured.err
    assert set(report(tmp_path)["images"]) == {"a.png", "z.png"}
    assert not any(name.startswith(("broken", "small", "missing")) for name in written(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.png"], "no prompts: give --box, --point or --prompts"),
        (["a.png", *BOX, *BOX, "--point", "1", "2", "1"], "several boxes and points"),
        (["a.png", *BOX, "--prompts", "p.csv"], "not both"),
        (["a.png", "--box", "9", "6", "3", "4"], "x0 < x1"),
        (["a.png", "--point", "1", "2", "5"], "labels: expected 1 (object), 0 (background)"),
        ([".", *BOX, "--out", "."], "--out: expected a folder that does not hold the images"),
        (["empty", *BOX, "--out", "."], "--out: expected a folder that does not hold the images"),
        (["a.png", *BOX, "--out", "a.png"], "a.png: expected a folder, found that a.png is a file"),
        (["a.png", *BOX, "--out", "a.png/out"], "expected a folder, found that a.png is a file"),
        (["a.png", "--prompts", "missing.csv"], "missing.csv"),
        (["a.png", "--prompts", "p.txt"], "p.txt: expected a .csv or .json"),
        (["empty", *BOX], "expected images (.png"),
        (["a.png", *BOX, "--image-size", "60"], "image_size"),
    ],
)
def test_mistakes_in_the_call(predict, scan, tmp_path, monkeypatch, capsys, arguments, message):
    scan("a.png")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    assert predict(*arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("samjax: error: ") and message in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.csv", "", "expected the header image,object,x0"),
        ("p.csv", "image,object,x,y\na.png,1,2,3", "found image,object,x,y"),
        ("p.csv", "image,object,x,y,label\n", "expected prompts, found none"),
        ("p.csv", "image,object,x,y,label\na.png,1,2,3\n", "line 2: expected as many values"),
        ("p.csv", "image,object,x,y,label\na.png,1,2,3,1,5\n", "line 2: expected as many values"),
        ("p.csv", "image,object,x,y,label\na.png,,2,3,1\n", "line 2: expected an image and"),
        ("p.csv", "image,object,x,y,label\na.png, ,2,3,1\n", "line 2: expected an image and"),
        ("p.csv", "image,object,x,y,label\na.png,1,2,,1\n", "numbers for x,y,label, found 2,,1"),
        ("p.csv", "image,object,x,y,label\na.png,1,,,\n", "line 2: expected a box or a point"),
        ("p.csv", "image,object,x,y,label\na.png,1,2,3,7\n", "line 2: labels: expected 1"),
        (
            "p.csv",
            "image,object,x0,y0,x1,y1\na.png,1,2,3,4,5\na.png,1,2,3,4,5\n",
            "line 3: a second box for object '1' of a.png",
        ),
        ("p.csv", "image,object,x,y,label\nb.png,1,2,3,1\n", "none of its prompts is for"),
        ("p.json", "{", "expected JSON"),
        ("p.json", "[]", "expected a JSON object, found a list"),
        ("p.json", '{"a.png": {}}', "a.png: expected [object, ...], found {}"),
        ("p.json", '{"a.png": [], "a.png": []}', "expected every name once, found 'a.png' twice"),
        (
            "p.json",
            '{"a.png": [{"box": [1, 2, 3, 4], "point": []}]}',
            "points, object, found 'poin",
        ),
        (
            "p.json",
            '{"a.png": [{"box": [1, 2, 3, 4], "object": "1"}, {"box": [1, 2, 3, 4]}]}',
            "a.png, object 1: expected another name, found a second '1'",
        ),
        ("p.json", '{"a.png": [{"bbox": [1, 2, 3, 4]}]}', "object 0: expected an object with box"),
        ("p.json", '{"a.png": [{"points": [[1, 2]]}]}', "points: expected [[x, y, label], ...]"),
        ("p.json", '{"a.png": [{"box": [1, 2, 3]}]}', "object 0: box: expected shape (4,)"),
        ("p.json", '{"a.png": [{"points": []}]}', "object 0: expected a point, a box or a mask"),
        ("p.json", '{"a.png": []}', "expected prompts, found none"),
    ],
)
def test_mistakes_in_prompt_files(predict, scan, tmp_path, capsys, name, content, message):
    image = scan("a.png")
    (tmp_path / name).write_text(content)
    assert predict(*image, "--prompts", tmp_path / name) == 2
    error = capsys.readouterr().err
    assert message in error and (name in error or "rename" in message)
    assert not (tmp_path / "out").exists()


def test_an_ambiguous_name(predict, scan, tmp_path, capsys):
    scan("in/x/a.png", "in/y/a.png")
    prompts = tmp_path / "p.json"
    prompts.write_text('{"a.png": [{"box": [1, 2, 3, 4]}]}')
    assert predict(tmp_path / "in", "--prompts", prompts) == 2
    assert "a.png may be x/a.png and y/a.png" in capsys.readouterr().err
    prompts.write_text('{"x/a.png": [{"box": [1, 2, 3, 4]}], "./x/a.png": [{"box": [1, 2, 3, 4]}]}')
    assert predict(tmp_path / "in", "--prompts", prompts) == 2
    assert "x/a.png is named in two ways" in capsys.readouterr().err


def test_a_link_to_nowhere_is_named(predict, scan, tmp_path, capsys):
    scan("in/a.png")
    (tmp_path / "in" / "b.png").symlink_to(tmp_path / "nowhere.png")
    assert predict(tmp_path / "in", *BOX) == 1
    assert "b.png: no such file" in capsys.readouterr().err


def test_a_folder_in_use_is_refused(predict, scan, tmp_path, capsys):
    with lock.exclusive(tmp_path / "out"):
        assert predict(*scan("a.png"), *BOX) == 2
    assert str(os.getpid()) in capsys.readouterr().err


def test_no_checkpoint(scan, tmp_path, capsys):
    command = ["predict", *scan("a.png"), *BOX, "--checkpoint", "nowhere", "--out", "out"]
    assert cli.main(command) == 2
    error = capsys.readouterr().err
    assert error.startswith("samjax: error: nowhere") and error.count("\n") == 1


def test_info(model, capsys):
    assert cli.main(["info", str(model)]) == 0
    text = capsys.readouterr().out
    assert f"samjax {samjax.__version__}" in text and "devices: " in text
    assert "image_size=64" in text and "mask_prompt='sigmoid'" in text
    assert "image_encoder/blocks_0" in text and "total" in text
    assert cli.main(["info"]) == 0


def test_version_and_help(capsys):
    for option, expected in [("--version", f"samjax {samjax.__version__}"), ("--help", "convert")]:
        with pytest.raises(SystemExit) as exit_:
            cli.main([option])
        assert exit_.value.code == 0 and expected in capsys.readouterr().out
