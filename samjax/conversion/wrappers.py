"""Unwrapping of state dicts: nested dicts, and prefixes of names, as training code adds them."""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

# Keys under which a file holds its state dict; any may lie within another.
WRAPPERS = (
    *("model", "state_dict", "model_state_dict", "model_state", "model_weights"),
    *("network", "network_weights", "net", "module", "sam", "weights", "params", "checkpoint"),
    *("network_state_dict", "net_state_dict", "sam_state_dict"),
)
# Keys of averaged weights, which are read only where there are no others.
_AVERAGES = ("ema", "model_ema", "ema_model", "state_dict_ema", "ema_state_dict", "params_ema")
AVERAGE = "averaged weights beside the others; to take them, save them alone"
_ANYWHERE = ("_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
# Prefixes of a network's parts: names that training code gives the network.
_IN_FRONT = (
    *("model", "sam", "net", "network", "sam_model", "segmentor", "backbone", "state_dict"),
    *("ema", "model_ema", "ema_model"),
    *_ANYWHERE,
)
_PARTS = "image_encoder|vision_encoder|prompt_encoder|mask_decoder"
_MAX_LISTED = 6  # Keys in a message.


def unwrap(
    content: dict[Any, Any],
) -> tuple[dict[Any, Any], tuple[str, ...], dict[str, str]]:
    """Finds the state dict in what a file holds.

    Args:
        content: The file's outermost dict.

    Returns:
        The state dict, the keys that it lies under from the outermost in, and the reasons why
        other entries are ignored.

    Raises:
        ValueError: Two state dicts lie beside each other.
    """
    under: list[str] = []
    beside: dict[str, str] = {}
    while inside := _inside(content, WRAPPERS) or _inside(content, _AVERAGES):
        filled = [key for key in inside if content[key]]
        if len(filled) > 1:
            raise ValueError(
                f"expected one state dict, found several, under {' and '.join(filled)}; "
                "save the one that you mean alone"
            )
        chosen = (filled or inside)[0]
        averages = _inside(content, _AVERAGES)
        beside |= {
            _name(key): AVERAGE if key in averages else "beside the state dict"
            for key in content
            if key != chosen
        }
        under.append(chosen)
        content = content[chosen]
    return content, tuple(under), beside


def unknown_layout(content: Mapping[Any, Any], describe: Callable[[object], str]) -> str:
    """Describes what was found in place of a state dict, and names the nearest known layout."""
    entries = [f"{_name(key)!r}: {describe(value)}" for key, value in content.items()]
    names = [_name(key) for key, value in content.items() if isinstance(value, dict)]
    near = [
        (name, known) for name in names for known in difflib.get_close_matches(name, WRAPPERS, 1)
    ]
    found = near[0] if near else (names[0], WRAPPERS[1]) if names else None
    advice = f"; the nearest is {{{found[1]!r}: ...}} for the dict in {found[0]!r}" if found else ""
    return (
        f"expected a state dict or one under a known key ({', '.join(WRAPPERS)}), "
        f"found the keys {_few(entries)}{advice}"
    )


def strip(names: Iterable[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Removes known prefixes: those of wrapped modules, and a network's name within another.

    Args:
        names: The file's names of its tensors.

    Returns:
        The bare name of each tensor, and the prefixes that were removed.

    Raises:
        ValueError: There are two networks, each under its own prefix.
    """
    bare = {name: _without_modules(name) for name in names}
    heads = {
        found[1]
        for name in bare.values()
        if (found := re.match(rf"((?:\w+\.)*?)(?:{_PARTS})\.", name))
    }
    known = {head for head in heads if set(head.split(".")[:-1]) <= set(_IN_FRONT)}
    if len(known) > 1:
        raise ValueError(
            f"expected one network, found several, under the prefixes {', '.join(sorted(known))}"
        )
    head = known.pop() if known else ""
    stripped = {name: each.removeprefix(head) for name, each in bare.items()}
    taken = [part for part in _ANYWHERE if any(part in name.split(".") for name in stripped)]
    return stripped, tuple(f"{part}." for part in taken) + ((head,) if head else ())


def unknown_names(names: Iterable[str]) -> str:
    """Describes the tensors that were found in place of SAM's."""
    names = list(names)
    heads = {
        found[1] for name in names if (found := re.match(rf"((?:[^.]+\.)+?)(?:{_PARTS})\.", name))
    }
    advice = (
        f"; its parts lie under the unknown prefix {sorted(heads)[0]!r}, take it off (known ones: "
        f"{', '.join(f'{each}.' for each in _IN_FRONT)})"
        if heads
        else "; the nearest known layout has the prefixes image_encoder., prompt_encoder. and "
        "mask_decoder."
    )
    return f"found: {_few(names)}{advice}"


def _inside(content: Mapping[Any, Any], keys: Iterable[str]) -> list[str]:
    return [key for key in keys if isinstance(content.get(key), dict)]


def _without_modules(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in _ANYWHERE)


def _few(items: list[str]) -> str:
    more = f", ... ({len(items) - _MAX_LISTED} more)" if len(items) > _MAX_LISTED else ""
    return ", ".join(items[:_MAX_LISTED]) + more if items else "none"


def _name(key: object) -> str:
    """Returns a key as messages show it: text of limited length, or the name of its type."""
    return key[:80] if isinstance(key, str) else f"<{type(key).__name__}>"
