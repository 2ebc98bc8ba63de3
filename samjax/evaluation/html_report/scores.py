"""Sections of the page about scores: tables with charts."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from samjax.evaluation import protocols, report_rows
from samjax.evaluation.html_report import charts
from samjax.evaluation.html_report.elements import Html, element, folded, note, section, table
from samjax.evaluation.metrics import clicks
from samjax.evaluation.report_rows import Content
from samjax.evaluation.results import FILLED_BOX, MaskResult

_MAIN = ("dice", "dice_oracle", "oracle_gap", "iou", "predicted_iou", "chosen_best", "iou_oracle")
_CURVES = ("dice", "dice_oracle", "iou", "predicted_iou")  # And every NSD.
_DIAGRAMS = 6  # Shown at once; those of further protocols are folded.


def overall(content: Content) -> Html | None:
    """Returns the means of all masks by protocol, and all other metrics below."""
    means, names = content["overall"], content["config"]["protocols"]
    metrics = report_rows.metrics_of(content)
    shown = [metric for metric in _MAIN[2:-1] if metric in metrics]
    baseline = means[FILLED_BOX]["dice"] if FILLED_BOX in means else None
    rows = [["Protocol", "Dice (%)", "95 % interval", "0 to 100 %"]]
    rows[0] += [report_rows.metric_title(metric) for metric in shown]
    for name in names:
        found = means[name]
        chart = charts.interval(
            found["dice"],
            found["dice_ci"],
            reference=baseline if protocols.find(name).takes_boxes else None,
            oracle=found.get("dice_oracle"),
        )
        rows.append([protocols.title(name), report_rows.percent(means, name)])
        rows[-1] += [report_rows.interval(found["dice_ci"]), chart]
        rows[-1] += [
            report_rows.metric_value(metric, found[metric]) if metric in found else "-"
            for metric in shown
        ]
    if baseline is not None:
        low_high = means[FILLED_BOX]["dice_ci"]
        rows.append(["Filled box", f"{100 * baseline:.2f}", report_rows.interval(low_high)])
        rows[-1] += [charts.interval(baseline, low_high)]
        rows[-1] += [report_rows.percent(means, FILLED_BOX, metric) for metric in shown]
    single = "All masks are of one subject: there are no intervals. "
    return section(
        "Scores",
        _key(any(protocols.find(name).takes_boxes for name in names), "dice_oracle" in metrics),
        table(rows, "Means over all masks"),
        note(
            (single if means["subjects"] == 1 else "Intervals: over subjects. ")
            + "Filled box: the box prompt itself taken as the mask; a model with boxes that is not "
            "clearly above it uses nothing of the image."
        ),
        note(report_rows.left_out_note(content)),
        *_further(content, [metric for metric in metrics if metric not in _MAIN]),
    )


def curves(content: Content, results: Sequence[MaskResult]) -> Html | None:
    """Returns curves over clicks, of protocols that count them.

    Args:
        content: Content of the report.
        results: Results of the masks, for the share of them that has reached an IoU.
    """
    found: list[Html | None] = []
    for name, by_metric in content.get("curves", {}).items():
        if not getattr(protocols.find(name), "counts", False):
            continue  # Steps of others are draws of the same prompt.
        lines = {_short(m): v for m, v in by_metric.items() if m in _CURVES or m.startswith("nsd")}
        drawn = {
            "means over all masks": lines,
            "masks that have reached an IoU": _reached(results, name),
        }
        shown = [
            element(
                "figure",
                element("h3", f"{protocols.title(name)}: {told}"),
                charts.curves(each, "clicks", f"{protocols.title(name)}: {told}"),
            )
            for told, each in drawn.items()
        ]
        found.append(element("div", *shown, class_="charts wide"))
        found.append(folded("The same as a table", _curve_table(name, by_metric)))
    return section("Curves over clicks", *found)


def calibration(content: Content) -> Html | None:
    """Returns reliability diagrams of the predicted IoU, and their numbers."""
    figures = []
    for name, found in content.get("calibration", {}).items():
        title = protocols.title(name)
        chart = charts.reliability(found["bins"], f"{title}: true over predicted IoU")
        figures.append(element("figure", element("h3", title), chart))
    rows, further = report_rows.calibration(content), figures[_DIAGRAMS:]
    return section(
        "Predicted IoU",
        element(
            "p",
            "A mask that the model predicts an IoU of 0.8 for should have one of 0.8: dots on the "
            "diagonal. The bars below count the masks.",
        )
        if figures
        else None,
        element("div", *figures[:_DIAGRAMS], class_="charts") if figures else None,
        folded(f"{len(further)} further protocols", element("div", *further, class_="charts"))
        if further
        else None,
        table(rows, "Calibration of the predicted IoU"),
        note(report_rows.CALIBRATION) if rows else None,
    )


def robustness(content: Content) -> Html | None:
    """Returns the Dice that moved prompts lose."""
    found: Mapping[str, Any] = content.get("robustness", {})
    rows = report_rows.robustness(content)
    if not rows:
        return None
    span = _span([each["lost"] for each in found.values()], [e["lost_ci"] for e in found.values()])
    rows[0].append(f"{100 * span[0]:.0f} to {100 * span[1]:.0f} %")
    for row, each in zip(rows[1:], found.values(), strict=True):
        row.append(charts.interval(each["lost"], each["lost_ci"], span, reference=0.0))
    return section(
        "Moved prompts",
        table(rows, "Mean Dice lost against the prompt that is not moved"),
    )


def _further(content: Content, metrics: Sequence[str]) -> list[Html | None]:
    """Returns a table of metrics for each set of protocols that have the same."""
    means, names = content["overall"], content["config"]["protocols"]
    of_metric = {m: tuple(name for name in names if m in means[name]) for m in metrics}
    tables = []
    for having in dict.fromkeys(of_metric.values()):
        wanted = [metric for metric in metrics if of_metric[metric] == having]
        head, *rows = report_rows.by_metric(content, wanted)
        kept = [row for name, row in zip(names, rows, strict=True) if name in having]
        of = "" if len(having) == len(names) else f" of {', '.join(map(protocols.title, having))}"
        tables.append(table([head, *kept], f"Further metrics{of}, means over all masks"))
    return tables


def _reached(results: Sequence[MaskResult], name: str) -> dict[str, list[float]]:
    """Returns the share of masks that have reached each IoU of NoC, after every click."""
    iou = np.array([result.scores[name].steps["iou"] for result in results])
    best = 100 * np.maximum.accumulate(iou, axis=1)
    return {f"IoU {target} %": (best >= target).mean(0).tolist() for target in clicks.TARGETS}


def _key(has_baseline: bool, has_oracle: bool) -> Html:
    parts = [element("i", class_="is-dot"), "Dice with its interval"]
    if has_oracle:
        parts += [element("i", class_="is-ring"), "with the truth as a judge of the candidates"]
    if has_baseline:
        parts += [element("i", class_="is-dash"), "filled box"]
    return element("p", *parts, class_="key note")


def _curve_table(name: str, by_metric: Mapping[str, Sequence[float]]) -> Html | None:
    count = max(map(len, by_metric.values()))
    rows = [["Metric", *(str(click) for click in range(1, count + 1))]]
    for metric, values in by_metric.items():
        cells = (report_rows.metric_value(metric, value) for value in values)
        rows.append([report_rows.metric_title(metric), *cells])
    return table(rows, f"{protocols.title(name)}: means after each click")


def _short(metric: str) -> str:
    return report_rows.metric_title(metric).removesuffix(" (%)")


def _span(
    values: Sequence[float], intervals: Sequence[Sequence[float] | None]
) -> tuple[float, float]:
    """Returns a scale in whole percent that has 0, the values, and their intervals."""
    ends = [*values, *(bound for one in intervals if one for bound in one), 0.0]
    low, high = (round(100 * end) for end in (min(ends), max(ends)))
    return (low - 1) / 100 if low < 0 else 0.0, (high + 1) / 100
