"""Tables of the results page, in Markdown; a cell without a result is a dash."""

import math
import statistics
from collections.abc import Mapping, Sequence

from samjax.comparison import published
from samjax.comparison.plan import Comparison
from samjax.comparison.reports import MethodResults
from samjax.evaluation import protocols
from samjax.evaluation.report_tables import markdown
from samjax.evaluation.results import FILLED_BOX

AllResults = Mapping[tuple[str, str], MethodResults]
DASH = "-"


def overall(comparison: Comparison, results_by_key: AllResults, kind: str = "dice") -> str:
    """Formats the paper's table 2 at small scale: mean Dice over all masks.

    Args:
        comparison: The comparison.
        results_by_key: Its results by method and setting.
        kind: `dice` for the mask with the highest predicted IoU, `dice_oracle` for the best mask.
    """
    rows = [["Model", "Resolution", *map(protocols.title, comparison.protocols), "Images/s"]]
    for title, method, setting in comparison.overall:
        results = results_by_key.get((method, setting))
        if results is None:
            rows.append([title, *[DASH] * (len(comparison.protocols) + 2)])
            continue
        side = results.reports[0]["image_size"]
        cells = [str(results.score(name, kind)) for name in comparison.protocols]
        fps = [next(iter(report["fps"].values())) for report in results.reports]
        rows.append([title, f"{side} x {side}", *cells, f"{sum(fps) / len(fps):.1f}"])
    if kind == "dice":
        rows.append(["Filled box", DASH, *_filled_box(comparison, results_by_key), DASH])
    return markdown(rows)


def general(comparison: Comparison, results: MethodResults | None) -> str:
    """Formats two tables of the general model on images of its own kind: all, and by modality.

    Args:
        comparison: The comparison.
        results: The general model's results on such images; None without an evaluation.
    """
    if results is None:
        return "Not evaluated on images of its own kind."
    names = comparison.protocols
    (report,) = results.reports
    side = report["image_size"]
    baseline = f"{results.score(FILLED_BOX).mean:.2f}"
    fps = next(iter(report["fps"].values()))
    whole = [
        ["Model", "Resolution", *(f"{protocols.title(name)} (%)" for name in names), "Images/s"],
        [
            "General model",
            f"{side} x {side}",
            *(_percent(results, name) for name in names),
            f"{fps:.1f}" if fps < 10 else f"{fps:.0f}",
        ],
        ["Filled box", DASH, *(baseline if n == protocols.BOX else DASH for n in names), DASH],
    ]
    protocol_names = [*names, FILLED_BOX]
    parts = [["Modality", "Masks", *map(protocols.title, names), "Filled box"]]
    for modality, count in results.parts("by_modality").items():
        cells = (_percent(results, name, ("by_modality", modality)) for name in protocol_names)
        parts.append([modality, str(count), *cells])
    return f"{markdown(whole)}\n\n{markdown(parts)}"


def published_overall() -> str:
    """Formats table 2 as published."""
    rows = [["Model", "Resolution", *map(protocols.title, protocols.DEFAULT)]]
    for title, (side, values) in published.TABLE_2.items():
        rows.append([title, side, *(f"{value:.2f}" for value in values)])
    return markdown(rows)


def intervals(comparison: Comparison, results_by_key: AllResults) -> str:
    """Formats the 95 % intervals of table 2 over subjects."""
    rows = [["Model", *map(protocols.title, comparison.protocols)]]
    for title, method, setting in comparison.overall:
        results = results_by_key.get((method, setting))
        names = comparison.protocols
        rows.append([title, *(results.score(n).interval if results else DASH for n in names)])
    return markdown(rows)


def by_modality(comparison: Comparison, results_by_key: AllResults) -> str:
    """Formats the paper's table 3 at small scale: one point, and the gain by four more."""
    columns = [
        (title, results_by_key.get((method, setting)))
        for title, method, setting in comparison.by_modality
    ]
    rows = [["Modality", "Masks", *(title for title, _ in columns), "Published"]]
    parts = next((results.parts("by_modality") for _, results in columns if results), {})
    for modality, count in parts.items():
        cells = [_format_gain(results, modality) if results else DASH for _, results in columns]
        theirs = published.TABLE_3.get(modality, ())
        quoted = ", ".join(f"{one:.1f} ({more:+.1f})" for one, more in theirs) or DASH
        rows.append([modality, str(count), *cells, quoted])
    return markdown(rows)


def unseen(comparison: Comparison, results_by_key: AllResults) -> str:
    """Formats the paper's table 4 at small scale: datasets unseen in training."""
    columns = [
        (title, results_by_key.get((method, setting)))
        for title, method, setting in comparison.unseen
    ]
    names = (protocols.BOX, "1pt")
    head = [f"{title}, {protocols.title(name)}" for name in names for title, _ in columns]
    rows = [["Dataset", "Masks", *head, "Filled box"]]
    first = next((results for _, results in columns if results), None)
    if first is None:
        return markdown([*rows, ["all", *[DASH] * (len(head) + 2)]])
    parts = first.parts("by_dataset")
    every = {**{name: ("by_dataset", name) for name in parts}, "all": ("overall",)}
    for dataset, part in every.items():
        cells = [
            str(results.score(name, part=part)) if results else DASH
            for name in names
            for _, results in columns
        ]
        count = parts.get(dataset, sum(parts.values()))
        box = f"{first.score(FILLED_BOX, part=part).mean:.1f}"
        rows.append([dataset, str(count), *cells, box])
    return markdown(rows)


def published_unseen() -> str:
    """Formats the corrected table 4 as published."""
    rows = [["Model", "Bbox", "1 pt"]]
    rows += [
        [name, f"{box:.2f}", f"{point:.2f}"] for name, (box, point) in published.TABLE_4.items()
    ]
    return markdown(rows)


def ablations(comparison: Comparison, results_by_key: AllResults) -> str:
    """Formats the ablations: the score of our choice minus the alternative's, seed by seed."""
    rows = [["Question", "Ours", "Other", *map(protocols.title, comparison.protocols), "Mean"]]
    for one in comparison.ablations:
        ours, other = (
            results_by_key.get((one.base, "test")),
            results_by_key.get((one.method, "test")),
        )
        cells = [DASH] * (len(comparison.protocols) + 1)
        if ours and other:
            gains = [_differences(ours, other, name) for name in comparison.protocols]
            known = [by_seed for by_seed in gains if by_seed]  # Both take such prompts.
            means = [statistics.fmean(by_seed) for by_seed in zip(*known, strict=True)]
            cells = [_signed(by_seed) for by_seed in (*gains, means)]
        rows.append([one.question, one.ours, one.other, *cells])
    return markdown(rows)


def training_times(comparison: Comparison, results_by_key: AllResults) -> str:
    """Formats the training time of every method."""
    rows = [["Method", "Seeds", "Batches", "Minutes each"]]
    for name, method in comparison.methods.items():
        results = next(
            (results_by_key[name, t] for t in method.settings if (name, t) in results_by_key), None
        )
        if not method.stages or results is None:
            continue
        minutes = " ".join(f"{seconds / 60:.0f}" for seconds in results.training)
        runs = [stage.experiment.run for stage in method.stages]
        batches = " + ".join(str(run.steps or f"{run.epochs} epochs") for run in runs)
        rows.append([method.title, str(len(results.reports)), batches, minutes])
    return markdown(rows)


def _filled_box(comparison: Comparison, results_by_key: AllResults) -> list[str]:
    results = next(
        (results_by_key[m, t] for _, m, t in comparison.overall if (m, t) in results_by_key), None
    )
    baseline = f"{results.score(FILLED_BOX).mean:.1f}" if results else DASH
    return [baseline if name == protocols.BOX else DASH for name in comparison.protocols]


def _format_gain(results: MethodResults, modality: str) -> str:
    one, five = (results.score(n, part=("by_modality", modality)) for n in ("1pt", "5pt"))
    if math.isnan(one.mean + five.mean):
        return DASH
    return f"{one.mean:.1f} ({five.mean - one.mean:+.1f})"


def _differences(ours: MethodResults, other: MethodResults, protocol: str) -> list[float]:
    """Returns ours minus the other for every seed that both have."""
    one, two = ours.score(protocol).by_seed, other.score(protocol).by_seed
    return [one[seed] - two[seed] for seed in one if seed in two]


def _percent(results: MethodResults, protocol: str, part: Sequence[str] = ("overall",)) -> str:
    mean = results.score(protocol, part=part).mean
    return DASH if math.isnan(mean) else f"{mean:.2f}"


def _signed(values: Sequence[float]) -> str:
    if not values:
        return DASH
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):+.1f}{spread}"
