"""The argument parser of every command: argparse, with advice on misspelled flags."""

import argparse
import difflib
import itertools
from collections.abc import Iterable, Sequence
from typing import Any

_RENAMED = {"--allow-surprises": "--no-strict", "--oracle": "--select score oracle"}


class Parser(argparse.ArgumentParser):
    """Parses a command line; collects `--config.FIELD=VALUE` where a command has a recipe."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, allow_abbrev=False, **kwargs)
        self._takes_overrides = False

    def take_overrides(self) -> None:
        """Adds `overrides` to the parsed arguments: all `--config.FIELD=VALUE`, in order."""
        self._takes_overrides = True
        self.add_argument_group(
            "fields of the recipe",
            "--config.FIELD=VALUE, such as --config.optim.learning_rate=3e-4; "
            "`samjax config RECIPE` shows them all",
        )

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parses as argparse does; the error for an unknown flag names similar ones."""
        overrides: list[str] = []
        if self._takes_overrides:
            args, overrides = _without_overrides(args or [])
        self._check_former_spellings(args or [])
        found, unknown = super().parse_known_args(args, namespace)
        if self._takes_overrides:
            found.overrides = overrides
        for word in unknown:
            if word.startswith("--"):
                self.error(self._unknown(word.split("=")[0]))
        return found, unknown

    def _check_former_spellings(self, words: Sequence[str]) -> None:
        """Ends with an error for a flag, or several values of one, as earlier versions spelled it.

        It comes before argparse's own errors: a flag that is missing may be the misspelled one.
        """
        for word, following in itertools.pairwise([*words, ""]):
            if word == "--":
                return
            flag, equals, value = word.partition("=")
            if not flag.startswith("--"):
                continue
            if action := self._option_string_actions.get(flag):
                value = value if equals else following
                if value.count(",") > 0 and value.count(",") + 1 == action.nargs:
                    spaced = " ".join(value.replace(",", " ").split())
                    self.error(
                        f"{flag}: expected {action.nargs} values with spaces between them, "
                        f"found {value!r}: {flag} {spaced}"
                    )
                continue
            spelled = flag.replace("_", "-")
            for new in (_RENAMED.get(flag, ""), spelled, spelled.replace("--no", "--no-", 1)):
                if new.partition(" ")[0] in self._option_string_actions:
                    self.error(f"{flag}: expected the new spelling {new}")

    def _unknown(self, flag: str) -> str:
        known = [name for name in self._option_string_actions if name.startswith("--")]
        near = difflib.get_close_matches(flag.replace("_", "-"), known, n=1)
        return f"no such flag: {flag}" + "".join(f", perhaps {name}" for name in near)


def flag(field: str) -> str:
    """Returns the flag of a field, such as `--batch-size`."""
    return "--" + field.replace("_", "-")


def name_in_list(text: str) -> str:
    """Returns a name of a list; one with commas is an error."""
    if "," in text:
        raise argparse.ArgumentTypeError(
            f"expected names with spaces between them, found {text!r}: {text.replace(',', ' ')}"
        )
    return text


def specified(
    arguments: argparse.Namespace, names: Iterable[str], prefix: str = ""
) -> dict[str, Any]:
    """Returns the settings, by name, that the command line specifies.

    Args:
        arguments: The parsed arguments, None where a flag is missing.
        names: Names of settings.
        prefix: Prefix of the names among the arguments.
    """
    values = {name: getattr(arguments, prefix + name, None) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def _without_overrides(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Separates a command line into other words and those of the form `--config.FIELD=VALUE`."""
    plain: list[str] = []
    overrides: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith(("--config.", "--noconfig.")):
            plain.append(word)
        elif word.startswith("--config.") and "=" not in word and rest and rest[0][:2] != "--":
            overrides.append(f"{word}={rest.pop(0)}")
        else:
            overrides.append(word)
    return plain, overrides
