"""Tables of a report in Markdown, made of the content of its `report.json`."""

from collections.abc import Sequence

from samjax.evaluation import protocols, report_rows
from samjax.evaluation.report_rows import Content, Rows
from samjax.evaluation.results import FILLED_BOX

_COLUMNS = 6  # Protocols beside each other in the table of all.


def overall(content: Content) -> str:
    """Formats the paper's table 2: Dice in %, beside the filled-box baseline.

    With the oracle, the gap stands after each Dice: what the truth would add as a judge of the
    candidates. Many protocols have a row each.
    """
    if len(content["config"]["protocols"]) > _COLUMNS:
        return markdown(aligned(_by_protocol(content)))
    names, means = report_rows.shown_protocols(content), content["overall"]
    side, fps = content["image_size"], next(iter(content["fps"].values()))
    heads = [head for name in names for head in report_rows.heads(content, name, " (%)")]
    cells = [cell for name in names for cell in report_rows.cells(content, means, name)]
    baseline = report_rows.percent(means, FILLED_BOX)
    boxes = [
        baseline if name == protocols.BOX and not i else "-"
        for name in names
        for i, _ in enumerate(report_rows.heads(content, name))
    ]
    speed = f"{fps:.1f}" if fps < 10 else f"{fps:.0f}"
    rows = [
        ["Model", "Resolution", *heads, "FPS"],
        [content["model"], f"{side} x {side}", *cells, speed],
        ["Filled box", "-", *boxes, "-"],
    ]
    return markdown(aligned(rows))


def _by_protocol(content: Content) -> Rows:
    """Returns Dice in %, a row for each protocol."""
    metrics = report_rows.metrics_of(content)
    rows = report_rows.by_metric(
        content, [name for name in metrics if name in ("dice", "dice_oracle", "oracle_gap")]
    )
    rows[0][0] = content["model"]
    baseline = report_rows.percent(content["overall"], FILLED_BOX)
    return [*rows, ["Filled box", baseline, *["-"] * (len(rows[0]) - 2)]]


def parts(content: Content, part: str) -> str:
    """Formats Dice in % for each part of the data set, see `report_rows.parts`."""
    return markdown(aligned(report_rows.parts(content, part)))


def by_metric(content: Content) -> str:
    """Formats all metrics, a row for each protocol; empty where there are Dice and IoU alone."""
    found = report_rows.metrics_of(content)
    if not {*found} - {"dice", "iou", "predicted_iou"}:
        return ""
    return markdown(aligned(report_rows.by_metric(content, found)))


def calibration(content: Content) -> str:
    """Formats how well the predicted IoU tells the true one; empty without."""
    return _noted(report_rows.calibration(content), report_rows.CALIBRATION)


def robustness(content: Content) -> str:
    """Formats the Dice that moved prompts lose; empty without."""
    return _noted(report_rows.robustness(content))


def volumes(content: Content) -> str:
    """Formats the metrics of whole volumes, a row for each protocol; empty without."""
    rows = report_rows.volumes(content)
    return _noted(rows, report_rows.volumes_note(content)) if rows else ""


def uncertainty(content: Content) -> str:
    """Formats how well each ensemble's uncertainty predicts errors; empty without."""
    return _noted(report_rows.uncertainty(content), report_rows.UNCERTAINTY)


def classes(content: Content) -> str:
    """Formats the classes of a semantic model; empty for masks from prompts."""
    rows = report_rows.classes(content)
    return _noted(rows, report_rows.classes_note(content)) if rows else ""


def notes(content: Content) -> str:
    """Returns the notes below the table: intervals, and protocols that were left out."""
    means = content["overall"]
    if means["subjects"] == 1:
        found = "95 % intervals: none, all masks are of one subject."
    else:
        bounds = {name: means[name]["dice_ci"] for name in content["config"]["protocols"]}
        intervals = (
            f"{protocols.title(name)} {report_rows.interval(one)}" for name, one in bounds.items()
        )
        found = f"95 % intervals over {means['subjects']} subjects (%): {', '.join(intervals)}."
    return "\n\n".join(filter(None, [found, report_rows.left_out_note(content)]))


def markdown(rows: Sequence[Sequence[str]], labels: int = 1) -> str:
    """Formats a Markdown table.

    Args:
        rows: Its rows, the head first.
        labels: Number of first columns that are words; the others are numbers.
    """
    head, *body = rows
    words = ["-" * len(cell) for cell in head[:labels]]
    rule = [*words, *("-" * (len(cell) - 1) + ":" for cell in head[labels:])]
    escaped = ([cell.replace("|", "\\|") for cell in row] for row in (head, rule, *body))
    return "\n".join(f"| {' | '.join(row)} |" for row in escaped)


def aligned(rows: list[list[str]], labels: int = 1) -> list[list[str]]:
    """Pads cells to the width of their column, so that the table is readable as plain text."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        [cell.ljust(width) for cell, width in zip(row[:labels], widths, strict=False)]
        + [cell.rjust(width) for cell, width in zip(row[labels:], widths[labels:], strict=True)]
        for row in rows
    ]


def _noted(rows: Rows, note: str = "") -> str:
    """Formats a table with a note below it; empty without rows."""
    return "\n\n".join(filter(None, [markdown(aligned(rows)), note])) if rows else ""
