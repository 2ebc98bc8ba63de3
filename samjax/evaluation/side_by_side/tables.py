"""Comparisons of reports in Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from samjax.evaluation import protocols, report_rows, report_tables

Pair = Mapping[str, Any]  # Of `differences.content_of`.

_MAIN = ("dice", "hd95", "nsd")  # Metrics of the tables by modality; others are in the JSON.


def page(content: Mapping[str, Any], pictures: Mapping[str, str] | None = None) -> str:
    """Returns the page of a comparison.

    Args:
        content: The result of `differences.content_of`.
        pictures: Captions of pictures, by their path from the page.
    """
    named = [f"`{one['folder']}` ({one['model']})" for one in content["reports"]]
    sections = [
        f"# {' against '.join(one['model'] for one in content['reports'])}",
        f"Reports of the same masks with the same prompts: {', '.join(named)}.",
    ]
    for pair in content["pairs"]:
        sections += [f"## {pair['second']} less {pair['first']}", overall(pair), counts(pair)]
        for metric in _main_metrics(pair):
            sections += [f"### {report_rows.metric_title(metric)} by modality"]
            sections += [by_modality(pair, metric)]
    if pictures:
        sections += ["## Masks that differ most"]
        sections += [f"{caption}\n\n![{caption}]({path})" for path, caption in pictures.items()]
    told = (f"- {name}: {text}" for name, text in content["conventions"].items())
    return "\n\n".join([*sections, "## Conventions", "\n".join(told)]) + "\n"


def overall(pair: Pair, metrics: Sequence[str] | None = None) -> str:
    """Formats the differences over all masks: a row for each protocol and metric."""
    rows = [["Protocol", "Metric", *_heads(pair)]]
    for row in pair["overall"]["rows"]:
        if metrics is None or row["metric"] in metrics:
            title = protocols.title(row["protocol"])
            rows.append([title, report_rows.metric_title(row["metric"]), *_cells(row)])
    return _formatted(rows)


def by_modality(pair: Pair, metric: str) -> str:
    """Formats the differences in a metric: a row for each modality and protocol."""
    rows = [["Modality", "Protocol", "Masks", "Subjects", *_heads(pair)]]
    for name, part in pair["by_modality"].items():
        number = str(part["masks"]), str(part["subjects"])
        found = (row for row in part["rows"] if row["metric"] == metric)
        rows += [[name, protocols.title(row["protocol"]), *number, *_cells(row)] for row in found]
    return _formatted(rows)


def counts(pair: Pair) -> str:
    """Returns the line below the table: numbers of masks, and the meaning of the columns."""
    part = pair["overall"]
    return (
        f"Over {part['masks']} masks of {part['subjects']} subjects. Difference: "
        f"{pair['second']} less {pair['first']}, with its 95 % interval over subjects; p by "
        f"permutation of subjects; wins, ties and losses of {pair['second']} in masks."
    )


def _heads(pair: Pair) -> list[str]:
    return [pair["first"], pair["second"], "Difference", "95 % interval", "p", "Wins/ties/losses"]


def _cells(row: Mapping[str, Any]) -> list[str]:
    values = [report_rows.metric_value(row["metric"], row[n]) for n in ("first", "second")]
    change, low, high = (
        None if row[n] is None else _signed(row["metric"], row[n])
        for n in ("difference", "low", "high")
    )
    interval = "-" if low is None else f"{low} to {high}"
    p = f"{row['p']:.2g}" if row["p"] >= 0.001 else "< 0.001"
    return [*values, str(change), interval, p, f"{row['wins']}/{row['ties']}/{row['losses']}"]


def _signed(metric: str, value: float) -> str:
    text = report_rows.metric_value(metric, value)
    return text if text.startswith("-") else f"+{text}"


def _main_metrics(pair: Pair) -> list[str]:
    names = dict.fromkeys(row["metric"] for row in pair["overall"]["rows"])
    main = [n for n in names if n.startswith(_MAIN) and not n.endswith(("_oracle", "_auc"))]
    return main or [*names]


def _formatted(rows: list[list[str]]) -> str:
    return report_tables.markdown(report_tables.aligned(rows, 2), 2)
