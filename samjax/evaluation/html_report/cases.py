"""Single masks: pictures of the best, median and worst, and a table of the worst."""

from collections.abc import Mapping, Sequence

from samjax.evaluation import protocols
from samjax.evaluation.figures import DrawnCase
from samjax.evaluation.html_report.elements import Html, element, folded, joined, picture, table
from samjax.evaluation.results import MaskResult

_TITLES = {"worst": "Worst", "median": "Median", "best": "Best"}


def pictures(drawn: Mapping[str, Sequence[DrawnCase]]) -> Html | None:
    """Returns pictures of masks, the worst first; None without any."""
    parts = []
    for part in sorted(drawn, key=[*_TITLES, *drawn].index):
        cases = joined(map(_case, drawn[part]))
        parts.append(folded(_TITLES.get(part, part), cases, is_open=part == "worst"))
    if not parts:
        return None
    key = [
        element("i", class_="is-truth"),
        "truth",
        element("i", class_="is-prediction"),
        "prediction",
        element("i", class_="is-box"),
        "box prompt; numbers are Dice",
    ]
    of_prompts = any(case.title for cases in drawn.values() for case in cases)
    return joined([element("p", *key, class_="key note") if of_prompts else None, *parts])


def worst(results: Sequence[MaskResult], names: Sequence[str]) -> Html | None:
    """Returns a table of masks with the Dice of every protocol."""
    heads = ["Mask", "Class", "Modality", "Dataset", "Pixels"]
    rows = [[*heads, *(f"{protocols.title(name)} (%)" for name in names)]]
    for result in results:
        metadata = result.metadata
        dice = (f"{100 * result.scores[name].dice:.2f}" for name in names)
        words = metadata.class_name, metadata.modality, metadata.dataset
        rows.append([result.mask, *words, f"{result.area:,}", *dice])
    caption = f"The {len(results)} masks of the lowest mean Dice"
    return folded(caption, table(rows, caption, labels=4))


def _case(case: DrawnCase) -> Html:
    panels = [
        element(
            "figure",
            picture(panel.picture, f"{case.title} {panel.label}"),
            element("figcaption", panel.label) if panel.label else None,
        )
        for panel in case.panels
    ]
    kind = "panels" if len(panels) > 1 else "panels whole"
    title = element("h3", case.title) if case.title else None
    return element("article", title, element("div", *panels, class_=kind), class_="case")
