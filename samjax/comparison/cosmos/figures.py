"""Figures of a study: Dice over clicks, and over the distance by which prompts are moved."""

from pathlib import Path

import numpy as np

from samjax.comparison.cosmos import results, tables
from samjax.comparison.cosmos.results import StudyResults
from samjax.comparison.figures import figure_class

_DPI = 90


def clicks(found: StudyResults, path: Path) -> None:
    """Draws the mean Dice after every click, beside that of the box."""
    figure = figure_class()((5.2, 3.2), layout="constrained")
    axis = figure.subplots()
    for model in found.models.values():
        if (table := model.tables.get("clicks")) is None:
            continue
        curve = 100 * table.steps("noc", "dice")[:, : found.study.clicks]
        ends = [results.mean_of(column, table) for column in curve.T]
        count = np.arange(1, len(ends) + 1)
        (line,) = axis.plot(count, [end.value for end in ends], label=f"{model.name}, clicks")
        if ends[0].low is not None:
            bounds = [end.low for end in ends], [end.high for end in ends]
            axis.fill_between(count, *bounds, color=line.get_color(), alpha=0.15, linewidth=0)
        if "S5" in model.strategies.protocols:
            box = model.dice("S5", "score").value
            label = f"{model.name}, box"
            axis.axhline(box, color=line.get_color(), linestyle=":", label=label)
    axis.set_xlabel("Clicks")
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.set_ylabel("Dice (%)")
    axis.legend(fontsize=7)
    figure.savefig(path, dpi=_DPI)


def jitter(found: StudyResults, path: Path) -> None:
    """Draws the mean Dice of the first model by the distance of random moves."""
    model = found.first
    figure = figure_class()((7.2, 3.2), layout="constrained")
    levels = ("0", *found.study.jitter)
    axes = figure.subplots(1, 2, sharey=True)
    for axis, select in zip(axes, results.SELECTS, strict=True):
        for move in tables.moves(found, model):
            table = model.tables["jitter"]
            still = model.dice(move.strategy, select).value
            moved = [
                results.mean_of(results.dice(table, name, select), table).value
                for name in move.protocols.values()
            ]
            label = f"{move.strategy}, {move.title}"
            axis.plot(levels, [still, *moved], marker=".", label=label)
        axis.set_title(f"{model.name}, by {select}", fontsize=9)
        axis.set_xlabel("Moved by")
    axes[0].set_ylabel("Dice (%)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper", fontsize=7)
    figure.savefig(path, dpi=_DPI)
