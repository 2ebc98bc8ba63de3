"""Decides the meaning of label pixels, once for all files of a data set."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence

from samjax.curation import label_background, label_instances, label_levels, label_messages
from samjax.curation.case import CaseError, Coding
from samjax.curation.label_background import (
    AmbiguousLabelsError,
    CodeCounts,
    FileCounts,
    code_of,
    table_of,
    total,
)
from samjax.curation.label_pixels import CLEAR, Evidence
from samjax.curation.options import Dataset, several

SMALL = 32  # Up to here numbers are labels, not greys.
APART = 64  # From here on numbers are large.
PURE = 0.75  # Smallest share of black and white in a mask with grey edges.
WHITE = 240  # From here on a grey is white in JPEG.


def decide(evidence: Sequence[Evidence], known: Dataset) -> tuple[Coding, str]:
    """Decides the meaning of the labels of a data set.

    Args:
        evidence: Evidence of its files.
        known: Description of the data set; it takes precedence.

    Returns:
        The decision, and the same in words.

    Raises:
        AmbiguousLabelsError: The labels can be read in two ways.
        CaseError: The pixels are no labels, or do not match the table of classes.
    """
    reading = _reading(evidence, known)
    if reading == "alpha":
        if not known.kind:
            label_background.check_alpha(_pictures(evidence, "colours"))
        return Coding("binary", reading, ()), "one object, from the alpha channel"
    if reading == "numbers":
        return _of_numbers(evidence, known)
    return _of_colours(evidence, known, reading)


def _reading(evidence: Sequence[Evidence], known: Dataset) -> str:
    if known.kind == "alpha" or _is_in_alpha(evidence):
        return "alpha"
    values = [one for value in known.classes.values() for one in several(value)]
    stated = [one for one in (*values, *known.ignore, *known.background) if one != "none"]
    if any(isinstance(one, str) for one in stated):
        return "colours"
    coloured = [one for one in evidence if one.is_colour]
    if not coloured:
        return "numbers"
    colours: dict[int, set[int]] = {}
    for one in coloured:
        for code, index in one.indices:
            colours.setdefault(index, set()).add(code)
    agree = all(len(codes) == 1 for codes in colours.values())
    if all(one.indices for one in coloured) and (agree or stated):
        return "indices"
    if stated:
        numbers = ", ".join(map(str, stated))
        raise CaseError(f"expected the values {numbers} of the table of classes, found colours")
    return "colours"


def _is_in_alpha(evidence: Sequence[Evidence]) -> bool:
    """Whether the opaque pixels have one colour, or are a photograph."""
    clear = [one for one in evidence if one.has_alpha]
    colours = {row[0] for one in clear for row in one.codes} - {CLEAR}
    if all(one.is_exact for one in clear) and len(colours) <= APART:
        return len(colours) == 1
    even = sum(count for one in clear for _, count, _ in one.levels)
    return even < 0.5 * sum(one.total for one in clear)


def _pictures(evidence: Sequence[Evidence], reading: str) -> list[dict[int, CodeCounts]]:
    """Returns the counts of every code, picture by picture."""
    pictures = []
    for one in evidence:
        rows = one.codes if one.is_exact else [[c, n, n, 0, b] for c, n, b in one.levels]
        if reading == "colours" and not one.is_colour:  # Grey among colours.
            rows = [[min(row[0], 255) * 0x010101, *row[1:]] for row in rows]
        pictures.append({row[0]: CodeCounts(*row[1:]) for row in rows})
    return pictures


def _of_numbers(evidence: Sequence[Evidence], known: Dataset) -> tuple[Coding, str]:
    if not all(one.is_exact for one in evidence):
        raise CaseError("expected labels, found more values than a label map has")
    pictures = _pictures(evidence, "numbers")
    ignore = tuple(map(code_of, known.ignore))
    sums = total(pictures)
    values = [code for code in sums if code not in ignore]
    table = table_of(known)
    full = max((one.depth for one in evidence), default=0)
    objects = [value for value in values if value]
    if known.kind == "binary":
        return _binary(pictures, values, known, ignore)
    if known.kind == "instances":
        background = label_background.background(pictures, known, "numbers", True)
        text = "instances, every value of a picture is an object"
        coding = Coding("instances", "numbers", background, ignore)
        return coding, label_messages.describe(text, ignore)
    is_stated = known.kind == "classes" and len(values) <= APART
    if values and values[-1] > SMALL and not is_stated and _has_grey_edges(sums, values):
        return _of_greys(evidence, known, pictures, sums, ignore)
    if not table and not known.background and not known.kind:
        if not objects or (len(objects) == 1 and objects[0] in (1, 255, full)):
            if objects and 0 in sums and not sums[0].border:
                raise label_background.inverted(objects[0], "numbers")
            return Coding("binary", ignore=ignore), label_messages.describe("one object", ignore)
        if objects == [1, 255] and not any({1, 255} <= one.keys() for one in pictures):
            text = "one object, of value 1 in some files and 255 in others"
            return Coding("binary", ignore=ignore), text
        if text := label_instances.detect(evidence, pictures, ignore):
            return Coding("instances", ignore=ignore), label_messages.describe(text, ignore)
    ignore += _void(pictures, objects, full, known, table)
    left = [value for value in values if value not in ignore]
    is_small = bool(table) or max(left, default=0) <= SMALL + 2 * len(left)
    background = label_background.background(
        [{c: s for c, s in one.items() if c not in ignore} for one in pictures],
        known, "numbers", is_small,
    )  # fmt: skip
    lacking = _lacking(table, pictures, {*background, *ignore}, "numbers")
    coding = Coding("classes", "numbers", background, ignore, lacking=lacking)
    return coding, label_messages.describe(
        label_messages.describe_classes(coding, left, table), ignore, coding, left
    )


def _binary(
    pictures: Sequence[FileCounts], values: Sequence[int], known: Dataset, ignore: tuple[int, ...]
) -> tuple[Coding, str]:
    if known.background and known.background != ("none",):
        background = tuple(map(code_of, known.background))
        coding = Coding("binary", "numbers", background, ignore, half=-1)
        return coding, label_messages.describe("one object", ignore, coding, values)
    is_mixed = {*values} <= {0, 1, 255} and not any({1, 255} <= one.keys() for one in pictures)
    half = 0 if is_mixed else _half(values)
    return Coding("binary", ignore=ignore, half=half), label_messages.describe(
        f"one object, above {half}", ignore
    )


def _half(values: Sequence[int]) -> int:
    highest = max(values, default=0)
    return 0 if highest <= 1 else 127 if WHITE <= highest <= 255 else highest // 2


def _has_grey_edges(sums: FileCounts, values: Sequence[int]) -> bool:
    """Whether the greys between the darkest and the brightest are mostly edges of others."""
    inner = values[1:-1]
    edges = [value for value in inner if not sums[value].is_solid]
    enough = len(edges) >= 3 or len(edges) == len(inner)
    return bool(edges) and enough and len(edges) >= 0.25 * len(inner)


def _of_greys(
    evidence: Sequence[Evidence],
    known: Dataset,
    pictures: Sequence[FileCounts],
    sums: FileCounts,
    ignore: tuple[int, ...],
) -> tuple[Coding, str]:
    """Decides on labels with grey edges."""
    values, table = [*sums], table_of(known)
    if values[-1] > 255:
        levels = [v for v in values if sums[v].is_solid or v in (values[0], values[-1])]
    else:
        levels = label_levels.even_or_thin(evidence, sums, False)
    found = f"greys from {values[0]} to {values[-1]}"
    if len(levels) <= 2:
        half = _half(levels if len(levels) == 2 else values)
        pixels = sum(one.pixels for one in sums.values())
        pure = sum(one.pixels for v, one in sums.items() if v < 16 or v >= WHITE)
        if len(levels) < 2 and (values[-1] < WHITE or pure < PURE * pixels):
            raise AmbiguousLabelsError(
                f'{found}: either a mask with soft edges, say `kind = "binary"`, or values that '
                "are no labels"
            )
        if table and not any(value > half for value in table):
            expected = label_messages.describe_table(table, "numbers")
            raise CaseError(
                f"expected {expected} of the table of classes, found {found}; "
                'if they are a mask with grey edges, say `kind = "binary"`'
            )
        coding = Coding("binary", ignore=ignore, half=half)
        return coding, label_messages.describe(
            f"one object with grey edges, cut at half: above {half}", ignore
        )
    pictures = label_levels.by_level(pictures, levels, False)
    background = label_background.background(pictures, known, "numbers", False)
    if table:
        levels = label_levels.matched(levels, table, False, label_levels.ROUNDING)
        pictures = label_levels.by_level(pictures, levels, False)
    lacking = _lacking(table, pictures, {*background, *ignore}, "numbers")
    coding = Coding("classes", "numbers", background, ignore, tuple(levels), lacking=lacking)
    text = label_messages.describe_classes(coding, levels, table) + ", with grey edges"
    return coding, label_messages.describe(text, ignore, coding, levels)


def _void(
    pictures: Sequence[FileCounts],
    objects: Sequence[int],
    full: int,
    known: Dataset,
    table: Collection[int],
) -> tuple[int, ...]:
    """Returns the largest number beside small labels: unlabelled pixels."""
    void = [v for v in objects if v in (255, full) and v not in table]
    others = [value for value in objects if value not in void]
    if not void or not others or known.background:
        return ()
    if max(others) >= APART and max(others) > SMALL + 2 * len(others):
        return ()
    if not any({*void} & one.keys() and {*others} & one.keys() for one in pictures):
        if table:
            return ()  # An error in these files.
        raise AmbiguousLabelsError(
            f"labels {', '.join(map(str, others))}, and {void[0]} in files without them: either "
            f"{void[0]} is left out, or it is a class; say `ignore = {void[0]}` or `background = 0`"
        )
    sums = total(pictures)
    edge = sum(one.border for one in sums.values())
    if 0 in sums and sums[void[0]].border > 0.5 * edge and sums[0].border < 0.05 * edge:
        raise AmbiguousLabelsError(
            f"labels 0, {', '.join(map(str, others))} and {void[0]}, which most of the border is: "
            f"either 0 is the background and {void[0]} is left out, or {void[0]} is the "
            f"background and 0 a class; say `background = 0` or `background = {void[0]}`"
        )
    if max(others) > SMALL + 2 * len(others):
        raise AmbiguousLabelsError(
            f"labels {', '.join(map(str, others))} and {void[0]}: either {void[0]} is left out, or "
            f"it is a class; say `ignore = {void[0]}` or `background = 0`"
        )
    return tuple(void)


def _of_colours(evidence: Sequence[Evidence], known: Dataset, reading: str) -> tuple[Coding, str]:
    if known.kind == "binary":
        raise CaseError("expected a mask of black and white, found colours; name them in `classes`")
    pictures, table = _pictures(evidence, "colours"), table_of(known)
    sums = total(pictures)
    codes = [code for code in sums if code != CLEAR]
    is_exact = all(one.is_exact for one in evidence)
    if is_exact and all(sums[code].is_solid for code in codes):
        levels = codes
    else:
        levels = label_levels.even_or_thin(evidence, sums, True)
    kind = known.kind
    if reading == "colours" and levels == codes and not (kind or table):
        kind = "instances" if label_instances.are_colours(evidence, pictures) else ""
    if not levels or (len(levels) > label_levels.MOST and kind != "instances"):
        raise CaseError(
            "expected labels of a few colours, found "
            f"{f'more than {label_levels.MOST}' if levels else 'none that covers an area'}; if it "
            'is a label image, give its colours under `classes`, or say `kind = "instances"`'
        )
    is_smeared = not is_exact or levels != codes
    if table and reading == "colours":
        near = label_levels.NEAR if is_smeared else label_levels.ROUNDING
        levels = label_levels.matched(levels, table, True, near)
        levels = [*dict.fromkeys([*levels, *table])] if is_smeared else levels
    elif is_smeared:
        levels = [*dict.fromkeys(map(label_levels.rounded, levels))]
    is_smeared = is_smeared or levels != codes
    if is_smeared:
        pictures = label_levels.by_level(pictures, levels, True)
    in_colours = known if reading == "colours" else dataclasses.replace(known, background=())
    background = label_background.background(pictures, in_colours, "colours", False)
    ignore = tuple(map(code_of, known.ignore))
    if reading == "indices":
        numbers = {code: index for one in evidence for code, index in one.indices}
        pictures = [{numbers.get(c, c): s for c, s in one.items()} for one in pictures]
        background = tuple(numbers.get(code, code) for code in background)
        if known.background:
            background = label_background.background(pictures, known, reading, False)
        objects = [code for one in pictures for code in one if code not in background]
        if 255 in objects and len({*objects}) > 1 and 255 not in table:
            ignore += (255,)
        is_smeared = False
    lacking = _lacking(table, pictures, {*background, *ignore}, reading)
    found = [code for code in total(pictures) if code not in ignore]
    kind = "instances" if kind == "instances" else "classes"
    smeared = tuple(levels) if is_smeared else ()
    coding = Coding(kind, reading, background, ignore, smeared, lacking=lacking)
    text = "instances, every colour of a picture is an object"
    if kind == "classes":
        text = label_messages.describe_classes(coding, found, table) + (
            ", with smeared edges" if is_smeared else ""
        )
    return coding, label_messages.describe(text, ignore, coding, found)


def _lacking(
    table: Mapping[int, Sequence[str]],
    pictures: Sequence[FileCounts],
    nothing: Collection[int],
    reading: str,
) -> tuple[int, ...]:
    """Returns codes outside the table of classes, in pictures without any code of the table.

    Raises:
        CaseError: The table has none of the codes.
    """
    if not table:
        return ()
    there = {code for one in pictures for code in one} - {*nothing}
    if there and not there & table.keys():
        raise CaseError(label_messages.mismatch(table, there, reading))
    beside = {code for one in pictures if one.keys() & table.keys() for code in one}
    return tuple(sorted(there - beside - table.keys()))
