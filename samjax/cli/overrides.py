"""Overrides of a recipe's fields on the command line."""

import re
from collections.abc import Sequence

import ml_collections
from absl import flags
from ml_collections import config_flags

from samjax import fields, renames

_ILLEGAL = re.compile(r"flag --config\.([^=]+)=(.*?): ", re.DOTALL)


def apply(config: ml_collections.ConfigDict, overrides: Sequence[str]) -> None:
    """Sets fields of a config by `--config.FIELD=VALUE`, each with its type.

    Raises:
        ValueError: There is no such field (the message names near matches, or its new name), or a
            value is not of its type.
    """
    renames.check_names(paths(overrides))
    values, words = flags.FlagValues(), ["", *overrides]
    try:
        config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=words)
        values(words)
    except flags.IllegalFlagValueError as error:
        if not (found := _ILLEGAL.match(str(error))):
            raise ValueError(str(error)) from error
        path, value = found.groups()
        expected = fields.type_name(_type(config, path))
        raise ValueError(f"{path}: expected {expected}, found {value!r}") from error
    except flags.Error as error:
        raise ValueError(str(error)) from error
    except (AttributeError, KeyError) as error:
        reason: object = error
        while isinstance(reason, Exception):  # One wraps the other.
            reason = reason.args[0]
        raise ValueError(f"no such field in the config: {reason}") from error


def paths(overrides: Sequence[str]) -> list[str]:
    """Returns the dotted names of the fields that the command line sets."""
    flags_set = (word.lstrip("-").partition("=")[0] for word in overrides)
    return [flag.removeprefix("config.") for flag in flags_set]


def _type(config: ml_collections.ConfigDict, path: str) -> type:
    """Returns the type of a field, also of one that is None."""
    *sections, name = path.split(".")
    for section in sections:
        config = config[section]
    return config.get_type(name)
