"""`samjax compare reports`: the comparison, its files, and what it refuses."""

import csv
import dataclasses
import json
import shutil

import cv2
import numpy as np
import pytest
from small import random_params

from samjax import cli
from samjax.data.files import DataError
from samjax.data.metadata import Metadata
from samjax.evaluation import (
    EvalConfig,
    Evaluation,
    MaskPrompt,
    MaskResult,
    PromptSet,
    Score,
    evaluate,
    report,
)
from samjax.evaluation.metrics import paired
from samjax.evaluation.side_by_side import differences, folders, pictures, tables
from samjax.models import directory

METRICS = ("dice", "iou", "predicted_iou", "hd95_px", "nsd2_px")


def made_up(seed):
    """Scores of nine masks of five subjects in two modalities, by a model that does not exist."""
    rng = np.random.default_rng(seed)
    results, prompts, contents = [], {}, {}
    for number in range(9):
        image, mask = f"images/{number}.png", f"masks/{number}.png"
        metadata = Metadata(("ct", "mr")[number // 5], "set", f"case{number // 2}", "liver")
        scores = {
            name: Score({metric: float(rng.random()) for metric in METRICS})
            for name in ("bbox", "1pt")
        }
        scores["filled_box"] = Score({"dice": 0.5, "iou": 0.3})
        results.append(MaskResult(image, mask, metadata, 30, 40, 9, scores))
        prompts[mask] = MaskPrompt(image, (1.0, 2.0, 9.0, 8.0), (4.0, 5.0), number)
        contents[mask] = f"40 x 30, {number}"
    config = EvalConfig(protocols=("bbox", "1pt"), surface=("px",))
    return Evaluation(config, 64, results, PromptSet(0, prompts, {}, contents), {"bbox": 1.0})


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Reports of two models on the same masks."""
    out = tmp_path_factory.mktemp("reports")
    for seed, name in enumerate("ab"):
        report.write(out / name, made_up(seed), name, {"run": {"model": name}})
    return out


@pytest.fixture
def copied(written, tmp_path):
    """A copy, to damage."""
    shutil.copytree(written, tmp_path / "reports")
    return tmp_path / "reports"


def changed(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_rows_are_the_paired_comparison_of_the_masks(written):
    reports = folders.read([written / "a", written / "b"])
    content = differences.content_of(reports)
    (pair,) = content["pairs"]
    by_key = {(row["protocol"], row["metric"]): row for row in pair["overall"]["rows"]}
    assert {p for p, _ in by_key} == {"bbox", "1pt"} and ("bbox", "predicted_iou") not in by_key
    columns = []
    for name in ("a", "b"):
        with (written / name / "masks.csv").open() as file:
            columns.append({r["mask"]: float(r["hd95_px_bbox"]) for r in csv.DictReader(file)})
    first, second = (np.array(list(one.values()))[:, None] for one in columns)
    (judge,) = paired.compare(first, second, reports[0].table.subjects)
    row = by_key["bbox", "hd95_px"]
    assert row["difference"] == pytest.approx(judge.difference) and row["p"] == judge.p
    assert (row["wins"], row["losses"]) == (judge.lower, judge.higher)  # Of a distance.
    dice = by_key["1pt", "dice"]
    assert dice["wins"] + dice["ties"] + dice["losses"] == len(first)
    masks = [part["masks"] for part in pair["by_modality"].values()]
    assert len(masks) == 2 and sum(masks) == pair["overall"]["masks"]


def test_the_second_may_have_its_masks_in_another_order(written, copied):
    path = copied / "b/masks.csv"
    head, *rows = path.read_text().splitlines()
    path.write_text("\n".join([head, *rows[::-1]]) + "\n")
    contents = [
        differences.content_of(folders.read([written / "a", root / "b"]))["pairs"]
        for root in (written, copied)
    ]
    assert contents[0] == contents[1]


def test_command_prints_and_writes_all(written, tmp_path, capsys):
    out = tmp_path / "out"
    call = ["compare", "reports", str(written / "a"), str(written / "b"), "--out", str(out)]
    assert cli.main([*call, "--no-pictures"]) == 0
    printed = capsys.readouterr().out
    assert "| Protocol | Metric   |" in printed and "HD95" not in printed
    page = (out / "comparison.md").read_text()
    assert "HD95 (px) by modality" in page and "differences/" not in page
    content = json.loads((out / "comparison.json").read_text())
    assert content["pairs"][0]["second"] == "b" and "p" in content["conventions"]
    other = ["compare", "reports", str(written / "b"), str(written / "a"), "--out", str(out)]
    assert cli.main([*other, "--no-pictures"]) == 2
    assert "expected a comparison of" in capsys.readouterr().err
    assert cli.main([*other, "--no-pictures", "--overwrite", "--metrics", "hd95_px"]) == 0
    assert "HD95" in capsys.readouterr().out


@pytest.mark.heavy
def test_pictures_show_the_masks_of_both_models(tiny, folder, tmp_path, capsys):
    """Drawn from the checkpoints that the reports name, as long as they are the same."""
    data, samples = folder
    config = EvalConfig(protocols=("bbox",), batch_size=4, images_per_batch=2, limit=4)
    prompts = None
    for seed, name in enumerate("ab", 5):
        model = dataclasses.replace(tiny, params=random_params(tiny.config, seed=seed))
        directory.save(tmp_path / "models" / name, model)
        evaluation = evaluate(model, data, samples, config, prompts, progress=False)
        origin = {"checkpoint": str(tmp_path / "models" / name), "data": str(data)}
        origin["run"] = {"model": directory.digest(model)}
        report.write(tmp_path / name, evaluation, name, origin)
        prompts = evaluation.prompts
    out = tmp_path / "out"
    call = ["compare", "reports", str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(out)]
    assert cli.main(call) == 0
    found = [cv2.imread(str(path)) for path in (out / "differences").glob("*.png")]
    assert found and all(picture.shape[1] > 3 * 80 for picture in found)
    assert "differences/2_" in (out / "comparison.md").read_text()
    changed(tmp_path / "b/report.json", lambda content: content["run"].update(model="other"))
    capsys.readouterr()
    assert cli.main(call) == 1
    assert "left out: pictures: " in (error := capsys.readouterr().err)
    assert "expected the model of" in error


def test_wins_and_losses_are_the_masks_that_differ_most(written):
    first, second = folders.read([written / "a", written / "b"])
    values = first.table.values.copy()
    column = first.table.columns.index(("bbox", 0, "dice"))
    values[:5, column] += [0.1, -0.3, 0.2, -0.1, 0.3]
    moved = dataclasses.replace(first, table=dataclasses.replace(first.table, values=values))
    assert pictures.most_different(first, moved, "bbox", 2) == {"wins": [4, 2], "losses": [1, 3]}
    assert pictures.most_different(first, moved, "bbox", 9)["wins"] == [4, 2, 0]
    assert pictures.most_different(first, first, "bbox", 3) == {"wins": [], "losses": []}
    assert (second.table.values != first.table.values).any()


def test_two_of_a_name_are_told_apart(copied):
    changed(copied / "b/report.json", lambda c: c.update(model="a"))
    names = [one.name for one in folders.read([copied / "a", copied / "b"])]
    assert names == [f"a ({copied / 'a'})", f"a ({copied / 'b'})"]


def drop_a_mask(reports):
    path = reports / "b/masks.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:-1]) + "\n")
    mask = lines[-1].split(",")[1]
    path = reports / "b/scores.csv"
    kept = [line for line in path.read_text().splitlines() if not line.startswith(mask)]
    path.write_text("\n".join(kept) + "\n")


def change_file(content):
    path = next(iter(content["contents"]))
    content["contents"][path] = "9 x 9, 0"


def change_point(content):
    prompt = next(iter(content["prompts"].values()))
    prompt["point"][0] -= 1


def change_protocols(reports):
    path = reports / "b/scores.csv"
    text = path.read_text().replace(",bbox,", ",bbox_grow10,").replace(",1pt,", ",4pt,")
    path.write_text(text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop_a_mask, "1 of its .* missing"),
        (lambda r: changed(r / "b/prompts.json", change_file), "under 1 of .* paths, the first"),
        (lambda r: changed(r / "b/prompts.json", change_point), "others for 1 of .* --prompts"),
        (lambda r: changed(r / "b/prompts.json", lambda c: c.update(seed=5)), "seed 5 instead"),
        (
            lambda r: changed(r / "b/report.json", lambda c: c["config"].update(draws=3)),
            "draws: expected 1 as in .*, found 3",
        ),
        (change_protocols, "expected a protocol that all have"),
        (lambda r: (r / "b/scores.csv").unlink(), "reports of earlier versions"),
        (lambda r: (r / "b/report.json").unlink(), "expected a folder that samjax evaluate wrote"),
    ],
)
def test_other_data_masks_or_prompts_are_refused(copied, change, message):
    change(copied)
    with pytest.raises(DataError, match=message):
        folders.read([copied / "a", copied / "b"])


def test_one_report_and_unknown_metrics_are_refused(written):
    with pytest.raises(DataError, match="two or more different folders"):
        folders.read([written / "a", written / "a"])
    reports = folders.read([written / "a", written / "b"])
    with pytest.raises(ValueError, match=r"expected some of dice, .*, found volume"):
        differences.content_of(reports, ["volume"])


def test_three_reports_make_two_tables(written, copied):
    reports = folders.read([written / "a", written / "b", copied / "b"])
    page = tables.page(differences.content_of(reports, ["dice"]))
    assert page.count("\n## b") == 2 and "HD95 (px)" not in page
