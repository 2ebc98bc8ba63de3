"""Reports of a comparison, and their means over seeds."""

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
class ScoreSummary:
    """A score in % over seeds; NaN if the model does not take such prompts.

    Attributes:
        mean: Mean over seeds.
        spread: Standard deviation over seeds; None for a single one.
        low: Lower end of the 95 % interval over subjects, mean over seeds; None for a single
            subject.
        high: Upper end of that interval.
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
        """Returns the interval over subjects as text."""
        if math.isnan(self.mean):
            return "-"
        if self.low is None:
            return "none (1 subject)"
        return f"{self.low:.1f} to {self.high:.1f}"


@dataclasses.dataclass(frozen=True)
class MethodResults:
    """The reports of one method in one setting, one for each finished seed.

    Attributes:
        seeds: Seeds of the reports.
        reports: Contents of each `report.json`.
        folders: Folder of each report.
        training: Seconds of each training.
        checkpoints: Path of each evaluated model.
        core: Seconds that the batches of each training took of one core, see `runner.seconds`.
    """

    seeds: tuple[int, ...]
    reports: tuple[dict[str, Any], ...]
    folders: tuple[Path, ...]
    training: tuple[float, ...]
    checkpoints: tuple[str, ...]
    core: tuple[float, ...] = ()

    def score(
        self, protocol: str, kind: str = "dice", part: Sequence[str] = ("overall",)
    ) -> ScoreSummary:
        """Returns a score of all masks, or of one part of them such as `("by_modality", "ct")`."""
        parts = [_at(report, part) for report in self.reports]
        if any(protocol not in one for one in parts):  # Left out: it takes boxes only.
            return ScoreSummary(math.nan, None, None, None, {})
        means = [one[protocol] for one in parts]
        scores = 100 * np.array([one[kind] for one in means])
        bounds = [one[f"{kind}_ci"] for one in means]
        known = None not in bounds
        low, high = (100 * np.array(bounds)).mean(0) if known else (None, None)
        spread = float(scores.std(ddof=1)) if len(scores) > 1 else None
        by_seed = dict(zip(self.seeds, scores.tolist(), strict=True))
        return ScoreSummary(float(scores.mean()), spread, low, high, by_seed)

    def parts(self, kind: str) -> dict[str, int]:
        """Counts the masks in the parts of the data, such as `by_modality`."""
        return {name: means["count"] for name, means in self.reports[0][kind].items()}


def load(comparison: Comparison, workdir: Path) -> dict[tuple[str, str], MethodResults]:
    """Reads all existing reports, by method and setting."""
    results: dict[tuple[str, str], list[tuple[int, dict[str, Any], Path, float, str, float]]] = {}
    for job in jobs(comparison):
        stages = [job.folder(workdir) / stage.name for stage in job.stages(workdir)]
        training = sum(map(runner.seconds, stages))
        core = sum(runner.seconds(stage, "core") for stage in stages)
        for setting in job.method.settings:
            folder = job.report(workdir, setting)
            if (content := _read(folder)) is not None:
                path = job.checkpoint(comparison, workdir)
                row = (job.seed, content, folder, training, path, core)
                results.setdefault((job.name, setting), []).append(row)
    return {key: MethodResults(*zip(*rows, strict=True)) for key, rows in results.items()}


def load_general(comparison: Comparison, workdir: Path) -> MethodResults | None:
    """Reads the general model's report on images of its own kind; None without one."""
    folder = general_report(workdir)
    content = _read(folder)
    if content is None:
        return None
    stages = [workdir / "general" / stage.name for stage in comparison.stages]
    training = sum(map(runner.seconds, stages))
    return MethodResults(
        (0,), (content,), (folder,), (training,), (general_checkpoint(comparison, workdir),)
    )


def _read(folder: Path) -> dict[str, Any] | None:
    path = folder / "report.json"
    return json.loads(path.read_text()) if path.exists() else None


def _at(report: dict[str, Any], part: Sequence[str]) -> dict[str, Any]:
    for name in part:
        report = report[name]
    return report
