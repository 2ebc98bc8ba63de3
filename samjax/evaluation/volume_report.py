"""Scores of whole volumes: their means, and a table with a row for each object."""

import csv
import dataclasses
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from samjax.evaluation import metrics
from samjax.evaluation.results import VolumeResult


def summarise(volumes: Sequence[VolumeResult]) -> dict[str, Any]:
    """Returns the means over the objects of volumes.

    Returns:
        For every protocol the mean of each metric with its 95 % interval over subjects, as in
        `overall`; `count`, the number of objects, and `subjects`.
    """
    subjects = np.array([f"{one.metadata.dataset}/{one.metadata.case}" for one in volumes])
    found: dict[str, Any] = {}
    for protocol, values in volumes[0].values.items():
        rows = np.array([list(one.values[protocol].values()) for one in volumes])
        means = zip(values, metrics.bootstrap_means(rows, subjects), strict=True)
        found[protocol] = {}
        for metric, mean in means:
            found[protocol][metric] = mean.value
            found[protocol][f"{metric}_ci"] = mean.interval
    return {**found, "count": len(volumes), "subjects": len({*subjects})}


def as_csv(volumes: Sequence[VolumeResult]) -> str:
    """Returns CSV with one row per object of a volume."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(_row(volumes[0])), lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(_row, volumes))
    return text.getvalue()


def _row(one: VolumeResult) -> dict[str, Any]:
    described = dataclasses.asdict(one.metadata)
    row = {name: value for name, value in described.items() if name != "slice"}
    row["slices"] = one.slices
    for protocol, values in one.values.items():
        row |= {f"{metric}_{protocol}": round(value, 6) for metric, value in values.items()}
    return row
