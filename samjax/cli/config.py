"""`samjax config`: shows every setting of a training run, as text, JSON or Markdown."""

import argparse
import json
import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING

from samjax.cli.parser import Parser

if TYPE_CHECKING:
    from samjax.training.describe import FieldRow, Section

_HEAD = """# Settings

Every setting of a training run, made by `samjax config --markdown > docs/config.md` from the
docstrings of the classes that hold them. Each is set on the command line as `--config.PATH=VALUE`,
such as `--config.optim.learning_rate=3e-4`, or in a recipe. Values here are the defaults;
`samjax config RECIPE` shows a recipe's, and marks those that differ.
"""
_TEXT_WIDTH, _PAGE_WIDTH = 100, 118


def add_arguments(parser: Parser) -> None:
    """Adds the command's arguments."""
    parser.set_defaults(run=run)
    parser.description = (
        "Shows every setting of a training run: path, value, type, choices, default, meaning. "
        "A * marks values that differ from the default."
    )
    parser.add_argument(
        "recipe",
        nargs="?",
        help="a name such as sam_med2d or general:fine, or a Python file; default: the defaults",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="a list of objects, one for each field")
    form.add_argument("--markdown", action="store_true", help="a page, as docs/config.md")
    parser.take_overrides()


def run(arguments: argparse.Namespace) -> None:
    """Prints the settings."""
    from samjax import recipes
    from samjax.cli import overrides
    from samjax.training import config as training_config
    from samjax.training import describe

    default = training_config.Experiment()
    config = (
        recipes.load(arguments.recipe)
        if arguments.recipe
        else training_config.to_config_dict(default).lock()
    )
    overrides.apply(config, arguments.overrides)
    sections = [*describe.sections(training_config.from_config_dict(config), default)]
    form = as_json if arguments.json else as_markdown if arguments.markdown else as_text
    print(form(sections))


def as_text(sections: Iterable["Section"]) -> str:
    """Returns the settings for a terminal; a star marks values that differ from the default."""
    lines = []
    for section in sections:
        lines += ["", f"{section.path or 'top level'}: {section.meaning}", ""]
        for row in section.rows:
            about = [_kind(row), f"default {row.default!r}"] if row.changed else [_kind(row)]
            mark = "*" if row.changed else " "
            lines.append(f"{mark} {row.path} = {row.value!r}  ({'; '.join(about)})")
            lines += _wrapped(row.meaning, _TEXT_WIDTH, "      ", "      ")
    return "\n".join(lines[1:])


def as_markdown(sections: Iterable["Section"]) -> str:
    """Returns the settings as a page; values that differ from the default are bold."""
    lines = [_HEAD]
    for section in sections:
        lines += [f"## `{section.path}`" if section.path else "## Top level", ""]
        lines += [*_wrapped(section.meaning, _PAGE_WIDTH), ""]
        for row in section.rows:
            value = f"`{row.value!r}`"
            if row.changed:
                value = f"**{value}** (default `{row.default!r}`)"
            entry = f"- `{row.path}` = {value}, {_kind(row)}. {row.meaning}"
            lines += _wrapped(entry, _PAGE_WIDTH, after="  ")
        lines.append("")
    return "\n".join(lines).rstrip("\n")


def as_json(sections: Iterable["Section"]) -> str:
    """Returns the settings as a JSON list of objects, in the order of the text."""
    rows = [{**vars(row), "differs": row.changed} for section in sections for row in section.rows]
    return json.dumps(rows, indent=2)


def _kind(row: "FieldRow") -> str:
    return ", ".join(filter(None, (row.type, row.allowed)))


def _wrapped(text: str, width: int, first: str = "", after: str = "") -> list[str]:
    """Wraps a text into lines, with a prefix of the first and one of all others."""
    form = textwrap.TextWrapper(
        width,
        initial_indent=first,
        subsequent_indent=after,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return form.wrap(text)
