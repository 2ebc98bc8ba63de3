"""Means of an evaluation, over all masks and over parts of the data set."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from samjax.evaluation import class_report, ensembles, metrics, protocols, volume_report
from samjax.evaluation.metrics import calibration
from samjax.evaluation.results import FILLED_BOX, Evaluation, MaskResult
from samjax.evaluation.table import ScoreTable

PARTS = {
    "by_modality": "modality",
    "by_anatomy": "anatomy",
    "by_class": "class_name",
    "by_dataset": "dataset",
}


def summarise(evaluation: Evaluation, table: ScoreTable | None = None) -> dict[str, Any]:
    """Returns means over all masks and over parts of the data set.

    Args:
        evaluation: The evaluation.
        table: Its table; made of the results without.

    Returns:
        `overall`: for every protocol and `filled_box` a dict of the means of its metrics, such as
        `dice` and `iou`, and their 95 % intervals, `dice_ci` and so on (None where all masks are
        of one subject); `count`, the number of masks, and `subjects`. `by_modality`, `by_anatomy`,
        `by_class`, `by_dataset`: the same for each part.
        `calibration`: of the predicted IoU by protocol, see `metrics.calibration.summarise`.
        `robustness`: Dice lost by moved prompts, against the prompt that is not moved.
        `curves`: means after every click or draw, by protocol and metric.
        `count`: masks, images, subjects, skipped masks. `fps`, see `Evaluation`. `uncertainty`, of
        protocols that are ensembles, see `samjax.evaluation.ensembles.summarise`. `classes`, of
        semantic models, see `samjax.evaluation.class_report.summarise`. `volumes`, with metrics of
        volumes, see `samjax.evaluation.volume_report.summarise`.
    """
    results = evaluation.results
    table = ScoreTable.of(results) if table is None else table
    summary: dict[str, Any] = {"overall": means(table)}
    for name, field in PARTS.items():
        summary[name] = {part: means(table.rows(rows)) for part, rows in table.parts(field).items()}
    if calibrated := _calibration(table):
        summary["calibration"] = calibrated
    if moved := _robustness(table):
        summary["robustness"] = moved
    if curves := _curves(table):
        summary["curves"] = curves
    summary["count"] = {
        "masks": len(results),
        "images": len({result.image for result in results}),
        "subjects": len({*table.subjects}),
        "skipped": len(evaluation.prompts.skipped),
    }
    summary["fps"] = evaluation.fps
    if names := results[0].uncertainty:
        summary["uncertainty"] = {name: uncertainty(results, name) for name in names}
    if evaluation.volumes:
        summary["volumes"] = volume_report.summarise(evaluation.volumes)
    if evaluation.classes:
        summary["classes"] = class_report.summarise(evaluation)
    return summary


def means(table: ScoreTable) -> dict[str, Any]:
    """Returns the mean of every metric by protocol, with intervals, and the numbers of masks."""
    found: dict[str, Any] = {name: {} for name in table.protocols}
    for (protocol, _, metric), mean in table.means().items():
        found[protocol][metric] = mean.value
        found[protocol][f"{metric}_ci"] = mean.interval
    return {**found, "count": len(table.masks), "subjects": len({*table.subjects})}


def uncertainty(results: Sequence[MaskResult], name: str) -> dict[str, float]:
    """Returns how well an ensemble's uncertainty predicts errors."""
    found = [result.uncertainty[name] for result in results]
    dice = [result.scores[name].dice for result in results]
    return ensembles.summarise(dice, [each.entropy for each in found], [vars(f) for f in found])


def _calibration(table: ScoreTable) -> dict[str, dict[str, Any]]:
    return {
        name: calibration.summarise(table.column(name, "predicted_iou"), table.column(name, "iou"))
        for name in table.protocols
        if "predicted_iou" in table.metrics_of(name)
    }


def _robustness(table: ScoreTable) -> dict[str, dict[str, Any]]:
    """Returns the mean Dice that each moved prompt loses, with its interval over subjects."""
    names = [name for name in table.protocols if name != FILLED_BOX]
    pairs = [(name, protocols.base_of(name)) for name in names]
    pairs = [(name, base) for name, base in pairs if base in names and base != name]
    if not pairs:
        return {}
    lost = [table.column(base, "dice") - table.column(name, "dice") for name, base in pairs]
    means = metrics.bootstrap_means(np.stack(lost, axis=1), table.subjects)
    return {
        name: {
            "base": base,
            "lost": mean.value,
            "lost_ci": mean.interval,
        }
        for (name, base), mean in zip(pairs, means, strict=True)
    }


def _curves(table: ScoreTable) -> dict[str, dict[str, list[float]]]:
    with_steps = dict.fromkeys((c.protocol, c.metric) for c in table.columns if c.step)
    curves: dict[str, dict[str, list[float]]] = {}
    for protocol, metric in with_steps:
        by_step = table.steps(protocol, metric).mean(0)
        curves.setdefault(protocol, {})[metric] = by_step.tolist()
    return curves
