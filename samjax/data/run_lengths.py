"""COCO's run lengths of masks: lists of counts, and their compressed text.

Pixels are counted by columns, from the top left corner: first those of the background, then in turn
those of the mask and of the background. The text has five bits of a count in each character, from
the lowest; the sixth bit means that more follow. From the fourth count on, the difference to the
one two before it stands there. Both forms are those of COCO's format for results.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

RunLengths = dict[str, Any]  # `size`: [height, width]; `counts`: list of int, or text.


def encode(mask: np.ndarray) -> RunLengths:
    """Encodes a mask (h, w), nonzero inside, as a list of counts."""
    flat = (np.asarray(mask) != 0).ravel(order="F")
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(edges, prepend=0, append=flat.size).tolist()
    return {"size": [*mask.shape], "counts": [0, *counts] if flat.size and flat[0] else counts}


def decode(run_lengths: Mapping[str, Any]) -> np.ndarray:
    """Decodes run lengths of either form to a mask, (h, w) bool.

    Raises:
        ValueError: They do not cover the size that they state.
    """
    (height, width), counts = run_lengths["size"], run_lengths["counts"]
    counts = decompress(counts) if isinstance(counts, str) else list(counts)
    if sum(counts) != height * width or min(counts, default=0) < 0:
        raise ValueError(f"counts: expected runs of {height * width} pixels, found {sum(counts)}")
    inside = np.arange(len(counts)) % 2 == 1
    return np.repeat(inside, counts).reshape((height, width), order="F")


def area(run_lengths: Mapping[str, Any]) -> int:
    """Returns the pixels of the mask of a list of counts."""
    return sum(run_lengths["counts"][1::2])


def compressed(run_lengths: Mapping[str, Any]) -> RunLengths:
    """Returns run lengths with their counts as text."""
    return {**run_lengths, "counts": compress(run_lengths["counts"])}


def compress(counts: Sequence[int]) -> str:
    """Returns the text of a list of counts."""
    text = []
    for i, count in enumerate(counts):
        value = count - counts[i - 2] if i > 2 else count
        more = True
        while more:
            bits = value & 31
            value >>= 5
            more = value != (-1 if bits & 16 else 0)
            text.append(chr(48 + (bits | 32 if more else bits)))
    return "".join(text)


def decompress(text: str) -> list[int]:
    """Returns the counts of a text."""
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:  # Negative.
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    return counts
