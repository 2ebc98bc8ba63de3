"""Parameter groups: every parameter belongs to exactly one of them, which its module declares.

Each group has its own optimizer state, so that a group that takes no part in an update keeps value,
moments and count bit for bit. (Zero gradients in one optimizer over all parameters would not do:
momentum would still change them.)
"""

import re
from collections.abc import Iterable
from typing import Any

from flax import traverse_util

from samjax import models
from samjax.models.config import SamConfig
from samjax.types import Params

PROMPT_GROUPS = ("points", "boxes", "no_mask", "masks")

Group = dict[str, Any]  # Flat: `a/b/c` -> parameter, or its shape.
Groups = dict[str, Group]


def split(config: SamConfig, params: Params) -> Groups:
    """Splits parameters into their groups; empty groups are left out.

    Args:
        config: Architecture.
        params: Its parameters, or some of them.

    Raises:
        ValueError: The network does not have a parameter.
    """
    declared, groups = models.declarations(config), {}
    for path, value in models.named_leaves(params):
        if path not in declared:
            raise ValueError(f"parameter {path}: expected one that the architecture has")
        groups.setdefault(declared[path].group, {})[path] = value
    return groups


def merge(groups: Groups) -> Params:
    """Joins groups into nested parameters; the inverse of `split`."""
    flat = {path: value for group in groups.values() for path, value in group.items()}
    return traverse_util.unflatten_dict(flat, sep="/")


def pick(groups: Groups, names: Iterable[str], without: str = "") -> Groups:
    """Selects groups by name; names that the network does not have are left out.

    Args:
        groups: Groups of a network.
        names: Names to select.
        without: Regular expression of paths to leave out; empty for none.
    """
    return {
        name: {
            path: value for path, value in groups[name].items() if not re.fullmatch(without, path)
        }
        for name in names
        if name in groups
    }


def override(groups: Groups, part: Groups) -> Groups:
    """Returns the groups with the parameters of `part` in place of theirs."""
    return {name: {**group, **part.get(name, {})} for name, group in groups.items()}
