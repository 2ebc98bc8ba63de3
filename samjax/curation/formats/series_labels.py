"""Gives DICOM series labels in other formats: volumes of their name, or a picture a slice."""

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePosixPath

from samjax.curation import filename_words, pairing, suffixes
from samjax.curation.case import CaseSource
from samjax.curation.discovery_result import DiscoveryResult


def give(labels: Sequence[str], result: DiscoveryResult) -> list[str]:
    """Moves series that have labels among these to the sources; returns the other labels.

    A series is called as its folder, or as its only file. Label pictures in a folder beside that
    of a series, as many as it has files, are a slice each: by their names, or else in their order.
    """
    left = list(labels)
    for source, members in _slices(left, result.unlabelled):
        _label(source, members, result)
        left = [path for path in left if path not in dict(members)]
    called: dict[str, list[CaseSource]] = defaultdict(list)
    for source in result.unlabelled:
        first = PurePosixPath(source.images[0])
        name = (
            filename_words.without_suffix(str(first))
            if len(source.images) == 1
            else str(first.parent)
        )
        called[f"{name}.dcm"].append(source)
    known = {name: of[0] for name, of in called.items() if len(of) == 1}
    for one in pairing.pair([*known, *left]).pairs if known and left else ():
        if one.image in known:
            _label(known[one.image], one.labels, result)
            left = [path for path in left if path not in dict(one.labels)]
    return left


def _label(source: CaseSource, labels: Sequence[tuple[str, str]], result: DiscoveryResult) -> None:
    if source in result.unlabelled:
        result.unlabelled.remove(source)
        result.sources.append(dataclasses.replace(source, labels=tuple(labels)))


def _slices(
    labels: Sequence[str], series: Sequence[CaseSource]
) -> list[tuple[CaseSource, list[tuple[str, str]]]]:
    """Series with as many label pictures as files, in the order of the series' files."""
    beside: dict[str, list[str]] = defaultdict(list)
    for path in labels:
        folder = PurePosixPath(path).parent
        if suffixes.format_of(path) == "pictures" and filename_words.LABEL_WORD.search(folder.name):
            beside[str(folder.parent)].append(path)
    given = []
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
                    given.append((source, [(path, "") for path in in_order]))
                break
    return given
