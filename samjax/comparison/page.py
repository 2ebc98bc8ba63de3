"""The page of results: generated tables and figures within a page written by hand.

See `samjax.comparison.sections`. A new page gets every section.
"""

import logging
from collections.abc import Callable
from pathlib import Path

from samjax.comparison import figures, method_tables, reports, sections, tables
from samjax.comparison.plan import Comparison

_log = logging.getLogger(__name__)


def write(comparison: Comparison, workdir: Path, page: Path) -> list[str]:
    """Writes or refreshes the page and its figures.

    Args:
        comparison: The comparison.
        workdir: The comparison's folder, with the reports.
        page: The Markdown file; figures go into a folder of the same name beside it.

    Returns:
        Names of the sections written.

    Raises:
        ValueError: There is no report, or the page has none of the sections.
    """
    results = reports.load(comparison, workdir)
    if not results:
        raise ValueError(f"{workdir}: expected reports of the comparison, found none")
    if comparison.side_by_side:
        contents = method_tables.contents(comparison, results, workdir)
        contents |= _methods_figure(comparison, results, page)
    else:
        contents = {name: draw(comparison, results) for name, draw in _TABLES.items()}
        contents["general"] = tables.general(comparison, reports.load_general(comparison, workdir))
        contents |= _figures(comparison, results, page)
    return sections.fill(page, contents, _blank(contents))


_TABLES: dict[str, Callable[[Comparison, tables.AllResults], str]] = {
    "overall": tables.overall,
    "oracle": lambda comparison, results: tables.overall(comparison, results, "dice_oracle"),
    "intervals": tables.intervals,
    "published overall": lambda comparison, results: tables.published_overall(),
    "by modality": tables.by_modality,
    "unseen": tables.unseen,
    "published unseen": lambda comparison, results: tables.published_unseen(),
    "ablations": tables.ablations,
    "training times": tables.training_times,
}


def _figures(comparison: Comparison, results: tables.AllResults, page: Path) -> dict[str, str]:
    """Draws the figures for which there are results; returns the Markdown of each.

    Figures of predicted masks also need models and data. Without these, the page keeps its present
    figures.
    """
    folder = page.with_suffix("")
    selected = {
        title: results[method, setting]
        for title, method, setting in comparison.by_modality
        if (method, setting) in results
    }
    if not selected:
        return {}
    titles = [*selected]
    two = {title: selected[title] for title in titles[-2:]}
    ends = {title: selected[title] for title in (titles[0], titles[-1])}
    drawn: dict[str, tuple[str, Callable[[Path], None]]] = {
        "bars": ("bars.png", lambda path: figures.bars(selected, path)),
        "classes": ("classes.png", lambda path: figures.classes(two, path)),
    }
    if missing := figures.missing(ends, comparison.data):
        _log.warning("figures prompts, fused: not drawn, as %s is not there", missing[0])
    else:
        drawn |= {
            "prompts": (
                "prompts.jpg",
                lambda path: figures.prompts_grid(ends, comparison.data, path),
            ),
            "fused": ("fused.jpg", lambda path: figures.fused(ends, comparison.data, path)),
        }
    folder.mkdir(parents=True, exist_ok=True)
    links = {}
    for name, (file, draw) in drawn.items():
        draw(folder / file)
        links[f"figure {name}"] = f"![{name}]({folder.name}/{file})"
    return links


def _methods_figure(
    comparison: Comparison, results: tables.AllResults, page: Path
) -> dict[str, str]:
    """Draws the masks of all methods side by side; returns the Markdown of the figure.

    Without models and data, the page keeps its present figure.
    """
    shown = {
        title: results[method, setting]
        for title, method, setting in comparison.side_by_side
        if (method, setting) in results
    }
    if missing := figures.missing(shown, comparison.data):
        _log.warning("figure methods: not drawn, as %s is not there", missing[0])
        return {}
    path = page.with_suffix("") / "methods.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    names = {title: method_tables.main_protocol(one.reports[0]) for title, one in shown.items()}
    figures.methods_grid(shown, names, comparison.data, path)
    return {"figure methods": f"![methods]({path.parent.name}/{path.name})"}


def _blank(contents: dict[str, str]) -> str:
    parts = [f"## {name.capitalize()}\n\n{sections.section(name)}" for name in contents]
    return "# Results\n\n" + "\n\n".join(parts) + "\n"
