"""Reading the reports of a comparison, and averaging them over seeds."""

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from samjax.comparison import runner
from samjax.comparison.plan import Comparison, general_checkpoint, general_report, jobs


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
    """The reports of one method in one setting, one for each seed that is done.

    Attributes:
        seeds: Their seeds.
        reports: Contents of their `report.json`.
        folders: Where they are.
        training: Seconds of each training.
        checkpoints: Paths of the models that were tested.
    """

    seeds: tuple[int, ...]
    reports: tuple[dict[str, Any], ...]
    folders: tuple[Path, ...]
    training: tuple[float, ...]
    checkpoints: tuple[str, ...]

    def value(self, protocol: str, kind: str = "dice", part: Sequence[str] = ("overall",)) -> Value:
        """Returns a score of all masks, or of one part of them such as `("by_modality", "ct")`."""
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
        """Counts the masks in the parts of the data, such as `by_modality`."""
        return {name: means["count"] for name, means in self.reports[0][kind].items()}


def load(comparison: Comparison, workdir: Path) -> dict[tuple[str, str], Results]:
    """Reads the reports there are, by method and setting; what has not been run is not in it."""
    found: dict[tuple[str, str], list[tuple[int, dict[str, Any], Path, float, str]]] = {}
    for job in jobs(comparison):
        stages = [job.folder(workdir) / stage.name for stage in job.method.stages]
        training = sum(map(runner.seconds, stages))
        for setting in job.method.settings:
            folder = job.report(workdir, setting)
            if (content := _read(folder)) is not None:
                row = (job.seed, content, folder, training, job.checkpoint(comparison, workdir))
                found.setdefault((job.name, setting), []).append(row)
    return {key: Results(*zip(*rows, strict=True)) for key, rows in found.items()}


def load_general(comparison: Comparison, workdir: Path) -> Results | None:
    """Reads the general model's report on images of its own kind; None where there is none."""
    folder = general_report(workdir)
    content = _read(folder)
    if content is None:
        return None
    stages = [workdir / "general" / stage.name for stage in comparison.stages]
    training = sum(map(runner.seconds, stages))
    return Results(
        (0,), (content,), (folder,), (training,), (general_checkpoint(comparison, workdir),)
    )


def _read(folder: Path) -> dict[str, Any] | None:
    path = folder / "report.json"
    return json.loads(path.read_text()) if path.exists() else None


def _at(report: dict[str, Any], part: Sequence[str]) -> dict[str, Any]:
    for name in part:
        report = report[name]
    return report
