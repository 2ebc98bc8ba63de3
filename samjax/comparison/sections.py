"""Pages whose generated sections stand within text that is written by hand.

A section is `<!-- name -->` ... `<!-- /name -->`. Its content is replaced, and the text around it
is kept.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from samjax.data.files import write_whole

_SECTION = "<!-- {0} -->\n{1}\n<!-- /{0} -->"


def section(name: str, content: str = "") -> str:
    """Returns a section for a new page."""
    return _SECTION.format(name, content)


def fill(page: Path, contents: Mapping[str, str], blank: str) -> list[str]:
    """Writes the sections of a page that it has.

    Args:
        page: The Markdown file, made if absent.
        contents: Content of the sections by name.
        blank: Text of a new page, with empty sections.

    Returns:
        Names of the sections written.

    Raises:
        ValueError: The page has none of the sections.
    """
    text = page.read_text(encoding="utf-8") if page.exists() else blank
    written = []
    for name, content in contents.items():
        found = re.compile(
            rf"<!-- {re.escape(name)} -->\n.*?<!-- /{re.escape(name)} -->", re.DOTALL
        )
        if found.search(text):
            text = found.sub(lambda _, n=name, c=content: section(n, c), text)
            written.append(name)
    if not written:
        name = next(iter(contents), "")
        raise ValueError(f"{page}: expected a section such as <!-- {name} -->, found none")
    page.parent.mkdir(parents=True, exist_ok=True)
    write_whole(page, text.encode())
    return written
