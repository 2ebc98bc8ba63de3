"""Rows of a report's tables, made of the content of its `report.json`: the head, then the cells."""

import re
from collections.abc import Mapping
from typing import Any

from samjax.evaluation import class_report, ensembles, protocols
from samjax.evaluation.results import FILLED_BOX

Content = Mapping[str, Any]  # Of `report.json`.
Rows = list[list[str]]

CALIBRATION = (
    "ECE: calibration error of the predicted IoU in 10 bins. Bias: mean predicted less mean true "
    "IoU. AUROC: of masks with an IoU under 0.75 by a low predicted IoU."
)
UNCERTAINTY = (
    "ECE: calibration error of the probability. AUROC, AUPRC: of the predictive entropy as a score "
    "of wrong pixels. All within the box, widened by half of its sides. -N %: Dice (%) without the "
    "N % of masks with the highest entropy."
)
_IN_PERCENT = ("dice", "iou", "nsd", "oracle_gap", "chosen_best", "recall", "volume", "failed")
_TITLES = {
    "dice": "Dice (%)",
    "dice_oracle": "Dice, oracle (%)",
    "oracle_gap": "Oracle gap (%)",
    "iou": "IoU (%)",
    "iou_oracle": "IoU, oracle (%)",
    "predicted_iou": "Predicted IoU",
    "chosen_best": "Best chosen (%)",
    "volume_error": "Volume error (%)",
}


def parts(content: Content, part: str) -> Rows:
    """Returns Dice in % for each part of the data set.

    Args:
        content: Content of the report.
        part: One of `samjax.evaluation.summary.PARTS`, such as `by_modality`.
    """
    names = shown_protocols(content)
    columns = [head for name in names for head in heads(content, name)]
    rows = [[part.removeprefix("by_").capitalize(), "Masks", "Subjects", *columns, "Filled box"]]
    for value, means in content[part].items():
        counts = str(means["count"]), str(means["subjects"])
        found = [cell for name in names for cell in cells(content, means, name)]
        rows.append([value, *counts, *found, percent(means, FILLED_BOX)])
    return rows


def metrics_of(content: Content) -> list[str]:
    """Returns the metrics that a protocol of the report has, in order."""
    means = content["overall"]
    found = dict.fromkeys(m for name in content["config"]["protocols"] for m in means[name])
    return [metric for metric in found if not metric.endswith("_ci")]


def by_metric(content: Content, metrics: list[str]) -> Rows:
    """Returns the means of some metrics, a row for each protocol."""
    means = content["overall"]
    rows = [["Protocol", *map(metric_title, metrics)]]
    for name in content["config"]["protocols"]:
        found = [metric_value(m, means[name][m]) if m in means[name] else "-" for m in metrics]
        rows.append([protocols.title(name), *found])
    return rows


def metric_title(metric: str) -> str:
    """Returns the title of a metric, with its unit: `HD95 (px)` for `hd95_px`."""
    if metric in _TITLES:
        return _TITLES[metric]
    if metric.endswith("_auc"):
        return f"{metric_title(metric.removesuffix('_auc')).removesuffix(' (%)')}, area (%)"
    if match := re.fullmatch(r"(noc|failed)(\d+)", metric):
        return f"NoC {match[2]}" if match[1] == "noc" else f"Failures {match[2]} (%)"
    name, _, unit = metric.rpartition("_")
    if unit not in ("px", "mm"):
        return metric.replace("_", " ")
    if name.startswith("nsd"):
        return f"NSD, {name.removeprefix('nsd')} {unit} (%)"
    return f"{name.upper().replace('_BORDER', ' of borders')} ({unit})"


def metric_value(metric: str, value: float) -> str:
    """Formats the mean of a metric; shares in %."""
    return f"{100 * value:.2f}" if metric.startswith(_IN_PERCENT) else f"{value:.3g}"


def calibration(content: Content) -> Rows:
    """Returns how well the predicted IoU tells the true one; empty without."""
    if "calibration" not in content:
        return []
    rows = [["Predicted IoU", "ECE", "Bias", "Rank correlation", "AUROC"]]
    for name, found in content["calibration"].items():
        values = [found[kind] for kind in ("ece", "bias", "spearman", "auroc")]
        numbers = ["-" if value is None else f"{value:.3f}" for value in values]
        rows.append([protocols.title(name), *numbers])
    return rows


def robustness(content: Content) -> Rows:
    """Returns the Dice that moved prompts lose; empty without."""
    if "robustness" not in content:
        return []
    rows = [["Moved prompt", "Dice lost (%)", "95 % interval"]]
    for name, found in content["robustness"].items():
        lost = f"{100 * found['lost']:.2f}"
        rows.append([protocols.title(name), lost, interval(found["lost_ci"])])
    return rows


def volumes(content: Content) -> Rows:
    """Returns the metrics of whole volumes, a row for each protocol; empty without."""
    if "volumes" not in content:
        return []
    means = content["volumes"]
    names = [name for name in content["config"]["protocols"] if name in means]
    found = [metric for metric in means[names[0]] if not metric.endswith("_ci")]
    rows = [["Volumes", *map(metric_title, found)]]
    for name in names:
        rows.append([protocols.title(name), *(metric_value(m, means[name][m]) for m in found)])
    return rows


def volumes_note(content: Content) -> str:
    """Returns the line below the table of volumes."""
    means = content["volumes"]
    return (
        f"Means over {means['count']} objects in the volumes of {means['subjects']} subjects, each "
        "made of the slices that were evaluated."
    )


def uncertainty(content: Content) -> Rows:
    """Returns how well each ensemble's uncertainty predicts errors; empty without."""
    if "uncertainty" not in content:
        return []
    rows = [["Uncertainty", "ECE", "AUROC", "AUPRC", *(f"-{n} %" for n in ensembles.REFUSED)]]
    for name, found in content["uncertainty"].items():
        dice = [f"{100 * found[f'dice_refusing_{n}']:.2f}" for n in ensembles.REFUSED]
        values = [f"{found[kind]:.3f}" for kind in ("ece", "auroc", "auprc")]
        rows.append([protocols.title(name), *values, *dice])
    return rows


def classes(content: Content) -> Rows:
    """Returns the classes of a semantic model; empty for masks from prompts."""
    return class_report.rows(content["classes"]) if "classes" in content else []


def classes_note(content: Content) -> str:
    """Returns the lines below the table of classes."""
    return (
        "Dice of a class: mean over the images that have it or were given it. Shown wrongly in: "
        "images that do not have the class, each with a Dice of 0; area: mean share of these "
        f"images that it covers. Left out: {sum(content['classes']['other_classes'].values())} "
        "masks of classes that the model lacks."
    )


def left_out_note(content: Content) -> str:
    """Returns the line about protocols that were left out; empty without."""
    if not content["left_out"]:
        return ""
    titles = ", ".join(map(protocols.title, content["left_out"]))
    return f"Left out: {titles}. This model takes box prompts only (`preprocessing.point_prompts`)."


def interval(bounds: list[float] | None) -> str:
    """Formats an interval in %; a dash where there is none."""
    return " to ".join(f"{100 * bound:.2f}" for bound in bounds) if bounds else "-"


def percent(means: Mapping[str, Any], name: str, metric: str = "dice") -> str:
    """Formats a mean in %; a dash where there is none."""
    return f"{100 * means[name][metric]:.2f}" if metric in means.get(name, {}) else "-"


def shown_protocols(content: Content) -> tuple[str, ...]:
    """Returns the protocols of a table: always the box, too, whose column has the baseline."""
    names = content["config"]["protocols"]
    return (*names,) if protocols.BOX in names else (protocols.BOX, *names)


def heads(content: Content, name: str, unit: str = "") -> list[str]:
    """Returns the heads of a protocol's columns: Dice, and with the oracle the gap."""
    has_gap = "oracle_gap" in content["overall"].get(name, {})
    title = protocols.title(name)
    return [f"{title}{unit}", f"gap{unit}"] if has_gap else [f"{title}{unit}"]


def cells(content: Content, means: Mapping[str, Any], name: str) -> list[str]:
    """Returns the cells of these columns."""
    kinds = ("dice", "oracle_gap")[: len(heads(content, name))]
    return [percent(means, name, kind) for kind in kinds]
