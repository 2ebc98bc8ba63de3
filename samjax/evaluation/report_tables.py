"""Tables of a report in Markdown, made of the content of its `report.json`."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from samjax.evaluation import class_report, ensembles, protocols
from samjax.evaluation.results import FILLED_BOX

Content = Mapping[str, Any]  # Of `report.json`.

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


def overall(content: Content) -> str:
    """Formats the paper's table 2: Dice in %, beside the filled-box baseline.

    With the oracle, the gap stands after each Dice: what the truth would add as a judge of the
    candidates.
    """
    names, means = _protocols(content), content["overall"]
    side, fps = content["image_size"], next(iter(content["fps"].values()))
    heads = [head for name in names for head in _heads(content, name, " (%)")]
    cells = [cell for name in names for cell in _cells(content, means, name)]
    baseline = percent(means, FILLED_BOX)
    boxes = [
        baseline if name == protocols.BOX and not i else "-"
        for name in names
        for i, _ in enumerate(_heads(content, name))
    ]
    speed = f"{fps:.1f}" if fps < 10 else f"{fps:.0f}"
    rows = [
        ["Model", "Resolution", *heads, "FPS"],
        [content["model"], f"{side} x {side}", *cells, speed],
        ["Filled box", "-", *boxes, "-"],
    ]
    return markdown(aligned(rows))


def parts(content: Content, part: str) -> str:
    """Formats Dice in % for each part of the data set.

    Args:
        content: Content of the report.
        part: One of `samjax.evaluation.summary.PARTS`, such as `by_modality`.
    """
    names = _protocols(content)
    heads = [head for name in names for head in _heads(content, name)]
    rows = [[part.removeprefix("by_").capitalize(), "Masks", "Subjects", *heads, "Filled box"]]
    for value, means in content[part].items():
        counts = str(means["count"]), str(means["subjects"])
        cells = [cell for name in names for cell in _cells(content, means, name)]
        rows.append([value, *counts, *cells, percent(means, FILLED_BOX)])
    return markdown(aligned(rows))


def by_metric(content: Content) -> str:
    """Formats all metrics, a row for each protocol; empty where there are Dice and IoU alone."""
    means = content["overall"]
    names = content["config"]["protocols"]
    found = dict.fromkeys(
        metric for name in names for metric in means[name] if not metric.endswith("_ci")
    )
    if not {*found} - {"dice", "iou", "predicted_iou"}:
        return ""
    rows = [["Protocol", *map(metric_title, found)]]
    for name in names:
        cells = [metric_value(m, means[name][m]) if m in means[name] else "-" for m in found]
        rows.append([protocols.title(name), *cells])
    return markdown(aligned(rows))


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


def calibration(content: Content) -> str:
    """Formats how well the predicted IoU tells the true one; empty without."""
    if "calibration" not in content:
        return ""
    rows = [["Predicted IoU", "ECE", "Bias", "Rank correlation", "AUROC"]]
    for name, found in content["calibration"].items():
        values = [found[kind] for kind in ("ece", "bias", "spearman", "auroc")]
        cells = ["-" if value is None else f"{value:.3f}" for value in values]
        rows.append([protocols.title(name), *cells])
    return (
        f"{markdown(aligned(rows))}\n\nECE: calibration error of the predicted IoU in 10 bins. "
        "Bias: mean predicted less mean true IoU. AUROC: of masks with an IoU under 0.75 by a low "
        "predicted IoU."
    )


def robustness(content: Content) -> str:
    """Formats the Dice that moved prompts lose; empty without."""
    if "robustness" not in content:
        return ""
    rows = [["Moved prompt", "Dice lost (%)", "95 % interval"]]
    for name, found in content["robustness"].items():
        interval = "-"
        if found["lost_ci"]:
            interval = " to ".join(f"{100 * bound:.2f}" for bound in found["lost_ci"])
        rows.append([protocols.title(name), f"{100 * found['lost']:.2f}", interval])
    return markdown(aligned(rows))


def volumes(content: Content) -> str:
    """Formats the metrics of whole volumes, a row for each protocol; empty without."""
    if "volumes" not in content:
        return ""
    means = content["volumes"]
    names = [name for name in content["config"]["protocols"] if name in means]
    found = [metric for metric in means[names[0]] if not metric.endswith("_ci")]
    rows = [["Volumes", *map(metric_title, found)]]
    for name in names:
        rows.append([protocols.title(name), *(metric_value(m, means[name][m]) for m in found)])
    return (
        f"{markdown(aligned(rows))}\n\nMeans over {means['count']} objects in the volumes of "
        f"{means['subjects']} subjects, each made of the slices that were evaluated."
    )


def uncertainty(content: Content) -> str:
    """Formats how well each ensemble's uncertainty predicts errors; empty without."""
    if "uncertainty" not in content:
        return ""
    rows = [["Uncertainty", "ECE", "AUROC", "AUPRC", *(f"-{n} %" for n in ensembles.REFUSED)]]
    for name, found in content["uncertainty"].items():
        dice = [f"{100 * found[f'dice_refusing_{n}']:.2f}" for n in ensembles.REFUSED]
        values = [f"{found[kind]:.3f}" for kind in ("ece", "auroc", "auprc")]
        rows.append([protocols.title(name), *values, *dice])
    return (
        f"{markdown(aligned(rows))}\n\nECE: calibration error of the probability. AUROC, AUPRC: "
        "of the predictive entropy as a score of wrong pixels. All within the box, widened by half "
        "of its sides. -N %: Dice (%) without the N % of masks with the highest entropy."
    )


def classes(content: Content) -> str:
    """Formats the classes of a semantic model; empty for masks from prompts."""
    if "classes" not in content:
        return ""
    found = content["classes"]
    return (
        f"{markdown(aligned(class_report.rows(found)))}\n\nDice of a class: mean over the "
        "images that have it or were given it. Shown wrongly in: images that do not have the "
        "class, each with a Dice of 0; area: mean share of these images that it covers. Left out: "
        f"{sum(found['other_classes'].values())} masks of classes that the model lacks."
    )


def notes(content: Content) -> str:
    """Returns the notes below the table: intervals, and protocols that were left out."""
    means = content["overall"]
    if means["subjects"] == 1:
        found = "95 % intervals: none, all masks are of one subject."
    else:
        bounds = {name: means[name]["dice_ci"] for name in content["config"]["protocols"]}
        intervals = (
            f"{protocols.title(n)} {100 * low:.2f} to {100 * high:.2f}"
            for n, (low, high) in bounds.items()
        )
        found = f"95 % intervals over {means['subjects']} subjects (%): {', '.join(intervals)}."
    if content["left_out"]:
        titles = ", ".join(map(protocols.title, content["left_out"]))
        found += (
            f"\n\nLeft out: {titles}. This model takes box prompts only "
            "(`preprocessing.point_prompts`)."
        )
    return found


def percent(means: Mapping[str, Any], name: str, metric: str = "dice") -> str:
    """Formats a mean in %; a dash where there is none."""
    return f"{100 * means[name][metric]:.2f}" if metric in means.get(name, {}) else "-"


def markdown(rows: Sequence[Sequence[str]], labels: int = 1) -> str:
    """Formats a Markdown table.

    Args:
        rows: Its rows, the head first.
        labels: Number of first columns that are words; the others are numbers.
    """
    head, *body = rows
    words = ["-" * len(cell) for cell in head[:labels]]
    rule = [*words, *("-" * (len(cell) - 1) + ":" for cell in head[labels:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *body))


def aligned(rows: list[list[str]], labels: int = 1) -> list[list[str]]:
    """Pads cells to the width of their column, so that the table is readable as plain text."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        [cell.ljust(width) for cell, width in zip(row[:labels], widths, strict=False)]
        + [cell.rjust(width) for cell, width in zip(row[labels:], widths[labels:], strict=True)]
        for row in rows
    ]


def _protocols(content: Content) -> tuple[str, ...]:
    """Returns the protocols of a table: always the box, too, whose column has the baseline."""
    names = content["config"]["protocols"]
    return (*names,) if protocols.BOX in names else (protocols.BOX, *names)


def _heads(content: Content, name: str, unit: str = "") -> list[str]:
    has_gap = "oracle_gap" in content["overall"].get(name, {})
    title = protocols.title(name)
    return [f"{title}{unit}", f"gap{unit}"] if has_gap else [f"{title}{unit}"]


def _cells(content: Content, means: Mapping[str, Any], name: str) -> list[str]:
    kinds = ("dice", "oracle_gap")[: len(_heads(content, name))]
    return [percent(means, name, kind) for kind in kinds]
