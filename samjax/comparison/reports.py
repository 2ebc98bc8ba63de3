"""Reports of a comparison, read back and averaged over seeds."""

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from samjax.comparison import runner
from samjax.comparison.plan import Comparison, jobs


@dataclasses.dataclass(frozen=True)
class Value:
    """A score in %, over seeds; NaN where the model does not know such prompts.

    Attributes:
        mean: Mean over seeds.
        spread: Standard deviation over seeds; None for a single one.
        low: Lower end of the 95 % interval over subjects, mean over seeds; None where there is a
            single subject.
        high: Its upper end.
        by_seed: Score of every seed.
    """

    mean: float
    spread: float | None
    low: float | None
    high: float | None
    by_seed: dict[int, float]

    def __str__(self) -> str:
        if math.isnan(self.mean):
            return "-"
        spread = "" if self.spread is None else f" ± {self.spread:.1f}"
        return f"{self.mean:.1f}{spread}"

    @property
    def interval(self) -> str:
        """The interval over subjects, in words."""
        if math.isnan(self.mean):
            return "-"
        if self.low is None:
            return "none (1 subject)"
        return f"{self.low:.1f} to {self.high:.1f}"


@dataclasses.dataclass(frozen=True)
class Results:
    """All reports of one method's setting, one for each seed that is done.

    Attributes:
        seeds: Their seeds.
        reports: Contents of their `report.json`.
        folders: Where they are.
        training: Seconds of each training.
    """

    seeds: tuple[int, ...]
    reports: tuple[dict[str, Any], ...]
    folders: tuple[Path, ...]
    training: tuple[float, ...]

    def value(self, protocol: str, kind: str = "dice", part: Sequence[str] = ("overall",)) -> Value:
        """A score of all masks, or of those of one part, such as `("by_modality", "ct")`."""
        parts = [_at(report, part) for report in self.reports]
        if any(protocol not in one for one in parts):  # Left out: it knows boxes alone.
            return Value(math.nan, None, None, None, {})
        found = [one[protocol] for one in parts]
        scores = 100 * np.array([one[kind] for one in found])
        bounds = [one[f"{kind}_ci"] for one in found]
        known = None not in bounds
        low, high = (100 * np.array(bounds)).mean(0) if known else (None, None)
        spread = float(scores.std(ddof=1)) if len(scores) > 1 else None
        by_seed = dict(zip(self.seeds, scores.tolist(), strict=True))
        return Value(float(scores.mean()), spread, low, high, by_seed)

    def parts(self, kind: str) -> dict[str, int]:
        """Numbers of masks in the parts of the data, such as `by_modality`."""
        return {name: means["count"] for name, means in self.reports[0][kind].items()}


def load(comparison: Comparison, workdir: Path) -> dict[tuple[str, str], Results]:
    """Reads what there is, by method and setting; what has not been run is not in it."""
    found: dict[tuple[str, str], list[tuple[int, dict[str, Any], Path, float]]] = {}
    for job in jobs(comparison):
        stages = [job.folder(workdir) / stage.name for stage in job.method.stages]
        training = sum(map(runner.seconds, stages))
        for setting in job.method.settings:
            folder = job.report(workdir, setting)
            if (folder / "report.json").exists():
                content = json.loads((folder / "report.json").read_text())
                row = (job.seed, content, folder, training)
                found.setdefault((job.name, setting), []).append(row)
    return {key: Results(*zip(*rows, strict=True)) for key, rows in found.items()}


def _at(report: dict[str, Any], part: Sequence[str]) -> dict[str, Any]:
    for name in part:
        report = report[name]
    return report
