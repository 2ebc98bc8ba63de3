"""Whether numbers of a data set's labels are instances: objects of one class, counted anew."""

from collections.abc import Collection, Sequence

from samjax.curation.label_background import Picture, Unclear
from samjax.curation.label_pixels import Evidence

MANY = 20  # From so many labels of a file in one piece each on, they are instances.
SOME = 5  # So many are, where every file counts its own from 1 on, and they lie anywhere.
FEW = 3
FAR = 150  # Thousandths of a picture's side: the same organ is nearer in the next picture.


def found(
    evidence: Sequence[Evidence], pictures: Sequence[Picture], ignore: Collection[int]
) -> str:
    """The word for instances; nothing if the numbers are classes.

    Raises:
        Unclear: They may be one or the other.
    """
    numbers = [{*one} - {0, *ignore} for one in pictures]
    used = [(n, one) for n, one in zip(numbers, evidence, strict=True) if n]
    if not used or sum(one.in_one_piece for _, one in used) < 0.9 * len(used):
        return ""
    sizes = {len(n) for n, _ in used}
    most = max(sizes)
    counted = all(n == set(range(1, len(n) + 1)) for n, _ in used)
    alone = len(used) == 1
    if most >= MANY and (counted or alone):
        return f"instances, up to {most} in a file, every value an object"
    shared = any(one & other for i, (one, _) in enumerate(used) for other, _ in used[:i])
    if not alone and not shared and min(sizes) >= 2:
        return f"instances, up to {most} in a file, no value in two files"
    differ = counted and len(sizes) > 1 and _lie_anywhere([one for _, one in used])
    if differ and most >= SOME:
        return f"instances, up to {most} in a file, counted from 1 in each"
    if (differ and most >= FEW) or (not alone and most >= MANY):
        raise Unclear(
            f"labels 1 to {max(max(n) for n, _ in used)}, every one in one piece: either each is "
            'an object, or a class; say `kind = "instances"` or `kind = "classes"`'
        )
    return ""


def _lie_anywhere(evidence: Sequence[Evidence]) -> bool:
    """Whether labels of one number are at different places of the pictures."""
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
