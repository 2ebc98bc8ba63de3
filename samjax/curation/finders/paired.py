"""Finds volumes and pictures with labels in files of their own, by their names."""

import dataclasses
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from samjax.curation import class_table, naming, pairing, readers
from samjax.curation.case import CaseError, Source
from samjax.curation.found import Found, Problem
from samjax.curation.options import Dataset, Options
from samjax.data import metadata


def claim(root: Path, files: Sequence[str], options: Options, found: Found) -> set[str]:
    """Volumes and pictures, each with labels in files of their own."""
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path in files:
        known, reader = options.dataset_of(path), readers.reader_of(path)
        if reader and known.format in ("", reader):
            folder = known.folder if known.folder != "." else _dataset_folder(path)
            groups[folder, reader].append(path)
    for (folder, reader), members in groups.items():
        known = options.dataset_of(members[0])
        inner = [str(PurePosixPath(path).relative_to(folder)) for path in members]
        if known.images:
            pairs, lost, unclear = _by_pattern(root / folder, inner, known), [], {}
        else:
            pairs, lost, unclear = pairing.pair(inner)
        for image, several in unclear.items():
            where = (PurePosixPath(folder) / image).as_posix()
            detail = (
                f"{where}: expected one folder of labels, found {', '.join(several)}; "
                "say in a description which it is"
            )
            found.problems.append(Problem(where, "unclear", detail))
        for label in _left_by_series(folder, lost, found):
            where = (PurePosixPath(folder) / label).as_posix()
            detail = f"{where}: expected an image of that name, found none"
            found.problems.append(Problem(where, "no_image", detail))
        for one in pairs:
            image = (PurePosixPath(folder) / one.image).as_posix()
            if not one.labels:
                detail = f"{image}: expected labels of that name, found none"
                found.problems.append(Problem(image, "no_label", detail))
                continue
            try:
                named = class_table.with_table(root / image, known)
            except CaseError as error:
                found.problems.append(Problem(image, "unreadable", str(error)))
                continue
            found.sources.append(
                Source(
                    reader=reader,
                    name=naming.safe(one.key),
                    subject=naming.subject(known, image, _case_of(one, reader)),
                    dataset=naming.safe(known.name or naming.title(root, folder)),
                    modality=known.modality or naming.modality(image),
                    images=(image,),
                    labels=tuple(
                        ((PurePosixPath(folder) / path).as_posix(), name)
                        for path, name in one.labels
                    ),
                    known=named,
                )
            )
    return set()


def _left_by_series(folder: str, labels: Sequence[str], found: Found) -> list[str]:
    """Gives DICOM series without labels those that have their name; returns the others.

    A series has the name of its folder, or of its only file.
    """
    waiting = {}
    for source in found.unlabelled:
        first = PurePosixPath(source.images[0])
        named = first if len(source.images) == 1 else first.parent / "x"
        if named.is_relative_to(folder):
            key = pairing.key(named.relative_to(folder).as_posix()).lower()
            waiting[key.removesuffix("/x")] = source
    given: dict[str, list[str]] = defaultdict(list)
    left = []
    for label in labels:
        key = pairing.key(label).lower()
        (given[key] if key in waiting else left).append(label)
    for key, members in given.items():
        found.unlabelled.remove(waiting[key])
        paths = tuple(((PurePosixPath(folder) / label).as_posix(), "") for label in members)
        found.sources.append(dataclasses.replace(waiting[key], labels=paths))
    return left


def _by_pattern(folder: Path, files: Sequence[str], known: Dataset) -> list[pairing.Pair]:
    """Pairs by the patterns of a description."""
    pairs = []
    for image in (path for path in files if PurePosixPath(path).match(known.images)):
        stem = PurePosixPath(pairing.without_suffix(image)).name
        found = re.search(known.match, image) if known.match else None
        pattern = known.labels.format(
            stem=_escaped(stem),
            id=_escaped(found[1] if found else ""),
            folder=_escaped(str(PurePosixPath(image).parent)),
        )
        labels = sorted(path.relative_to(folder).as_posix() for path in folder.glob(pattern))
        labels = [path for path in labels if path != image]
        pairs.append(pairing.Pair(image, pairing.key(image), tuple((p, "") for p in labels)))
    return pairs


def _case_of(pair: pairing.Pair, reader: str) -> str:
    """The subject of a pair: a volume's own folder, or what its name begins with."""
    parts = PurePosixPath(pair.key).parts or (PurePosixPath(pair.image).stem,)
    if reader == "pictures":
        return metadata.of_image(parts[-1]).case
    return parts[0]


def _dataset_folder(path: str) -> str:
    """The folder at the top that a file is in, unless that says only `images` or `labels`."""
    parts = PurePosixPath(path).parts
    return "." if len(parts) == 1 or pairing.is_role(parts[0]) else parts[0]


def _escaped(text: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", text)
