"""Tables of methods with different prompts, side by side, in Markdown; without a result, a dash."""

import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from samjax.comparison import choice, measure
from samjax.comparison.plan import Comparison
from samjax.comparison.reports import MethodResults
from samjax.comparison.tables import DASH, AllResults
from samjax.evaluation import ensembles, protocols
from samjax.evaluation.report_tables import markdown
from samjax.evaluation.results import FILLED_BOX

PROMPTS = {"classes": "none", "1pt": "click", "bbox": "box"}  # By protocol, fewest first.
_ROBUST = ("bbox", "bbox_grow10", "bbox_jitter", "bbox_x5")
_MEGA = 1e6


def main_protocol(report: Mapping[str, Any]) -> str:
    """Returns the protocol that a method is shown by: no prompt, else the box, else a click."""
    found = report["overall"]
    return next(name for name in ("classes", "bbox", "1pt") if name in found)


def contents(comparison: Comparison, results: AllResults, workdir: Path) -> dict[str, str]:
    """Returns the tables by the names of their sections."""
    return {
        "methods": _methods(comparison, results, measure.read(workdir)),
        "boxes": _boxes(comparison, results),
        "uncertainty": _uncertainty(comparison, results),
        "semantic": _semantic(comparison, results),
        "by modality": _by_modality(comparison, results),
        "choices": _choices(comparison, workdir),
        "budget": _budget(comparison, results),
    }


def _rows(comparison: Comparison, results: AllResults) -> Iterator[tuple[str, str, MethodResults]]:
    """Yields title, method and results of each row that has results."""
    for title, method, setting in comparison.side_by_side:
        if (method, setting) in results:
            yield title, method, results[method, setting]


def _methods(
    comparison: Comparison, results: AllResults, measured: Mapping[str, dict[str, Any]]
) -> str:
    head = ["Method", "Prompt", "No prompt", "One click", "Box"]
    head += ["Trained, k", "MB to keep", "Images/s", "MB of training"]
    rows = [head]
    for title, method, found in _rows(comparison, results):
        own = found.reports[0]["overall"]
        prompts = " or ".join(word for name, word in PROMPTS.items() if name in own)
        scores = [str(found.score(name)) if name in own else DASH for name in PROMPTS]
        rows.append([title, prompts, *scores, *_measured(measured.get(method, {}))])
    rows.append(["Filled box", "box", DASH, DASH, _filled_box(comparison, results), *[DASH] * 4])
    return markdown(rows)


def _measured(found: Mapping[str, Any]) -> list[str]:
    def cell(name: str, unit: float, digits: int) -> str:
        return f"{found[name] / unit:,.{digits}f}" if name in found else DASH

    kept, memory = cell("kept_bytes", _MEGA, 1), cell("training_bytes", _MEGA, 0)
    return [cell("trained", 1e3, 0), kept, cell("images_per_s", 1, 0), memory]


def _filled_box(comparison: Comparison, results: AllResults) -> str:
    found = next((one for _, _, one in _rows(comparison, results)), None)
    return f"{found.score(FILLED_BOX).mean:.1f}" if found else DASH


def _boxes(comparison: Comparison, results: AllResults) -> str:
    rows = [["Method", *map(protocols.title, _ROBUST)]]
    for title, _, found in _rows(comparison, results):
        if "bbox" in found.reports[0]["overall"]:
            rows.append([title, *(_score(found, name) for name in _ROBUST)])
    rows.append(["Filled box", _filled_box(comparison, results), *[DASH] * (len(_ROBUST) - 1)])
    return markdown(rows)


def _score(found: MethodResults, protocol: str) -> str:
    return str(found.score(protocol)) if protocol in found.reports[0]["overall"] else DASH


def _uncertainty(comparison: Comparison, results: AllResults) -> str:
    refusing = [f"Dice without {n} %" for n in ensembles.REFUSED]
    rows = [["Method", "Boxes", "AUROC", "ECE", "Dice of all", *refusing]]
    kinds = [f"dice_refusing_{n}" for n in ensembles.REFUSED]
    for title, _, found in _rows(comparison, results):
        for name in found.reports[0].get("uncertainty", {}):
            each = [report["uncertainty"][name] for report in found.reports]
            auroc, ece = (_mean([one[kind] for one in each], 3) for kind in ("auroc", "ece"))
            dice = [_mean([100 * one[kind] for one in each], 1) for kind in kinds]
            boxes = protocols.title(name).removeprefix("Bbox, mean of ")
            rows.append([title, boxes, auroc, ece, str(found.score(name)), *dice])
    return markdown(rows)


def _semantic(comparison: Comparison, results: AllResults) -> str:
    rows = [["Method", "Dice of masks", "Dice of classes", "Classes", "Shown wrongly, images"]]
    for title, _, found in _rows(comparison, results):
        if "classes" not in found.reports[0]:
            continue
        each = [report["classes"] for report in found.reports]
        of_classes = _mean([100 * one["dice"] for one in each], 1)
        count = statistics.mean(len(one["by_class"]) for one in each)
        wrongly = [
            statistics.mean(part["false_images"] for part in one["by_class"].values())
            for one in each
        ]
        cells = [str(found.score("classes")), of_classes, f"{count:.0f}", _mean(wrongly, 1)]
        rows.append([title, *cells])
    return markdown(rows)


def _by_modality(comparison: Comparison, results: AllResults) -> str:
    shown = [(title, found) for title, _, found in _rows(comparison, results)]
    counts = shown[0][1].parts("by_modality") if shown else {}
    heads = [f"{name.replace('_', ' ')} ({count})" for name, count in counts.items()]
    rows = [["Method", "Prompt", *heads]]
    for title, found in shown:
        protocol = main_protocol(found.reports[0])
        scores = [
            f"{found.score(protocol, part=('by_modality', name)).mean:.1f}" for name in counts
        ]
        rows.append([title, PROMPTS[protocol], *scores])
    return markdown(rows)


def _choices(comparison: Comparison, workdir: Path) -> str:
    grids = {name: method for name, method in comparison.methods.items() if method.grid}
    variants = list(dict.fromkeys(one.name for method in grids.values() for one in method.grid))
    rows = [["Method", *(name.replace("_", " ") for name in variants), "Chosen"]]
    for name, method in grids.items():
        found = choice.read(workdir / name)
        if found is None:
            rows.append([method.title, *[DASH] * (len(variants) + 1)])
            continue
        scores = [f"{100 * found.scores[v]:.1f}" if v in found.scores else DASH for v in variants]
        rows.append([method.title, *scores, found.name.replace("_", " ")])
    return markdown(rows)


def _budget(comparison: Comparison, results: AllResults) -> str:
    rows = [["Method", "Batches", "Core seconds of each seed", "Seconds on the clock"]]
    by_method = {method: found for _, method, found in _rows(comparison, results)}
    for name, method in comparison.methods.items():
        if name not in by_method or not method.is_trained:
            continue
        found = by_method[name]
        job_stages = method.stages or method.grid[:1]
        batches = " + ".join(str(stage.experiment.run.steps) for stage in job_stages)
        cells = [" ".join(f"{s:.0f}" for s in seconds) for seconds in (found.core, found.training)]
        rows.append([method.title, batches, *cells])
    return markdown(rows)


def _mean(values: list[float], digits: int) -> str:
    """Formats the mean over seeds and the standard deviation."""
    array = np.array(values)
    spread = f" ± {array.std(ddof=1):.{digits}f}" if len(array) > 1 else ""
    return f"{array.mean():.{digits}f}{spread}"
