"""The documentation: links lead somewhere, lines are short, every page has one title."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
LONGEST = 120
MADE = {"results.md", "cosmos.md"}  # Tables made by programs, as wide as what they compare.
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)", re.MULTILINE)
HEADING = re.compile(r"^(#+) (.+)", re.MULTILINE)


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub names them in links."""
    headings = (title.lower() for _, title in HEADING.findall(prose(page)))
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in headings}


def links(page: Path) -> list[str]:
    return [inline or named for inline, named in LINK.findall(prose(page))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page):
    for link in links(page):
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_lines_are_short(page):
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        made = page.name in MADE and line.startswith("|")
        assert made or len(line) <= LONGEST, f"{page.name}:{number}: {len(line)} columns"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_has_one_title(page):
    titles = [title for level, title in HEADING.findall(prose(page)) if level == "#"]
    assert len(titles) == 1, f"{page.name}: {titles}"


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/*.md")), ids=lambda page: page.name)
def test_the_index_leads_to_every_page(page):
    index = ROOT / "docs/index.md"
    assert page == index or page.name in {link.partition("#")[0] for link in links(index)}
