"""Differences between models, by protocol and metric, over all masks and by modality."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from samjax.evaluation.metrics import paired
from samjax.evaluation.side_by_side.folders import ReportFolder, shared_metrics

FORMAT = 1
_LOWER_IS_BETTER = ("hd", "assd", "noc", "failed", "oracle_gap")


def is_better_low(metric: str) -> bool:
    """Whether a lower value of a metric is better: of distances, and numbers of clicks."""
    return metric.startswith(_LOWER_IS_BETTER)


def content_of(
    reports: Sequence[ReportFolder], metrics: Sequence[str] | None = None
) -> dict[str, Any]:
    """Compares every report with the first.

    Args:
        reports: Reports of the same masks, see `folders.read`.
        metrics: Metrics to compare; None: all that the reports share.

    Returns:
        `reports`: name, folder and identity of each; `conventions`; `pairs`: of each further report
        the names `first` and `second`, `overall` and `by_modality`: each `masks`, `subjects` and
        `rows`, one for a protocol and metric, with the fields of `paired.PairedDifference` but for
        the numbers of masks, which are `wins`, `ties` and `losses` of the second.

    Raises:
        ValueError: A metric is not among those shared.
    """
    columns = _columns(reports, metrics)
    pairs = [_pair(reports[0], other, columns) for other in reports[1:]]
    described = [
        {
            "model": one.name,
            "folder": str(one.path),
            "checkpoint": one.content.get("checkpoint"),
            "run": one.content.get("run"),
        }
        for one in reports
    ]
    return {
        "format": FORMAT,
        "reports": described,
        "conventions": {**paired.CONVENTIONS, **reports[0].content.get("conventions", {})},
        "pairs": pairs,
    }


def _columns(
    reports: Sequence[ReportFolder], metrics: Sequence[str] | None
) -> list[tuple[str, str]]:
    shared = [(p, metric) for p, found in shared_metrics(reports).items() for metric in found]
    known = dict.fromkeys(metric for _, metric in shared)
    for name in metrics or ():
        if name not in known:
            raise ValueError(f"metrics: expected some of {', '.join(known)}, found {name}")
    return [(p, metric) for p, metric in shared if metrics is None or metric in metrics]


def _pair(
    first: ReportFolder, second: ReportFolder, columns: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    scores = [
        np.stack([one.table.column(*column) for column in columns], axis=1)
        for one in (first, second)
    ]
    subjects = first.table.subjects

    def part(rows: np.ndarray) -> dict[str, Any]:
        compared = paired.compare(scores[0][rows], scores[1][rows], subjects[rows])
        found = [_row(*column, one) for column, one in zip(columns, compared, strict=True)]
        return {"masks": len(rows), "subjects": len({*subjects[rows]}), "rows": found}

    return {
        "first": first.name,
        "second": second.name,
        "overall": part(np.arange(len(subjects))),
        "by_modality": {
            name: part(np.array(rows)) for name, rows in first.table.parts("modality").items()
        },
    }


def _row(protocol: str, metric: str, found: paired.PairedDifference) -> dict[str, Any]:
    row = {"protocol": protocol, "metric": metric, **found._asdict()}
    higher, ties, lower = (row.pop(name) for name in ("higher", "equal", "lower"))
    wins, losses = (lower, higher) if is_better_low(metric) else (higher, lower)
    return row | {"wins": wins, "ties": ties, "losses": losses}
