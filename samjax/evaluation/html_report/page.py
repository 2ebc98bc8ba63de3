"""The page: every section from the content of `report.json`, then pictures of single masks."""

import importlib.resources
from collections.abc import Mapping, Sequence

from samjax.evaluation import figures, protocols, report_rows, summary
from samjax.evaluation.figures import DrawnCase
from samjax.evaluation.html_report import cases, scores
from samjax.evaluation.html_report.elements import (
    Html,
    descriptions,
    element,
    folded,
    joined,
    note,
    section,
    table,
)
from samjax.evaluation.report_rows import Content, Rows
from samjax.evaluation.results import Evaluation

# Nothing is loaded and no script runs, whatever a name in the data may contain.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_MANY = 15  # Rows of a table that is folded.
_WORST = 20  # Masks in the table of the lowest Dice.


def page(
    content: Content,
    evaluation: Evaluation,
    drawn: Mapping[str, Sequence[DrawnCase]] | None = None,
) -> str:
    """Returns the report as one HTML file without links to others.

    Args:
        content: Content of `report.json`.
        evaluation: The evaluation, for its worst masks.
        drawn: Pictures of masks, see `samjax.evaluation.figures.cases`; none without.
    """
    worst = figures.best_median_worst(evaluation, _WORST)["worst"]
    sections: dict[str, Html | None] = {
        "Scores": scores.overall(content),
        "Curves over clicks": scores.curves(content, evaluation.results),
        "Predicted IoU": scores.calibration(content),
        "Moved prompts": scores.robustness(content),
        "Parts of the data": _parts(content),
        "Whole volumes": _volumes(content),
        "Uncertainty of ensembles": _uncertainty(content),
        "Classes": _classes(content),
        "Single masks": section(
            "Single masks",
            cases.pictures(drawn or {}),
            cases.worst(worst, evaluation.config.protocols),
        ),
        "Settings and conventions": _settings(content),
    }
    shown = {name: one for name, one in sections.items() if one}
    links = (element("a", name, href=f"#{_anchor(name)}") for name in shown)
    body = element(
        "main",
        _header(content, element("nav", *links, aria_label="Sections")),
        *(element("div", one, id=_anchor(name)) for name, one in shown.items()),
    )
    style = (
        importlib.resources.files("samjax.evaluation.html_report").joinpath("style.css").read_text()
    )
    head = joined(
        [
            Html('<meta charset="utf-8">'),
            Html(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
            Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            element("title", f"{content['model']}: evaluation"),
            element("style", Html(style)),
        ]
    )
    whole = element("html", element("head", head), element("body", body), lang="en")
    return f"<!doctype html>\n{whole}\n"


def _header(content: Content, links: Html) -> Html:
    count, means = content["count"], content["overall"]
    config = content["config"]
    adapters = "adapters included" if config["adapters"] else "adapters dropped"
    facts = [
        (f"{100 * means[name]['dice']:.1f} %", f"Dice, {protocols.title(name)}")
        for name in config["protocols"][:3]
    ]
    facts += [(f"{count[n]:,}", n) for n in ("masks", "images", "subjects")]
    if count["skipped"]:
        facts.append((f"{count['skipped']:,}", "masks skipped"))
    where = [content[name] for name in ("checkpoint", "data", "split") if name in content]
    return element(
        "header",
        element("h1", content["model"]),
        note(" · ".join(map(str, where))) if where else None,
        element(
            "p",
            f"Scores at the original resolution of the images; network input "
            f"{content['image_size']} x {content['image_size']} pixels, {adapters}.",
        ),
        element(
            "ul",
            *(element("li", element("b", value), element("span", name)) for value, name in facts),
            class_="facts",
        ),
        links,
    )


def _parts(content: Content) -> Html | None:
    tables = []
    for part in summary.PARTS:
        rows = _without_empty(report_rows.parts(content, part))
        title = f"By {part.removeprefix('by_')}"
        if len(rows) > 1:
            found = table(rows, f"Dice (%) {title.lower()}")
            opened = part == "by_modality" or len(rows) <= _MANY
            tables.append(folded(f"{title}: {len(rows) - 1}", found, opened))
    told = "gap: Dice that the truth would add as a judge of the candidates."
    has_gap = any(
        "oracle_gap" in content["overall"].get(name, {}) for name in content["config"]["protocols"]
    )
    return section("Parts of the data", note(told) if has_gap else None, *tables)


def _volumes(content: Content) -> Html | None:
    rows = report_rows.volumes(content)
    told = note(report_rows.volumes_note(content)) if rows else None
    return section("Whole volumes", table(rows, "Means over objects of volumes"), told)


def _uncertainty(content: Content) -> Html | None:
    rows = report_rows.uncertainty(content)
    told = note(report_rows.UNCERTAINTY) if rows else None
    return section("Uncertainty of ensembles", table(rows, "Entropy as a sign of errors"), told)


def _classes(content: Content) -> Html | None:
    rows = report_rows.classes(content)
    told = note(report_rows.classes_note(content)) if rows else None
    return section("Classes", table(rows, "Classes of the model"), told)


def _settings(content: Content) -> Html | None:
    known = {n: content[n] for n in ("checkpoint", "data", "split", "seed") if n in content}
    run = content.get("run", {})
    digests = {f"digest of {n}": run[n] for n in ("model", "data", "prompts") if n in run}
    settings = {
        name: ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
        for name, value in content["config"].items()
    }
    speed = {f"images/s, {name}": f"{fps:.1f}" for name, fps in content["fps"].items()}
    lost = {**content["skipped"], **content.get("bad", {})}
    return section(
        "Settings and conventions",
        descriptions(content["conventions"].items()),
        folded("Settings", descriptions({**known, **digests, **settings, **speed}.items())),
        folded(f"Files left out: {len(lost)}", descriptions(lost.items())) if lost else None,
    )


def _without_empty(rows: Rows) -> Rows:
    """Returns the rows without columns that have a dash in every row."""
    kept = [i for i in range(len(rows[0])) if {row[i] for row in rows[1:]} != {"-"}]
    return [[row[i] for i in kept] for row in rows]


def _anchor(name: str) -> str:
    return name.lower().replace(",", "").replace(" ", "-")
