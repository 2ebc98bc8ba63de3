"""HTML elements as text; whatever is not HTML already is escaped."""

import base64
import html
from collections.abc import Iterable, Sequence

import numpy as np

from samjax import visualization


class Html(str):
    """Text that is HTML already."""


def element(tag: str, *children: str | None, **attributes: object) -> Html:
    """Returns an element.

    Args:
        tag: Its name.
        children: Elements, or text, which is escaped; None is left out.
        attributes: Attributes, escaped; `class_` for `class`, `_` for `-`; None is left out.
    """
    named = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    return Html(f"<{tag}{named}>{joined(children)}</{tag}>")


def joined(children: Iterable[str | None]) -> Html:
    """Returns elements and texts after each other; texts are escaped."""
    return Html(
        "".join(
            child if isinstance(child, Html) else html.escape(child, quote=False)
            for child in children
            if child is not None
        )
    )


def section(title: str, *children: str | None) -> Html | None:
    """Returns a section with a heading; None if it has no content."""
    content = [child for child in children if child]
    if not content:
        return None
    return element("section", element("h2", title), *content)


def table(rows: Sequence[Sequence[str]], caption: str, labels: int = 1) -> Html | None:
    """Returns a table that scrolls sideways on a narrow screen; None without rows.

    Args:
        rows: The head, then cells; the first cell of a row is its head.
        caption: Caption, also for those who do not see the page.
        labels: Number of first columns that are words; the others are numbers, or HTML.
    """
    if not rows:
        return None
    kinds = [
        None if i < labels or any(isinstance(row[i], Html) for row in rows[1:]) else "number"
        for i in range(len(rows[0]))
    ]
    head = (element("th", c, scope="col", class_=k) for c, k in zip(rows[0], kinds, strict=True))
    body = []
    for row in rows[1:]:
        cells = (element("td", c, class_=k) for c, k in zip(row[1:], kinds[1:], strict=True))
        body.append(element("tr", element("th", row[0], scope="row", title=row[0]), *cells))
    whole = element(
        "table",
        element("caption", element("span", caption)),
        element("thead", element("tr", *head)),
        element("tbody", *body),
    )
    # A region that scrolls must be reached with the keyboard.
    return element("div", whole, class_="scroll", tabindex=0, role="region", aria_label=caption)


def folded(summary: str, content: str | None, is_open: bool = False) -> Html | None:
    """Returns content that opens on a click; None without content."""
    if not content:
        return None
    opened = {"open": ""} if is_open else {}
    return element("details", element("summary", summary), content, **opened)


def note(text: str | None) -> Html | None:
    """Returns a paragraph of small text; None without text."""
    return element("p", text, class_="note") if text else None


def descriptions(items: Iterable[tuple[str, object]]) -> Html:
    """Returns a list of terms and their descriptions."""
    pairs = (
        element("div", element("dt", name), element("dd", str(value))) for name, value in items
    )
    return element("dl", *pairs)


def picture(image: np.ndarray, alternative: str) -> Html:
    """Returns a picture (h, w, 3) RGB uint8 that is part of the page."""
    encoded = base64.b64encode(visualization.encode_jpeg(image)).decode()
    source = f"data:image/jpeg;base64,{encoded}"
    height, width = image.shape[:2]
    size = f'width="{width}" height="{height}"'
    return Html(f'<img src="{source}" alt="{html.escape(alternative)}" {size}>')
