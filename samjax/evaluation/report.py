"""Reports of an evaluation: their content, and the files on disk."""

import csv
import dataclasses
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from samjax import visualization
from samjax.data.files import write_whole
from samjax.evaluation import (
    conventions,
    prompt_file,
    report_tables,
    summary,
    volume_report,
)
from samjax.evaluation.figures import DrawnCase
from samjax.evaluation.html_report import page as html_page
from samjax.evaluation.results import Evaluation, MaskResult
from samjax.evaluation.table import MASKS, ScoreTable
from samjax.evaluation.table import NAME as SCORES

NAME = "report.json"
VOLUMES = "volumes.csv"


def content_of(
    evaluation: Evaluation,
    name: str,
    origin: Mapping[str, Any] | None = None,
    table: ScoreTable | None = None,
) -> dict[str, Any]:
    """Returns the content of `report.json`: see `summary.summarise`, with origin and settings.

    Args:
        evaluation: The evaluation.
        name: Name of the model.
        origin: Origin of the scores, such as checkpoint and data.
        table: The table of the evaluation; made without.
    """
    return {
        **summary.summarise(evaluation, table),
        "model": name,
        **(origin or {}),
        "image_size": evaluation.image_size,
        "seed": evaluation.prompts.seed,
        "config": dataclasses.asdict(evaluation.config),
        "skipped": evaluation.prompts.skipped,
        "left_out": list(evaluation.left_out),
        "conventions": conventions.of(evaluation.config),
    }


def write(
    out: str | os.PathLike[str],
    evaluation: Evaluation,
    name: str,
    origin: Mapping[str, Any],
) -> dict[str, Any]:
    """Writes a report: each file whole or not at all.

    `report.json` (see `content_of`), `report.md` (tables), `report.html` (the same with charts, and
    with pictures once `write_html` has them), `masks.csv` (one row per mask),
    `scores.csv` (one row per value, see `samjax.evaluation.table`), `prompts.json` (to replay), and
    with metrics of volumes `volumes.csv` (one row per object of a volume).

    Args:
        out: Folder, made if absent.
        evaluation: The evaluation to write.
        name: Name of the model.
        origin: Origin of the scores, such as checkpoint and data, for `report.json`.

    Returns:
        The content of `report.json`.
    """
    out = Path(out)
    table = ScoreTable.of(evaluation.results)
    content = content_of(evaluation, name, origin, table)
    write_whole(out / NAME, (json.dumps(content, indent=2) + "\n").encode())
    write_whole(out / "report.md", page(content).encode())
    write_html(out, content, evaluation)
    write_whole(out / MASKS, per_mask_csv(evaluation.results).encode())
    table.write(out / SCORES)
    if evaluation.volumes:
        write_whole(out / VOLUMES, volume_report.as_csv(evaluation.volumes).encode())
    prompt_file.save(out / "prompts.json", evaluation.prompts)
    return content


def per_mask_csv(results: Sequence[MaskResult]) -> str:
    """Returns CSV with one row per mask: paths, metadata, size, and every score."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(_row(results[0])), lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(_row, results))
    return text.getvalue()


def write_pictures(out: str | os.PathLike[str], pictures: Mapping[str, np.ndarray]) -> None:
    """Writes the pictures of a report into its `overlays/`.

    Args:
        out: Folder of the report.
        pictures: RGB pictures by name, see `samjax.evaluation.figures`.
    """
    for name, picture in pictures.items():
        write_whole(Path(out) / "overlays" / f"{name}.png", visualization.encode_png(picture))


def write_html(
    out: str | os.PathLike[str],
    content: Mapping[str, Any],
    evaluation: Evaluation,
    drawn: Mapping[str, Sequence[DrawnCase]] | None = None,
) -> None:
    """Writes the report as one HTML file, whole or not at all.

    Args:
        out: Folder of the report.
        content: Content of `report.json`.
        evaluation: The evaluation.
        drawn: Pictures of masks, see `samjax.evaluation.figures.cases`; none without.
    """
    html = html_page.page(content, evaluation, drawn)
    write_whole(Path(out) / "report.html", html.encode())


def page(content: Mapping[str, Any]) -> str:
    """Returns the report in Markdown: tables, intervals, and settings."""
    count, config = content["count"], content["config"]
    adapters = "with adapters if it has any" if config["adapters"] else "adapters dropped"
    prompts = f"prompts from seed {content['seed']}"
    if "classes" in content:
        prompts = "no prompts; each mask has the score of its class in its image"
    sections = [
        f"# {content['model']}",
        f"Mean Dice over {count['masks']} masks in {count['images']} images of "
        f"{count['subjects']} subjects, at original resolution ({count['skipped']} masks skipped); "
        f"{adapters}; {prompts}.",
        report_tables.overall(content),
        report_tables.notes(content),
        report_tables.by_metric(content),
        report_tables.calibration(content),
        report_tables.robustness(content),
        report_tables.parts(content, "by_modality"),
        report_tables.volumes(content),
        report_tables.uncertainty(content),
        report_tables.classes(content),
        "Filled box: the box prompt itself taken as the mask. FPS: images per second for encoding "
        f"and decoding, {config['images_per_batch']} images and up to {config['batch_size']} masks "
        "at a time, without loading, compiling and scoring.",
    ]
    return "\n\n".join(filter(None, sections)) + "\n"


def _row(result: MaskResult) -> dict[str, Any]:
    row: dict[str, Any] = {
        "image": result.image,
        "mask": result.mask,
        **dataclasses.asdict(result.metadata),
        "height": result.height,
        "width": result.width,
        "area": result.area,
    }
    for name, score in result.scores.items():
        row |= {f"{metric}_{name}": round(value, 6) for metric, value in score.values.items()}
    for name, uncertainty in result.uncertainty.items():
        row[f"entropy_{name}"] = round(uncertainty.entropy, 6)
    return row
