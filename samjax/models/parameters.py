"""Names and counts of parameters."""

import math
import re
from collections.abc import Iterator

import jax

from samjax.types import Params

# Buffers: loaded, never trained.
CONSTANT = r".*/(positional_encoding_gaussian_matrix|bn/(mean|var))"


def named_leaves(params: Params) -> Iterator[tuple[str, jax.Array]]:
    """Yields (`a/b/c`, leaf) for every parameter, in tree order."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        yield "/".join(key.key for key in path), leaf


def count_parameters(params: Params) -> int:
    """Counts parameters, without constants; takes arrays or shapes."""
    return sum(_count(name, leaf.shape) for name, leaf in named_leaves(params))


def parameter_overview(params: Params, depth: int = 2) -> str:
    """Returns a table of parameter counts by the first `depth` parts of their names."""
    groups: dict[str, int] = {}
    for name, leaf in named_leaves(params):
        group = "/".join(name.split("/")[:depth])
        groups[group] = groups.get(group, 0) + _count(name, leaf.shape)
    width = max(len(group) for group in groups)
    rows = [f"{group:<{width}}  {count:>13,}" for group, count in groups.items()]
    return "\n".join([*rows, f"{'total':<{width}}  {count_parameters(params):>13,}"])


def _count(name: str, shape: tuple[int, ...]) -> int:
    return 0 if re.fullmatch(CONSTANT, name) else math.prod(shape)
