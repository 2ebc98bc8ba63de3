"""The study of COSMOS: its plan, tables and answers, on made-up scores; and a whole one."""

import csv
import dataclasses
import json

import numpy as np
import pytest
import tiny_comparison
from training import command

from samjax import cli
from samjax.cli import compare_cosmos
from samjax.comparison.cosmos import findings, page, results, tables
from samjax.comparison.cosmos.cells import StudyTable, TwoWays
from samjax.comparison.cosmos.plan import CosmosStudy
from samjax.comparison.cosmos.results import ModelResults, StudyResults
from samjax.comparison.factors import Factors
from samjax.data.metadata import Metadata
from samjax.data.phantoms import PhantomConfig, write_phantoms
from samjax.evaluation.metrics import Mean
from samjax.evaluation.results import MaskInfo
from samjax.evaluation.table import Column, ScoreTable
from samjax.models import directory
from samjax.models.parameters import named_leaves

MASKS = 120
RNG = np.random.default_rng(0)
DIFFICULTY = RNG.random(MASKS)
MODELS = {"small": "a", "large": "b"}
ALL = ("S1", "S2", "S3", "S4", "S5", "S6")
STUDY = CosmosStudy("data", MODELS, strategies=ALL, jitter=("0-10px", "20-30px"))


def info(row):
    kind = ("liver", "ct") if row % 2 else ("polyp", "endoscopy")
    metadata = Metadata(modality=kind[1], dataset="set", case=str(row // 4), class_name=kind[0])
    return MaskInfo(f"{row}.png", f"{row}_mask.png", metadata, 64, 64, 100)


def table(quality, steps=0, masks=range(MASKS)):
    """Scores of protocols: a Dice about `quality`, the oracle's 0.1 above it."""
    columns, values = [], []
    for name, level in quality.items():
        noise = 0.02 * RNG.standard_normal(MASKS)
        dice = np.clip(level - 0.2 * DIFFICULTY + noise, 0, 0.9)
        of_name = {"dice": dice, "iou": dice / (2 - dice), "dice_oracle": dice + 0.1}
        of_name |= {"iou_oracle": of_name["iou"] + 0.1, "oracle_gap": 0 * dice + 0.1}
        of_name |= {"hd_border_px": 20 * (1 - dice)}
        if name == "noc":
            of_name |= {f"noc{target}": 0 * dice + target / 5 for target in (80, 85, 90)}
            of_name |= {"failed90": 0 * dice}
        for metric, column in of_name.items():
            columns.append(Column(name, 0, metric))
            values.append(column)
        for step in range(1, steps + 1):
            columns.append(Column(name, step, "dice"))
            values.append(dice * (0.5 + 0.5 * step / steps))
    masks = list(masks)
    return ScoreTable([info(row) for row in masks], tuple(columns), np.stack(values, 1)[masks])


def model(name, better=0.0, parameters=1_000_000):
    quality = {"S1": 0.3, "S2": 0.5, "S3": 0.6, "S4": 0.65, "S5": 0.8, "S6": 0.8}
    quality = {strategy: level + better for strategy, level in quality.items()}
    moved = {
        protocol: quality[one.strategy] - 0.15 * number
        for one in STUDY.moves
        for number, protocol in enumerate(one.protocols.values(), start=1)
    }
    parts = {
        "strategies": table({name: quality[name] for name in ALL[1:]}),
        "everything": table(
            {"S1": quality["S1"], "everything8": 0.2 + better, "everything16": 0.25 + better}
        ),
        "jitter": table(moved),
        "clicks": table({"noc": 0.9}, steps=20),
    }
    seconds = {"embed": 0.1, "prompt": 0.01, "everything": None}
    facts = {"parameters": parameters, "image_size": 64, "device": "cpu", "cores": 2, **seconds}
    report = {"count": {"masks": MASKS, "images": MASKS, "subjects": MASKS // 4}}
    still = results.joined(parts["strategies"], parts["everything"])
    return ModelResults(name, facts, still, parts, report)


@pytest.fixture(scope="module")
def found():
    after = {decoding: table({"S5": 0.9}) for decoding in ("single", "three")}
    tuned = ModelResults("tuned", {}, after["single"], after, {})
    factors = {
        info(row).mask: Factors(RNG.random(), RNG.random(), 0, hard, hard)
        for row, hard in enumerate(DIFFICULTY + 0.1 * RNG.standard_normal(MASKS))
    }
    for row, (mask, one) in enumerate(factors.items()):
        contrast = 1 - DIFFICULTY[row] + 0.1 * RNG.standard_normal()
        factors[mask] = dataclasses.replace(one, intensity=contrast)
    models = {"small": model("small"), "large": model("large", 0.1, 5_000_000)}
    return StudyResults(STUDY, models, factors, tuned)


def answers_of(found):
    return findings.every(found, tables.factor_effects(found, found.first))


def test_the_parts_of_a_study():
    parts = dataclasses.replace(STUDY, strategies=ALL[1:]).parts
    assert parts["strategies"].protocols == ALL[1:]
    assert parts["strategies"].surface == ("px",) and parts["jitter"].surface == ()
    assert "everything" not in parts
    assert parts["jitter"].draws == 3
    assert "S2_first0-10px" in parts["jitter"].protocols
    assert "S5_shift20-30px" in parts["jitter"].protocols
    assert len(parts["jitter"].protocols) == 2 * 7
    few = dataclasses.replace(STUDY, strategies=("S5",), jitter=(), clicks=0)
    assert [*few.parts] == ["strategies"]


@pytest.mark.parametrize(
    "field, value, problem",
    [
        ("strategies", ("S7",), "strategies: expected some of S1"),
        ("strategies", (), "strategies: expected at least one"),
        ("jitter", ("20-10px",), "^jitter: expected 0 <= smallest"),
        ("grids", (8, 8), "grids: expected different"),
        ("clicks", 21, "clicks: expected 0 to 20"),
        ("repeats", 0, "repeats: expected"),
        ("checkpoints", {}, "checkpoint: expected at least one"),
    ],
)
def test_settings_that_cannot_work_are_errors(field, value, problem):
    with pytest.raises(ValueError, match=problem):
        dataclasses.replace(STUDY, **{field: value})


def test_tables_have_the_numbers_of_the_scores(found):
    small = found.first
    rows = {row[:2]: row[2:] for row in tables.strategies(found).rows}
    assert len(rows) == 12
    oracle, score, gap, iou, distance = rows["small", "S5"]
    dice = 100 * small.strategies.column("S5", "dice")
    assert score.value == pytest.approx(dice.mean()) and score.low < score.value < score.high
    assert oracle.value == pytest.approx(dice.mean() + 10) and gap.value == pytest.approx(10)
    assert isinstance(iou, TwoWays) and iou.oracle.value == pytest.approx(iou.score.value + 10)
    assert distance.value == pytest.approx(20 * (1 - dice.mean() / 100))

    by_object = {row[:2]: row for row in tables.objects(found, small).rows}
    assert by_object["liver", "ct"][2:4] == (60, 30)
    assert by_object["polyp", "endoscopy"][8].score.value == pytest.approx(dice[::2].mean())

    assert [row[1] for row in tables.grids(found).rows[:3]] == ["8 x 8", "16 x 16", "32 x 32"]
    moved = {row[1:3]: row for row in tables.jitter(found).rows if row[0] == "small"}
    assert [*moved][:2] == [("S2", "the point"), ("S3", "first point only")]
    lost = moved["S5", "whole box"][-1]
    assert lost.low < 30 < lost.high
    (row, *_) = tables.versus(found).rows
    assert row[:2] == ("large - small", "S1") and row[3].value == pytest.approx(10, abs=0.5)
    assert tables.clicks(found).rows[0][1].value == 16
    assert tables.tuned(found).rows[0][-1].low > 0


def test_answers_where_the_data_tell(found):
    answers = [answer.answer for answer in answers_of(found)]
    no = findings.NOT_SHOWN
    assert answers == [no, "yes", "yes", no, "yes", no, "yes", "yes"]
    texts = " ".join(answer.evidence for answer in answers_of(found))
    assert "large minus small (5.0 times the parameters)" in texts
    assert "the box" in texts and "annotators" in texts


def test_objects_differ_where_their_intervals_are_apart(found):
    small = found.first
    strategies = small.strategies
    values = strategies.values.copy()
    values[1::2, strategies.columns.index(Column("S5", 0, "dice"))] /= 2  # Liver.
    changed = dataclasses.replace(strategies, values=values)
    of_small = dataclasses.replace(small, strategies=changed)
    first, *_ = answers_of(dataclasses.replace(found, models={"small": of_small}))
    assert first.answer == "yes" and "worst is liver (ct)" in first.evidence


def test_answers_where_the_data_cannot_tell(found):
    small = found.first
    only = {"strategies": table({"S5": 0.8}, masks=range(4))}  # A single subject.
    alone = dataclasses.replace(small, strategies=only["strategies"], tables=only)
    study = dataclasses.replace(STUDY, strategies=("S5",), jitter=(), clicks=0)
    few = StudyResults(study, {"small": alone}, found.factors, None)
    assert {answer.answer for answer in answers_of(few)} == {findings.NOT_SHOWN}
    effects = {"small": tables.factor_effects(few, alone)}
    assert {*tables.every(few, effects)} >= {"strategies", "speed", "objects, small"}


def test_a_worse_larger_model_is_a_no(found):
    worse = {"small": model("small"), "large": model("large", -0.1, 5_000_000)}
    assert answers_of(dataclasses.replace(found, models=worse))[1].answer == "no"


def test_columns_of_two_parts_are_joined_by_mask():
    one, two = table({"S5": 0.8}), table({"S1": 0.3, "S5": 0.1}, masks=range(50, 40, -1))
    both = results.joined(one, two)
    assert [mask.mask for mask in both.masks] == [f"{row}_mask.png" for row in range(41, 51)]
    np.testing.assert_array_equal(both.column("S5", "dice"), one.column("S5", "dice")[41:51])
    np.testing.assert_array_equal(both.column("S1", "dice"), two.column("S1", "dice")[::-1])


def test_masks_that_only_one_model_has_do_not_count():
    one, two = table({"S5": 0.8}), table({"S5": 0.8}, masks=range(119, 99, -1))
    first, second = results.aligned(one, two)
    assert [mask.mask for mask in first.masks] == [mask.mask for mask in second.masks]
    assert len(first.masks) == 20
    with pytest.raises(ValueError, match="masks that both tables have"):
        results.aligned(table({"S5": 0.8}, masks=[0]), table({"S5": 0.8}, masks=[1]))


def test_cells_as_text_and_as_rows():
    mean = Mean(12.345, 11, 13)
    made = StudyTable("t", 1, ("a", "b", "c"), (("x", mean, TwoWays(mean, mean)), ("y", None, 3)))
    assert "| x | 12.3 (11.0 to 13.0) | 12.3 / 12.3 |" in made.markdown()
    assert "| y | - | 3 |" in made.markdown()
    assert "| x | 12.3 |" in dataclasses.replace(made, plain=("b",)).markdown()
    records = [*made.records()]
    assert records[0] == ("t", "x", "b", "12.345", "11", "13")
    assert [record[2] for record in records] == ["b", "c, oracle", "c, score", "c"]


@pytest.mark.heavy
def test_a_page_keeps_the_text_around_its_sections(found, tmp_path):
    path = tmp_path / "cosmos.md"
    page.write(found, tmp_path, path, "samjax compare cosmos")
    path.write_text(path.read_text().replace("## Strategies", "By hand.\n\n## Strategies"))
    page.write(found, tmp_path, path, "another command")
    text = path.read_text()
    assert "By hand." in text and "another command" in text and "samjax compare" not in text
    assert all(len(line) <= 120 for line in text.splitlines() if not line.startswith("|"))
    assert {file.name for file in (tmp_path / "cosmos").iterdir()} == {"clicks.png", "jitter.png"}
    assert len(json.loads((tmp_path / "study.json").read_text())["findings"]) == 8
    with (tmp_path / "study.csv").open(newline="") as file:
        names = {row["table"] for row in csv.DictReader(file)}
    assert names >= {"strategies", "objects, large", "factors, small, oracle", "jitter", "tuning"}
    other = tmp_path / "other.md"
    other.write_text("# Another page\n")
    with pytest.raises(ValueError, match="expected a section such as <!-- command -->"):
        page.write(found, tmp_path, other, "")


def test_names_of_models():
    assert compare_cosmos.names_of(["runs/a/last", "b/best", "c.pth"]) == ["a", "b", "c"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A data folder of phantoms, and a model trained on it for a moment."""
    from samjax.training import loop

    root = tmp_path_factory.mktemp("cosmos")
    write_phantoms(root / "data", PhantomConfig(count_train=8, count_test=6, size=48))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINY_COMPARISON_DATA", str(root / "data"))
        experiment = tiny_comparison.get_comparison().stages[0].experiment
    loop.train(experiment, root / "run")
    return root


@pytest.mark.heavy
def test_a_study_from_the_command_line(trained, capsys):
    out = trained / "out"
    words = ["compare", "cosmos", "--data", str(trained / "data"), "--out", str(out)]
    words += ["--checkpoint", str(trained / "run/last"), "--strategies", "S2", "S5"]
    words += ["--jitter", "0-4px", "--repeats", "2", "--clicks", "3"]
    assert cli.main(words) == 0
    assert "study.csv" in capsys.readouterr().out
    assert "| run | S5 |" in (out / "cosmos.md").read_text()
    models = out / "models/run"
    facts = json.loads((models / "model.json").read_text())
    assert facts["everything"] > facts["prompt"] > 0
    first = (models / "strategies/scores.csv").stat().st_mtime_ns
    (models / "clicks/report.json").unlink()
    assert cli.main(words) == 0  # All else is kept.
    assert (models / "clicks/report.json").exists()
    assert (models / "strategies/scores.csv").stat().st_mtime_ns == first
    assert cli.main([*words, "--limit", "3"]) == 2
    assert "limit: expected 3, found None" in capsys.readouterr().err


@pytest.mark.heavy
def test_a_tuned_decoder_is_compared_with_the_one_before(trained, tmp_path):
    """In a process with one device, by which batches of two images can be divided."""
    out = tmp_path / "out"
    words = ["compare", "cosmos", "--data", str(trained / "data"), "--out", str(out)]
    words += ["--checkpoint", str(trained / "run/last"), "--strategies", "S5", "--jitter"]
    words += ["--clicks", "0", "--tune"]
    command.finish(command.start("-m", "samjax.cli", *words, cache=tmp_path / "cache"))
    before, after = (directory.load(path) for path in (trained / "run/last", tuned_model(out)))
    changed = {
        name.split("/")[0]
        for (name, one), (_, two) in zip(
            named_leaves(before.params), named_leaves(after.params), strict=True
        )
        if not np.array_equal(one, two)
    }
    assert changed == {"mask_decoder"}
    assert not after.preprocessing.multimask
    assert "| By score |" in (out / "cosmos.md").read_text()


def tuned_model(out):
    return out / "tuning/training/decoder/last"


def test_a_wrong_command_is_an_error(tmp_path, capsys):
    command = ["compare", "cosmos", "--data", "d", "--checkpoint", "a", "--out", str(tmp_path)]
    for extra, problem in (
        (["--names", "x", "y"], "--names: expected 1 different"),
        (["--strategies", "S9"], "--strategies: expected some of S1"),
        (["--clicks", "21"], "--clicks: expected 0 to 20"),
    ):
        assert cli.main([*command, *extra]) == 2
        assert problem in capsys.readouterr().err
