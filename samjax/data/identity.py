"""Which images a run learns from and is validated on, as a table: to tell whether they changed."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from samjax.data.contents import digest
from samjax.data.index import Sample

SIDES = ("training", "validation")
_COLUMNS = ("image", "side", "subject", "dataset", "masks", "content")
_NAMED = 3  # Examples in a message.


def table(
    train: Sequence[Sample], validation: Sequence[Sample], contents: Mapping[str, str]
) -> bytes:
    """The images of a run in their order, as CSV.

    Args:
        train: Images to train on.
        validation: Images held out.
        contents: A digest of what an image and its masks hold, by the image's path; what was not
            read has none.

    Returns:
        A row for each image: its path, `training` or `validation`, subject, dataset, the number
        and a digest of its masks' paths, and the digest of the contents.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for side, samples in zip(SIDES, (train, validation), strict=True):
        for sample in samples:
            masks = f"{len(sample.masks)}, {digest(chr(0).join(sample.masks).encode())}"
            content = contents.get(sample.image, "")
            row = (sample.image, side, sample.subject, sample.dataset, masks, content)
            writer.writerow(row)
    return file.getvalue().encode("utf-8", "surrogatepass")


def summary(content: bytes) -> dict[str, Any]:
    """The digest of a table, and the images' number and the subjects of both sides."""
    rows = _rows(content)
    found: dict[str, Any] = {"digest": digest(content)}
    for side in SIDES:
        of_side = [row for row in rows if row["side"] == side]
        subjects = sorted({row["subject"] for row in of_side})
        found[side] = {"images": len(of_side), "subjects": subjects}
    return found


def changed_images(then: bytes, now: bytes) -> list[str]:
    """What differs between two tables, in words; nothing where they are equal."""
    if then == now:
        return []
    before, after = ({row["image"]: row for row in _rows(content)} for content in (then, now))
    found = changed_subjects(summary(then), summary(now))
    for side in SIDES:
        gone = [i for i, row in before.items() if row["side"] == side and i not in after]
        new = [i for i, row in after.items() if row["side"] == side and i not in before]
        found += _listed(gone, f"{side} images removed") + _listed(new, f"{side} images added")
    both = [image for image in before if image in after]
    for title, column in (
        ("images now on the other side", "side"),
        ("images of another subject", "subject"),
        ("images of another dataset", "dataset"),
        ("images with other masks", "masks"),
        ("images with other content, in themselves or their masks", "content"),
    ):
        differ = [i for i in both if before[i][column] != after[i][column]]
        found += _listed(differ, title)
    return found


def order(then: bytes, now: bytes) -> list[str] | None:
    """The images of a table in its order, if another differs from it in nothing but the order."""
    if then == now or sorted(then.splitlines()) != sorted(now.splitlines()):
        return None
    return [row["image"] for row in _rows(then)]


def changed_subjects(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between the subjects of two summaries, in words."""
    found = []
    for side in SIDES:
        before, after = set(then[side]["subjects"]), set(now[side]["subjects"])
        found += _listed(sorted(before - after), f"{side} subjects removed")
        found += _listed(sorted(after - before), f"{side} subjects added")
    trained, held = set(then[SIDES[0]]["subjects"]), set(now[SIDES[1]]["subjects"])
    return found + _listed(sorted(trained & held), "subjects to validate on that were trained on")


def _rows(content: bytes) -> list[dict[str, str]]:
    text = content.decode("utf-8", "surrogatepass")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def _listed(names: Sequence[str], title: str) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return [f"{len(names)} {title} ({', '.join(names[:_NAMED])}{more})"]
