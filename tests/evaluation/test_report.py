import csv
import dataclasses
import io
import json
import shutil

import cv2
import numpy as np
import pytest

from samjax import cli
from samjax.data.metadata import Metadata
from samjax.evaluation import (
    EvalConfig,
    Evaluation,
    MaskResult,
    PromptSet,
    Score,
    evaluator,
    figures,
    report,
    report_tables,
)
from samjax.models import directory

NAMES = ("bbox", "1pt", "3pt", "5pt")


def result(number: int, modality: str, dice: float) -> MaskResult:
    values = {"dice": dice, "iou": dice / 2, "dice_oracle": dice + 0.1, "oracle_gap": 0.1}
    scores = {name: Score(values) for name in NAMES}
    scores["filled_box"] = Score({"dice": 0.5, "iou": 0.25})
    metadata = Metadata(modality, "set", f"case{number}", "liver", "abdomen")
    return MaskResult(f"images/{number}.png", f"masks/{number}.png", metadata, 30, 40, 9, scores)


@pytest.fixture
def made_up() -> Evaluation:
    """Twenty masks in two modalities whose means are easy to tell: 0.2 and 0.8."""
    results = [result(i, "ct", 0.1 + 0.2 * (i % 2)) for i in range(10)]
    results += [result(i, "mr", 0.7 + 0.2 * (i % 2)) for i in range(10, 20)]
    prompts = PromptSet(4, {}, {"masks/x.png": "empty"})
    return Evaluation(
        EvalConfig(select=("score", "oracle")), 256, results, prompts, {"bbox": 35.2, "points": 7}
    )


def test_summary_has_means_overall_and_by_part(made_up):
    summary = report.content_of(made_up, "m")
    assert list(summary["overall"]) == [*NAMES, "filled_box", "count", "subjects"]
    bbox = summary["overall"]["bbox"]
    assert bbox["dice"] == pytest.approx(0.5)
    assert bbox["iou"] == pytest.approx(0.25)
    assert bbox["dice_oracle"] == pytest.approx(0.6)
    assert bbox["dice_ci"][0] < 0.5 < bbox["dice_ci"][1]
    assert summary["overall"]["filled_box"]["dice_ci"] == pytest.approx([0.5, 0.5])
    assert summary["by_modality"]["ct"]["5pt"]["dice"] == pytest.approx(0.2)
    assert summary["by_modality"]["mr"]["5pt"]["dice"] == pytest.approx(0.8)
    assert summary["by_modality"]["mr"]["count"] == 10
    for part, value in (("anatomy", "abdomen"), ("class", "liver"), ("dataset", "set")):
        assert summary[f"by_{part}"] == {value: summary["overall"]}
    assert summary["count"] == {"masks": 20, "images": 20, "subjects": 20, "skipped": 1}


def test_one_subject_has_no_interval_and_the_page_says_so(made_up):
    one = [dataclasses.replace(r, metadata=made_up.results[0].metadata) for r in made_up.results]
    alone = dataclasses.replace(made_up, results=one)
    content = report.content_of(alone, "m")
    overall = content["overall"]
    assert overall["subjects"] == 1 and overall["bbox"]["dice"] == pytest.approx(0.5)
    assert overall["bbox"]["dice_ci"] is overall["bbox"]["iou_ci"] is None
    assert "95 % intervals: none, all masks are of one subject." in report.page(content)
    several = report.content_of(made_up, "m")
    low, high = several["overall"]["bbox"]["dice_ci"]
    interval = f"over 20 subjects (%): Bbox {100 * low:.2f} to {100 * high:.2f}"
    assert interval in report.page(several)
    cells = [cell.strip() for cell in report_tables.parts(content, "by_modality").split("|")]
    assert cells[1:4] == ["Modality", "Masks", "Subjects"] and cells.count("1") == 1


def test_table_is_that_of_the_paper_with_the_baseline(made_up):
    content = report.content_of(made_up, "SAM-Med2D")
    lines = report_tables.overall(content).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    titles = ("Bbox (%)", "1 pt (%)", "3 pts (%)", "5 pts (%)")
    with_gaps = [head for title in titles for head in (title, "gap (%)")]
    assert cells[0] == ["Model", "Resolution", *with_gaps, "FPS"]
    assert cells[2] == ["SAM-Med2D", "256 x 256", *["50.00", "10.00"] * 4, "35"]
    assert cells[3] == ["Filled box", "-", "50.00", *["-"] * 8]
    assert len({len(line) for line in lines}) == 1


def test_table_has_the_baseline_even_without_boxes(made_up):
    config = EvalConfig(protocols=("1pt",))
    keep = ("1pt", "filled_box")
    results = [
        dataclasses.replace(r, scores={name: r.scores[name] for name in keep})
        for r in made_up.results
    ]
    points = dataclasses.replace(made_up, config=config, results=results, fps={"points": 3.14})
    content = report.content_of(points, "m")
    model, baseline = report_tables.overall(content).splitlines()[2:]
    assert [cell.strip() for cell in model.split("|")][3:7] == ["-", "50.00", "10.00", "3.1"]
    assert "50.00" in baseline
    assert "50.00" in report_tables.parts(content, "by_modality")


def test_a_bar_in_a_name_stays_in_its_cell(made_up):
    content = report.content_of(made_up, "a|b")
    assert "| a\\|b " in report_tables.overall(content)


def test_csv_has_a_row_for_every_mask(made_up):
    rows = list(csv.DictReader(io.StringIO(report.per_mask_csv(made_up.results))))
    assert [row["mask"] for row in rows] == [r.mask for r in made_up.results]
    assert rows[0]["modality"] == "ct"
    assert float(rows[0]["dice_3pt"]) == pytest.approx(0.1)
    assert float(rows[0]["dice_filled_box"]) == 0.5
    assert "dice_oracle_bbox" in rows[0]
    assert "dice_oracle_filled_box" not in rows[0]


def test_best_median_and_worst_results(made_up):
    chosen = figures.best_median_worst(made_up, count=2)
    assert {part: [r.scores["bbox"].dice for r in rows] for part, rows in chosen.items()} == {
        "best": pytest.approx([0.9, 0.9]),
        "median": pytest.approx([0.7, 0.3]),
        "worst": pytest.approx([0.1, 0.1]),
    }
    few = dataclasses.replace(made_up, results=made_up.results[:1])
    assert all(len(rows) == 1 for rows in figures.best_median_worst(few).values())


@pytest.fixture
def run():
    """Runs eval.py with flags; returns its exit code."""

    def run_with(**flags) -> int:
        words = []
        for name, value in flags.items():
            values = value if isinstance(value, list) else [] if value is True else [value]
            words += [f"--{name.replace('_', '-')}", *map(str, values)]
        return cli.run_alone("evaluate", "eval.py", words)

    return run_with


@pytest.fixture(scope="module")
def indexed(tiny, folder, tmp_path_factory):
    """A data folder with an index, and a saved model."""
    root, samples = folder
    index = {sample.image: list(sample.masks) for sample in samples}
    (root / "image2label_test.json").write_text(json.dumps(index))
    model = tmp_path_factory.mktemp("model") / "tiny"
    directory.save(model, tiny)
    return root, model


def test_eval_writes_everything_and_replays(run, indexed, tmp_path, capsys):
    root, model = indexed
    common = {"checkpoint": model, "data": root, "batch_size": 4, "images_per_batch": 2}
    common |= {"select": ["score", "oracle"]}
    first, second = tmp_path / "first", tmp_path / "second"
    code = run(out=first, **common)
    printed = capsys.readouterr()
    assert code == 0, printed.err
    assert "| Filled box" in printed.out
    files = {str(path.relative_to(first)) for path in first.rglob("*") if path.is_file()}
    overlays = {f"overlays/{part}.png" for part in ("best", "median", "worst")}
    assert files == {
        *("report.json", "report.md", "report.html", "masks.csv", "scores.csv", "prompts.json"),
        *overlays,
    }
    written = json.loads((first / "report.json").read_text())
    assert set(written["overall"]) == {*NAMES, "filled_box", "count", "subjects"}
    assert set(written["by_modality"]) == {"ct", "mr"}
    assert written["checkpoint"] == str(model)
    assert written["config"]["seed"] == written["seed"] == 0
    assert "| Modality" in (first / "report.md").read_text()
    picture = cv2.imread(str(first / "overlays/best.png"))
    assert picture.shape[1] > 5 * 256
    drawn = (first / "report.html").read_text().count('<img src="data:image/jpeg;base64,')
    assert drawn == 3 * 3 * (1 + len(NAMES))
    assert run(out=second, prompts=first / "prompts.json", seed=5, **common) == 0
    assert (second / "masks.csv").read_bytes() == (first / "masks.csv").read_bytes()
    assert (second / "prompts.json").read_bytes() == (first / "prompts.json").read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"checkpoint": "nowhere"}, "nowhere"),
        ({"split": "dev"}, "image2label_dev.json"),
        ({"datasets": "other"}, "found 'other'"),
        (
            {"protocols": ["bbox", "3p"]},
            "--protocols: expected bbox, bbox_grow10 ",
        ),
        ({"prompts": "none.json"}, "none.json: no such file"),
        ({"std": [1, 0, 1]}, "--std: expected 3 numbers, each more than 0, found (1.0, 0.0, 1.0)"),
        ({"batch_size": 0}, "--batch-size: expected 1 or more, found 0"),
        ({"select": "oracle"}, "--select: expected score among them, found ('oracle',)"),
        ({"surface": "mm"}, "surface: mm needs the columns row_spacing and column_spacing"),
        ({"tolerances": -1}, "--tolerances: expected"),
        ({"auto_settings": "none.json"}, "none.json"),
    ],
)
def test_mistakes_are_one_clear_line(run, indexed, tmp_path, capsys, change, message):
    root, model = indexed
    flags = {"checkpoint": model, "data": root, "out": tmp_path / "out"} | change
    assert run(**flags) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("eval.py: error: ") and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"select": "score,oracle"}, "found 'score,oracle': score oracle"),
        ({"oracle": True}, "--oracle: expected the new spelling --select score oracle"),
    ],
)
def test_other_spellings_are_told_the_right_one(run, capsys, flags, message):
    with pytest.raises(SystemExit):
        run(checkpoint="a", data="b", out="c", **flags)
    assert message in capsys.readouterr().err


def test_a_target_that_is_a_file_is_found_before_anything_is_read(run, indexed, tmp_path, capsys):
    root, _ = indexed
    (tmp_path / "out").write_text("")
    assert run(checkpoint="nowhere", data=root, out=tmp_path / "out") == 2
    assert "out: expected a folder, found that " in capsys.readouterr().err


@pytest.fixture
def strip_and_text(indexed, tmp_path):
    """Two images of the data folder, a strip with its mask, and a file that is no image."""
    root, _ = indexed
    folder = tmp_path / "data"
    shutil.copytree(root, folder)
    index = dict([*json.loads((root / "image2label_test.json").read_text()).items()][:2])
    mask = np.zeros((12, 3000), np.uint8)
    mask[:9, 900:1400] = 255
    cv2.imwrite(str(folder / "images/strip.png"), mask // 2)
    cv2.imwrite(str(folder / "masks/strip.png"), mask)
    (folder / "images/text.png").write_text("no image")
    index |= {"images/strip.png": ["masks/strip.png"], "images/text.png": ["masks/strip.png"]}
    (folder / "image2label_test.json").write_text(json.dumps(index))
    return folder


def test_unusable_files_are_named_at_the_end_and_a_strip_is_evaluated(
    run, indexed, strip_and_text, tmp_path, capsys
):
    _, model = indexed
    flags = {"checkpoint": model, "data": strip_and_text, "batch_size": 4, "images_per_batch": 2}
    assert run(out=tmp_path / "out", **flags) == 1
    printed = capsys.readouterr()
    assert "left out: " in printed.err and "text.png: expected an image" in printed.err
    written = json.loads((tmp_path / "out/report.json").read_text())
    assert [*written["bad"]] == ["images/text.png"]
    with (tmp_path / "out/masks.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[-1]["mask"] == "masks/strip.png" and rows[-1]["width"] == "3000"


def test_scores_are_kept_where_pictures_fail(run, indexed, tmp_path, capsys, monkeypatch):
    root, model = indexed
    monkeypatch.setattr(figures, "overlays", lambda *_: (_ for _ in ()).throw(MemoryError()))
    flags = {"checkpoint": model, "data": root, "batch_size": 4, "images_per_batch": 2}
    assert run(out=tmp_path / "out", **flags) == 1
    printed = capsys.readouterr()
    assert "| Filled box" in printed.out and "overlays: no pictures: MemoryError" in printed.err
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        *("report.json", "report.md", "report.html", "masks.csv", "scores.csv", "prompts.json")
    }


@pytest.mark.parametrize("batch", [pytest.param(1, marks=pytest.mark.heavy), 3])
def test_a_stopped_evaluation_goes_on(run, indexed, tmp_path, capsys, monkeypatch, batch):
    """The same report, bit for bit, but for the speed; nothing is evaluated twice."""
    root, model = indexed
    flags = {"checkpoint": model, "data": root, "batch_size": 4, "images_per_batch": 2}
    flags |= {"select": ["score", "oracle"]}
    assert run(out=tmp_path / "whole", **flags) == 0
    out, predict, counts = tmp_path / "out", evaluator.predict, []

    def stopping(*arguments):
        counts.append(len(arguments[1].masks))
        if len(counts) == batch:
            raise KeyboardInterrupt
        return predict(*arguments)

    monkeypatch.setattr(evaluator, "predict", stopping)
    capsys.readouterr()
    assert run(out=out, **flags) == 130
    error = capsys.readouterr().err
    assert error.startswith("eval.py: stopped: ") and "of 6 images are done; the same" in error
    assert {p.name for p in out.glob("*")} <= {"unfinished.jsonl"}
    if batch > 1:
        for change, field in [({"protocols": "bbox"}, "protocols"), ({"limit": 2}, "limit")]:
            assert run(out=out, **(flags | change)) == 2
            error = capsys.readouterr().err
            assert "unfinished.jsonl: expected results of the same run" in error
            assert f"{field}: " in error and error.count("\n") == 1
    assert run(out=out, **flags) == 0
    assert not (out / "unfinished.jsonl").exists()
    for name in ("masks.csv", "scores.csv", "prompts.json"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    if batch == 1:  # The report of another evaluation is not lost.
        other = flags | {"protocols": "bbox", "limit": 1}
        assert run(out=out, **other) == 2
        assert "report.json: expected results of the same run" in capsys.readouterr().err
        assert run(out=out, overwrite=True, **other) == 0
        assert json.loads((out / "report.json").read_text())["count"]["images"] == 1


def test_example_picture_shows_truth_and_every_protocol(tiny, folder):
    from samjax.evaluation import evaluate

    root, samples = folder
    config = EvalConfig(batch_size=4, images_per_batch=2, select=("score", "oracle"))
    evaluation = evaluate(tiny, root, samples[1:2], config, progress=False)
    (example,) = figures.examples(tiny, root, evaluation, evaluation.results[:1])
    assert example.truth.shape == example.image.shape[:2] == example.predicted["5pt"].shape
    assert [len(prompt.points) for prompt in example.prompts.values()] == [0, 1, 3, 5]
    at = example.prompts["5pt"].points[0].astype(int)
    assert example.truth[at[1], at[0]]
    for name, predicted in example.predicted.items():
        both = np.sum(predicted & (example.truth > 0))
        dice = 2 * both / (predicted.sum() + example.truth.sum())
        assert dice == pytest.approx(example.result.scores[name].dice, abs=2e-3)
    picture = figures.example_picture(example, side=100)
    assert picture.dtype == np.uint8
    assert picture.shape[1] >= 5 * 70
