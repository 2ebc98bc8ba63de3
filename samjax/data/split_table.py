"""Table of the training and validation images of a run, to detect that they changed."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from samjax.data import fingerprint
from samjax.data.index import Sample

SIDES = ("training", "validation")
_COLUMNS = ("image", "side", "subject", "dataset", "masks", "content")
_NAMED = 3  # Examples in a message.


def build(
    train: Sequence[Sample], validation: Sequence[Sample], contents: Mapping[str, str]
) -> bytes:
    """Returns a table of the images of a run, in their order, as CSV.

    Args:
        train: Images to train on.
        validation: Images held out.
        contents: Digest of an image and its masks, by the image's path; images that were not read
            have none.

    Returns:
        A row for each image: its path, `training` or `validation`, subject, dataset, the number
        and a digest of its masks' paths, and the digest of the contents.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for side, samples in zip(SIDES, (train, validation), strict=True):
        for sample in samples:
            digest = fingerprint.of_bytes(chr(0).join(sample.masks).encode())
            masks = f"{len(sample.masks)}, {digest}"
            content = contents.get(sample.image, "")
            row = (sample.image, side, sample.subject, sample.dataset, masks, content)
            writer.writerow(row)
    return file.getvalue().encode("utf-8", "surrogatepass")


def summarize(content: bytes) -> dict[str, Any]:
    """Returns the digest of a table, and the number of images and the subjects of both sides."""
    rows = _rows(content)
    found: dict[str, Any] = {"digest": fingerprint.of_bytes(content)}
    for side in SIDES:
        of_side = [row for row in rows if row["side"] == side]
        subjects = sorted({row["subject"] for row in of_side})
        found[side] = {"images": len(of_side), "subjects": subjects}
    return found


def changed_images(then: bytes, now: bytes) -> list[str]:
    """Describes the differences of two tables; returns an empty list if they are equal."""
    if then == now:
        return []
    before, after = ({row["image"]: row for row in _rows(content)} for content in (then, now))
    found = changed_subjects(summarize(then), summarize(now))
    for side in SIDES:
        gone = [i for i, row in before.items() if row["side"] == side and i not in after]
        new = [i for i, row in after.items() if row["side"] == side and i not in before]
        found += _list(gone, f"{side} images removed") + _list(new, f"{side} images added")
    both = [image for image in before if image in after]
    for title, column in (
        ("images now on the other side", "side"),
        ("images of another subject", "subject"),
        ("images of another dataset", "dataset"),
        ("images with other masks", "masks"),
        ("images with other content, in themselves or their masks", "content"),
    ):
        differ = [i for i in both if before[i][column] != after[i][column]]
        found += _list(differ, title)
    return found


def original_order(then: bytes, now: bytes) -> list[str] | None:
    """Returns the images of an earlier table in its order, if only the order differs; else None."""
    if then == now or sorted(then.splitlines()) != sorted(now.splitlines()):
        return None
    return [row["image"] for row in _rows(then)]


def changed_subjects(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Describes the differences between the subjects of two summaries."""
    found = []
    for side in SIDES:
        before, after = set(then[side]["subjects"]), set(now[side]["subjects"])
        found += _list(sorted(before - after), f"{side} subjects removed")
        found += _list(sorted(after - before), f"{side} subjects added")
    trained, held = set(then[SIDES[0]]["subjects"]), set(now[SIDES[1]]["subjects"])
    return found + _list(sorted(trained & held), "subjects to validate on that were trained on")


def _rows(content: bytes) -> list[dict[str, str]]:
    text = content.decode("utf-8", "surrogatepass")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def _list(names: Sequence[str], title: str) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return [f"{len(names)} {title} ({', '.join(names[:_NAMED])}{more})"]
