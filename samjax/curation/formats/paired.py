"""Finds volumes and pictures with labels in files of their own, by their names."""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from samjax.curation import class_table, filename_words, naming, pairing, subjects, suffixes
from samjax.curation.case import CaseError, CaseSource
from samjax.curation.discovery_result import DiscoveryResult, Problem
from samjax.curation.formats import series_labels, unpaired
from samjax.curation.options import CurationOptions, Dataset

# An image and its labels may be in different formats of one kind.
KINDS = {"nifti": "volumes", "itk": "volumes", "pictures": "pictures"}


def discover(
    root: Path, files: Sequence[str], options: CurationOptions, result: DiscoveryResult
) -> set[str]:
    """Finds volumes and pictures that have labels in files of their own."""
    groups: dict[tuple[int, str], list[str]] = defaultdict(list)
    for path in files:
        known, reader = options.dataset_of(path), suffixes.format_of(path)
        if reader and known.format in ("", reader):
            group = id(known) if known.images else 0  # All others are paired together.
            groups[group, KINDS[reader]].append(path)
    for (group, _), members in groups.items():
        known = options.dataset_of(members[0])
        skipped = [path for path in members if _is_skipped(path, options)]
        unpaired.note_skipped(skipped, result)
        remaining = [path for path in members if path not in {*skipped}]
        pairs = _by_pattern(root, remaining, known) if group else pairing.pair(remaining)
        for where, detail in pairs.unclear.items():
            detail = f"{where}: {detail}; say in a description which it is"
            result.problems.append(Problem(where, "unclear", detail))
        folders = subjects.dataset_folders((one.image for one in pairs.pairs), options)
        for one in pairs.pairs:
            _add(root, one, options.dataset_of(one.image), folders[one.image], result)
        lost = series_labels.assign(pairs.lost, result)
        unpaired.report(root, pairs, lost, result)
    return set()


def _add(
    root: Path, pair: pairing.Pair, known: Dataset, folder: str, result: DiscoveryResult
) -> None:
    inner = PurePosixPath(pair.key)
    if inner.is_relative_to(folder):
        inner = inner.relative_to(folder)
    try:
        named = class_table.with_table(
            root, (pair.image, *(path for path, _ in pair.labels)), known
        )
    except CaseError as error:
        result.problems.append(Problem(pair.image, "unreadable", str(error)))
        return
    reader = suffixes.format_of(pair.image)
    key = str(inner) if str(inner) != "." else ""
    result.sources.append(
        CaseSource(
            reader=reader,
            name=naming.safe(key) or naming.safe(filename_words.image_names(pair.image)[0]),
            subject="",
            dataset=naming.safe(known.name or naming.title(root, folder)),
            modality=known.modality or naming.modality(pair.image),
            images=(pair.image,),
            labels=pair.labels,
            known=named,
        )
    )


def _is_skipped(path: str, options: CurationOptions) -> bool:
    known = options.dataset_of(path)
    return bool(known.skip and re.search(known.skip, path))


def _by_pattern(root: Path, files: Sequence[str], known: Dataset) -> pairing.Pairs:
    """Pairs images and labels by the patterns of a description."""
    folder = root / known.folder
    pairs, alone = [], []
    for image in files:
        inner = PurePosixPath(image).relative_to(known.folder)
        if not inner.match(known.images):
            continue
        found = re.search(known.match, str(inner)) if known.match else None
        pattern = known.labels.format(
            stem=_escaped(PurePosixPath(filename_words.without_suffix(image)).name),
            id=_escaped(found[1] if found else ""),
            folder=_escaped(str(inner.parent)),
        )
        labels = sorted(path.relative_to(root).as_posix() for path in folder.glob(pattern))
        labels = [path for path in labels if path != image]
        if labels:
            pairs.append(
                pairing.Pair(image, filename_words.key(image), tuple((p, "") for p in labels))
            )
        else:
            alone.append(image)
    return pairing.Pairs(tuple(pairs), tuple(alone), (), {})


def _escaped(text: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", text)
