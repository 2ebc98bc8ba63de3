"""Detects instance labels: numbers of objects of one class, not of classes."""

from collections.abc import Collection, Sequence

from samjax.curation.label_background import AmbiguousLabelsError, FileCounts
from samjax.curation.label_pixels import Evidence

MANY = 20  # Labels in one piece each that make instances.
SOME = 5  # The same, if every file counts from 1 and positions differ from file to file.
FEW = 3
FAR = 150  # Thousandths of a picture's side: an organ moves less between pictures.


def detect(
    evidence: Sequence[Evidence], pictures: Sequence[FileCounts], ignore: Collection[int]
) -> str:
    """Returns a description of instance labels; empty if the numbers are classes.

    Raises:
        AmbiguousLabelsError: They may be either.
    """
    used = _in_one_piece(evidence, pictures, ignore)
    if not used:
        return ""
    sizes = {len(n) for n, _ in used}
    most = max(sizes)
    counted = all(n == set(range(1, len(n) + 1)) for n, _ in used)
    alone = len(used) == 1
    if most >= MANY and (counted or alone):
        return f"instances, up to {most} in a file, every value an object"
    if _never_shared([n for n, _ in used]):
        return f"instances, up to {most} in a file, no value in two files"
    differ = counted and len(sizes) > 1 and _lie_anywhere([one for _, one in used])
    if differ and most >= SOME:
        return f"instances, up to {most} in a file, counted from 1 in each"
    if (differ and most >= FEW) or (not alone and most >= MANY):
        raise AmbiguousLabelsError(
            f"labels 1 to {max(max(n) for n, _ in used)}, every one in one piece: either each is "
            'an object, or a class; say `kind = "instances"` or `kind = "classes"`'
        )
    return ""


def are_colours(evidence: Sequence[Evidence], pictures: Sequence[FileCounts]) -> bool:
    """Whether colours on black are instances: many, each in one piece, and none in two files."""
    colours = [n for n, _ in _in_one_piece(evidence, pictures, ())]
    are_many = sum(map(len, colours)) >= 2 * SOME and min(map(len, colours)) >= FEW
    return are_many and _never_shared(colours)


def _in_one_piece(
    evidence: Sequence[Evidence], pictures: Sequence[FileCounts], ignore: Collection[int]
) -> list[tuple[set[int], Evidence]]:
    """Returns the labels of each file, if nearly all are in one piece each; else none."""
    labels = [{*one} - {0, *ignore} for one in pictures]
    used = [(n, one) for n, one in zip(labels, evidence, strict=True) if n]
    return used if sum(one.in_one_piece for _, one in used) >= 0.9 * len(used) else []


def _never_shared(labels: Sequence[set[int]]) -> bool:
    """Whether several files have several labels each, and none that another has."""
    seen = sum(map(len, labels))
    return len(labels) > 1 and min(map(len, labels)) >= 2 and len(set.union(*labels)) == seen


def _lie_anywhere(evidence: Sequence[Evidence]) -> bool:
    """Whether labels of one number have different positions in the pictures."""
    places: dict[int, list[list[int]]] = {}
    for one in evidence:
        for code, *place in one.places:
            places.setdefault(code, []).append(place)
    spread = [
        max(max(axis) - min(axis) for axis in zip(*of_code, strict=True))
        for of_code in places.values()
        if len(of_code) > 1
    ]
    return sum(one > FAR for one in spread) >= 0.5 * len(spread) > 0
