"""The page of results: tables and figures, set into a page between words that people write.

The page has places `<!-- name -->` ... `<!-- /name -->`. All that stands within one is replaced,
all that stands around them is kept. A page that does not exist yet gets every place.
"""

import logging
import re
from collections.abc import Callable
from pathlib import Path

from samjax.comparison import figures, reports, tables
from samjax.comparison.plan import Comparison
from samjax.data.files import write_whole

_log = logging.getLogger(__name__)

_PLACE = "<!-- {0} -->\n{1}\n<!-- /{0} -->"


def write(comparison: Comparison, workdir: Path, page: Path) -> list[str]:
    """Writes or refreshes the page and its figures.

    Args:
        comparison: The comparison.
        workdir: Its folder, with the reports.
        page: The Markdown file; figures go beside it, into a folder of the same name.

    Returns:
        Names of the places drawn.

    Raises:
        ValueError: There is no report, or the page has none of the places.
    """
    found = reports.load(comparison, workdir)
    if not found:
        raise ValueError(f"{workdir}: expected reports of the comparison, found none")
    contents = {name: draw(comparison, found) for name, draw in _TABLES.items()}
    contents["general"] = tables.general(comparison, reports.load_general(comparison, workdir))
    contents |= _figures(comparison, found, page)
    text = page.read_text() if page.exists() else _blank(contents)
    drawn = []
    for name, content in contents.items():
        place = re.compile(rf"<!-- {name} -->\n.*?<!-- /{name} -->", re.DOTALL)
        if place.search(text):
            text = place.sub(lambda _, n=name, c=content: _PLACE.format(n, c), text)
            drawn.append(name)
    if not drawn:
        raise ValueError(f"{page}: expected a place such as <!-- overall -->, found none")
    page.parent.mkdir(parents=True, exist_ok=True)
    write_whole(page, text.encode())
    return drawn


_TABLES: dict[str, Callable[[Comparison, tables.All], str]] = {
    "overall": tables.overall,
    "oracle": lambda comparison, found: tables.overall(comparison, found, "dice_oracle"),
    "intervals": tables.intervals,
    "published overall": lambda comparison, found: tables.published_overall(),
    "by modality": tables.by_modality,
    "unseen": tables.unseen,
    "published unseen": lambda comparison, found: tables.published_unseen(),
    "ablations": tables.ablations,
    "training times": tables.training_times,
}


def _figures(comparison: Comparison, found: tables.All, page: Path) -> dict[str, str]:
    """Draws the figures that there are results for; returns the Markdown that shows each.

    Those of predicted masks need models and data, too; where these are not there, the page keeps
    the figures that it has.
    """
    folder = page.with_suffix("")
    shown = {
        title: found[method, setting]
        for title, method, setting in comparison.by_modality
        if (method, setting) in found
    }
    if not shown:
        return {}
    titles = [*shown]
    two = {title: shown[title] for title in titles[-2:]}
    ends = {title: shown[title] for title in (titles[0], titles[-1])}
    drawn: dict[str, tuple[str, Callable[[Path], None]]] = {
        "bars": ("bars.png", lambda path: figures.bars(shown, path)),
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


def _blank(contents: dict[str, str]) -> str:
    places = [f"## {name.capitalize()}\n\n{_PLACE.format(name, '')}" for name in contents]
    return "# Results\n\n" + "\n\n".join(places) + "\n"
