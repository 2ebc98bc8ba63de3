"""Assigns labels in other formats to DICOM series: volumes, or a picture for each slice."""

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePosixPath

from samjax.curation import filename_words, pairing, suffixes
from samjax.curation.case import CaseSource
from samjax.curation.discovery_result import DiscoveryResult


def assign(labels: Sequence[str], result: DiscoveryResult) -> list[str]:
    """Moves series with labels among these to the sources; returns the remaining labels.

    The name of a series is that of its folder, or of its only file. Label pictures in a folder
    beside that of a series, as many as it has files, belong to its slices: by name, else in order.
    """
    remaining = list(labels)
    for source, members in _slices(remaining, result.unlabelled):
        _label(source, members, result)
        remaining = [path for path in remaining if path not in dict(members)]
    by_name: dict[str, list[CaseSource]] = defaultdict(list)
    for source in result.unlabelled:
        first = PurePosixPath(source.images[0])
        name = (
            filename_words.without_suffix(str(first))
            if len(source.images) == 1
            else str(first.parent)
        )
        by_name[f"{name}.dcm"].append(source)
    known = {name: of[0] for name, of in by_name.items() if len(of) == 1}
    for pair in pairing.pair([*known, *remaining]).pairs if known and remaining else ():
        if pair.image in known:
            _label(known[pair.image], pair.labels, result)
            remaining = [path for path in remaining if path not in dict(pair.labels)]
    return remaining


def _label(source: CaseSource, labels: Sequence[tuple[str, str]], result: DiscoveryResult) -> None:
    if source in result.unlabelled:
        result.unlabelled.remove(source)
        result.sources.append(dataclasses.replace(source, labels=tuple(labels)))


def _slices(
    labels: Sequence[str], series: Sequence[CaseSource]
) -> list[tuple[CaseSource, list[tuple[str, str]]]]:
    """Finds series with as many label pictures as files, in the order of the series' files."""
    beside: dict[str, list[str]] = defaultdict(list)
    for path in labels:
        folder = PurePosixPath(path).parent
        if suffixes.format_of(path) == "pictures" and filename_words.LABEL_WORD.search(folder.name):
            beside[str(folder.parent)].append(path)
    matches = []
    for source in series:
        for folder in PurePosixPath(source.images[0]).parents:
            members = beside.get(str(folder), [])
            if members:
                if len(members) == len(source.images) > 1:
                    by_name = {filename_words.parts(path)[-1]: path for path in members}
                    names = [filename_words.parts(path)[-1] for path in source.images]
                    in_order = [by_name.get(name, "") for name in names]
                    if not all(in_order):
                        in_order = sorted(members)
                    matches.append((source, [(path, "") for path in in_order]))
                break
    return matches
