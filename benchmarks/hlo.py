"""Counts of matrix products and communication in the text of a compiled program."""

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Iterator

COLLECTIVES = (
    *("all-reduce", "all-gather", "reduce-scatter"),
    *("collective-permute", "all-to-all", "collective-broadcast", "ragged-all-to-all"),
)
# `%name = f32[2,3]{1,0} dot(...), ...`; a tuple's shapes stand in brackets.
_INSTRUCTION = re.compile(r"\s+(?:ROOT )?%?([\w.-]+) = (\(.*?\)|\S+) ([a-z][\w-]*)\((.*)")
_COMPUTATION = re.compile(r"(ENTRY )?%?([\w.-]+) .*\{$")
_ARRAY = re.compile(r"\b(pred|[a-z]+(\d+)\w*)\[([\d,]*)\]")
_CALLED = re.compile(
    r"\b(?:calls|to_apply|body|condition|branch_computations|true_computation|false_computation)"
    r"=(\{[^}]*\}|%?[\w.-]+)"
)
_DOT = re.compile(r"^%?([\w.-]+)[,)](?:.*?lhs_contracting_dims=\{([\d,]*)\})?")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')


@dataclasses.dataclass(frozen=True)
class ProgramCounts:
    """Counts of one run of a program on one device.

    Attributes:
        once: Counts outside of loops: `flops` of matrix products, and bytes by kind of collective.
        looped: The same counts inside of loops, for all iterations together.
    """

    once: Counter[str]
    looped: Counter[str]

    @property
    def flops(self) -> int:
        """Returns the operations of matrix products."""
        return self.once["flops"] + self.looped["flops"]

    @property
    def bytes(self) -> Counter[str]:
        """Returns bytes by kind of collective."""
        return Counter({k: n for k, n in (self.once + self.looped).items() if k in COLLECTIVES})


def count(text: str) -> ProgramCounts:
    """Counts the work of a compiled program, from `compiled.as_text()`.

    Args:
        text: HLO of one partition.

    Raises:
        ValueError: A loop with products or collectives has no known number of rounds, or a
            collective is split into start and end, as in GPU programs.
    """
    computations = dict(_computations(text))
    counted: dict[str, ProgramCounts] = {}

    def total(name: str) -> ProgramCounts:
        if name not in counted:
            counted[name] = count_lines(computations[name])
        return counted[name]

    def count_lines(lines: list[str]) -> ProgramCounts:
        once, looped = Counter(), Counter()
        shapes: dict[str, str] = {}
        for name, shape, kind, rest in _instructions(lines):
            shapes[name] = shape
            once += _count_instruction(kind, shape, rest, shapes)
            for called in map(total, _called_computations(rest)):
                if kind != "while":
                    once, looped = once + called.once, looped + called.looped
                elif one_round := called.once + called.looped:
                    if not (trips := _TRIPS.search(rest)):
                        raise ValueError(f"loop {name}: expected a known number of rounds")
                    looped += Counter({k: int(trips[1]) * n for k, n in one_round.items()})
        return ProgramCounts(once, looped)

    return total("ENTRY")


def _computations(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yields name and lines of every computation; the entry computation is named `ENTRY`."""
    name, lines = "", []
    for line in text.splitlines():
        if header := _COMPUTATION.match(line):
            name, lines = "ENTRY" if header[1] else header[2], []
        elif line == "}":
            yield name, lines
        else:
            lines.append(line)


def _instructions(lines: list[str]) -> Iterator[tuple[str, str, str, str]]:
    """Yields name, shape, kind and the rest (from the operands on) of every instruction."""
    for line in lines:
        if match := _INSTRUCTION.match(line):
            yield match[1], match[2], match[3], match[4]


def _called_computations(rest: str) -> Iterator[str]:
    for names in _CALLED.findall(rest):
        yield from re.findall(r"[\w.-]+", names)


def _count_instruction(kind: str, shape: str, rest: str, shapes: dict[str, str]) -> Counter[str]:
    """Counts the operations or bytes of one instruction, without those of its computations."""
    if kind.removesuffix("-start") in COLLECTIVES and kind not in COLLECTIVES:
        raise ValueError(f"{kind}: expected a program whose collectives are not split")
    if kind in COLLECTIVES:
        return Counter({kind: _bytes(shape)})
    if kind != "dot":
        return Counter()
    operand, contracted = _DOT.findall(rest)[0]
    ((_, lengths),) = _arrays(shapes[operand])
    ((_, result),) = _arrays(shape)
    axes = re.findall(r"\d+", contracted)
    return Counter(flops=2 * math.prod(result) * math.prod(lengths[int(axis)] for axis in axes))


def _arrays(shape: str) -> list[tuple[int, tuple[int, ...]]]:
    """Returns bits of an element and lengths, for an array or each array of a tuple."""
    return [
        (int(bits or 8), tuple(int(length) for length in lengths.split(",") if length))
        for _, bits, lengths in _ARRAY.findall(shape)
    ]


def _bytes(shape: str) -> int:
    return sum(bits * math.prod(lengths) for bits, lengths in _arrays(shape)) // 8
