"""Names and docstrings: one class of a name, and first lines that say what a thing does."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path
    for folder in ("samjax", "configs", "convert", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
)
RIDDLE = re.compile(r"(What|Which|How|Who|Whose|When|Where|Why)\b")
ENTRY = re.compile(r"^ *\*{0,2}\w+: (?:What|Which|How|Who|Whose|Why)\b.*", re.MULTILINE)
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef


def docstrings(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, DOCUMENTED) and (text := ast.get_docstring(node)):
            yield text


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_docstrings_say_what_a_thing_does(path):
    """Neither a first line nor the description of a parameter begins as a question does."""
    for text in docstrings(path):
        assert not RIDDLE.match(text), text.partition("\n")[0]
        assert not ENTRY.search(text), ENTRY.search(text)


def test_no_class_name_stands_twice():
    names = Counter(
        node.name
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in names.items() if count > 1] == []
