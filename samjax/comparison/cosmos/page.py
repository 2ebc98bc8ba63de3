"""The page of a study: its answers, tables and figures; and all numbers as CSV and JSON."""

import csv
import dataclasses
import io
import json
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from samjax.comparison import sections
from samjax.comparison.cosmos import figures, findings, tables
from samjax.comparison.cosmos.cells import StudyTable
from samjax.comparison.cosmos.findings import Finding
from samjax.comparison.cosmos.results import SELECTS, StudyResults
from samjax.data.files import write_whole
from samjax.evaluation.report_tables import markdown

NUMBERS = "study.csv"
ANSWERS = "study.json"
_HEAD = ("table", "row", "column", "value", "low", "high")
_WIDTH = 120


def write(found: StudyResults, out: Path, page: Path, command: str) -> None:
    """Writes the page, its figures in a folder of its name, and all numbers.

    Args:
        found: Results of the study.
        out: Folder of the study, for `study.csv` and `study.json`.
        page: The Markdown file. Of one that exists, the sections alone are replaced.
        command: The command that made it, which it shows.

    Raises:
        ValueError: The page exists, and has none of the sections.
    """
    effects = {name: tables.factor_effects(found, model) for name, model in found.models.items()}
    every, answers = tables.every(found, effects), findings.every(found, effects[found.first.name])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_HEAD)
    writer.writerows(record for table in every.values() for record in table.records())
    write_whole(out / NUMBERS, text.getvalue().encode())
    content = {
        "study": dataclasses.asdict(found.study),
        "models": {name: dict(model.facts) for name, model in found.models.items()},
        "findings": [dataclasses.asdict(answer) for answer in answers],
    }
    write_whole(out / ANSWERS, (json.dumps(content, indent=1) + "\n").encode())
    folder = page.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {name: _drawn(found, folder, name) for name in every if name in _FIGURES}
    contents = {
        "command": f"```\n{command}\n```\n\n{_paragraphs(_data(found))}",
        "answers": f"{_answers(answers)}\n\n{_details(answers)}",
    }
    parts = _parts(found)
    for title, names, note in parts:
        shown = [every[name] for name in names if name in every]
        contents[title.lower()] = _part(shown, note, drawn) if shown else "Not run."
    sections.fill(page, contents, _blank([title for title, *_ in parts]))


_FIGURES: dict[str, Callable[[StudyResults, Path], None]] = {
    "clicks": figures.clicks,
    "jitter": figures.jitter,
}


def _drawn(found: StudyResults, folder: Path, name: str) -> str:
    _FIGURES[name](found, folder / f"{name}.png")
    return f"![{name}]({folder.name}/{name}.png)"


def _blank(titles: Sequence[str]) -> str:
    """Returns the text of a new page, with empty sections."""
    parts = [
        "# The study of COSMOS on other data",
        _paragraphs(_ABOUT),
        sections.section("command"),
        "## Eight findings",
        sections.section("answers"),
        *(f"## {title}\n\n{sections.section(title.lower())}" for title in titles),
        _paragraphs(
            f"All numbers, with their intervals: `{NUMBERS}` in the study's folder; the answers: "
            f"`{ANSWERS}`."
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _paragraphs(text: str) -> str:
    """Breaks the lines of paragraphs."""
    options = {"width": _WIDTH, "break_long_words": False, "break_on_hyphens": False}
    return "\n\n".join(textwrap.fill(one, **options) for one in text.split("\n\n"))


def _data(found: StudyResults) -> str:
    study, count = found.study, found.first.report["count"]
    limited = f", {study.limit} images spread evenly over it" if study.limit else ""
    named = "; ".join(f"{name}, `{path}`" for name, path in study.checkpoints.items())
    return (
        f"Data: `{study.data}`, split `{study.split}`{limited}: {count['masks']} masks in "
        f"{count['images']} images of {count['subjects']} subjects. Models: {named}.\n\n"
        "Intervals are 95 %, by resampling subjects. **Oracle**: of the masks that a prompt "
        "yields, the best by the truth counts, as in the paper. **Score**: the one with the "
        "highest predicted IoU, which is all that a user has. Two numbers in a cell are oracle / "
        "score."
    )


def _answers(answers: Sequence[Finding]) -> str:
    rows = [["Question", "COSMOS", "Here"]]
    rows += [
        [f"{number}. {answer.question}", answer.published, f"**{answer.answer}**"]
        for number, answer in enumerate(answers, start=1)
    ]
    return markdown(rows, labels=3)


def _details(answers: Sequence[Finding]) -> str:
    return _paragraphs(
        "\n\n".join(
            f"**{number}. {answer.answer.capitalize()}.** {answer.evidence}"
            for number, answer in enumerate(answers, start=1)
        )
    )


def _part(shown: Sequence[StudyTable], note: str, drawn: Mapping[str, str]) -> str:
    """Returns the content of a section."""
    blocks = [_paragraphs(note)] if note else []
    for table in shown:
        if len(shown) > 1:
            blocks.append(f"{table.name.partition(', ')[2]}:")
        blocks.append(table.markdown())
        if table.name in drawn:
            blocks.append(drawn[table.name])
    return "\n\n".join(blocks)


def _parts(found: StudyResults) -> list[tuple[str, list[str], str]]:
    """Returns title, tables and text of every section; factors of the first model alone."""
    facts = found.first.facts
    return [
        ("Strategies", ["strategies"], _STRATEGIES),
        ("Objects and modalities", [f"objects, {name}" for name in found.models], _OBJECTS),
        ("Everything by the number of points", ["grids"], ""),
        ("Moved prompts", ["jitter"], _MOVED.format(found.study.repeats)),
        ("Factors", [f"factors, {found.first.name}, {one}" for one in SELECTS], _FACTORS),
        ("Models", ["models"], "Paired on the same masks and prompts."),
        ("Clicks", ["clicks"], _CLICKS),
        ("Tuning the decoder", ["tuning"], _TUNING),
        (
            "Seconds",
            ["speed"],
            f"One image at a time on {facts['device']} ({facts['cores']} cores), median. Everything"
            ": SAM's generator with its own settings, 32 x 32 points, the embedding included. Few "
            "masks of another model pass its thresholds; with lower ones it takes longer.",
        ),
    ]


_ABOUT = (
    "Huang et al. (*Segment anything model for medical images?*, Medical Image Analysis 92, 2024) "
    "tested SAM on the million medical images of COSMOS-1050K, and listed eight findings. This "
    "page asks their questions of other data and other models. The published answers are those of "
    "the paper's abstract, and of its tables where a reproduction of 2026 quotes them "
    "(github.com/Leon42325/medical-sam-project)."
)
_STRATEGIES = (
    "S1: everything, by a grid of 32 x 32 points; S2: one point; S3: five; S4: five, and five "
    "beside the object; S5: the box; S6: the box and one point. DICE and JAC (IoU) are means over "
    "masks, in %. HD is the Hausdorff distance of the mask by score, between the centres of border "
    "pixels, in pixels of the image; the image's diagonal where no mask is predicted."
)
_OBJECTS = (
    "Mean Dice, oracle / score. Where subjects are few, a mean says little about others: "
    f"`{NUMBERS}` has the intervals."
)
_MOVED = (
    "Each prompt is moved at random by a distance within the bounds, in pixels of the image; mean "
    "of {} draws. The paper does not say whether a box is shifted or its sides move, or whether "
    "all points move; all are here. Lost: unmoved minus moved by the largest distances."
)
_FACTORS = (
    "Spearman's partial correlation of Dice with each factor, given the others and the modality; "
    "a dash where the data cannot tell. A modality has no order: its row is the share of the "
    "variance of the ranks that it explains beyond the factors, which is positive by chance, too. "
    "COSMOS's measure of a boundary stops at the first order of an elliptic Fourier series that "
    "gains less than 0.1 % of Dice, and adds 2 for every percent of Dice that is missing. The "
    "order in the row below goes on until Dice is above 97 %; it stands in place of that measure, "
    "in a correlation of its own."
)
_CLICKS = (
    "RITM's clicker: each click in the centre of the largest error. NoC: clicks until the IoU is "
    "80, 85, 90 %, 20 where it never is. Then Dice after so many clicks, by score."
)
_TUNING = (
    "The first model, tuned on the split `train` by the paper's schedule: mask decoder alone, by "
    "boxes, 20 epochs of batches of two images, AdamW, learning rate 1e-4, weight decay 0.01, "
    "cross-entropy and Dice loss. It trains the single mask, and the paper scores the best of the "
    "three by the truth. The loss is at the network's input size, the paper's at the image's. "
    "One seed."
)
