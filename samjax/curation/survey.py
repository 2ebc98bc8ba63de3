"""Decides the meaning of every data set's labels before any case is read."""

import dataclasses
import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from samjax.curation import formats, label_kinds, suffixes
from samjax.curation.case import CaseError, CaseSource
from samjax.curation.discovery_result import Problem
from samjax.curation.label_pixels import Evidence, gather_evidence
from samjax.extra import MissingLibrary

PICTURES, VOLUMES = 1000, 32  # Most files of a data set that are inspected, evenly chosen.
CHUNK = 16  # Files in one piece of work.
READERS = ("pictures", "nifti", "itk", "dicom")  # Other formats define their labels.


@dataclasses.dataclass(frozen=True)
class Survey:
    """Decisions on the labels of a source.

    Attributes:
        sources: Cases with the decisions on their labels.
        decisions: Decisions in words, a line each.
        problems: Data sets with unclear labels; their cases are left out of the sources.
    """

    sources: tuple[CaseSource, ...]
    decisions: tuple[str, ...]
    problems: tuple[Problem, ...]


def survey(
    sources: Sequence[CaseSource],
    inspect: Callable[[list[tuple[str, ...]]], Iterable[list[Evidence | None]]],
) -> Survey:
    """Decides the meaning of every data set's labels, by all of its files or an even choice.

    Args:
        sources: Cases of all data sets.
        inspect: Function that returns the evidence of each tuple of paths, in order; see
            `evidence`.
    """
    groups: dict[tuple[str, str, str], list[CaseSource]] = defaultdict(list)
    for one in sources:
        if kind := _kind(one):
            known = json.dumps(dataclasses.asdict(one.known), sort_keys=True)
            groups[one.dataset, known, kind].append(one)
    chosen = {key: _chosen(key[2], members) for key, members in groups.items()}
    work = [
        tuple(paths[start : start + CHUNK])
        for paths in chosen.values()
        for start in range(0, len(paths), CHUNK)
    ]
    evidence_of = dict(
        pair
        for paths, found in zip(work, inspect(work), strict=True)
        for pair in zip(paths, found, strict=True)
    )
    decided, decisions, problems = {}, [], []
    for key, members in groups.items():
        of_dataset = [one for path in chosen[key] if (one := evidence_of[path]) is not None]
        if not of_dataset:
            continue  # Reading each file will report the error.
        title = f"labels of {_title(key[0], chosen[key])}"
        try:
            coding, words = label_kinds.decide(of_dataset, members[0].known)
        except CaseError as error:
            kind = "unclear" if isinstance(error, label_kinds.AmbiguousLabelsError) else "bad"
            where = members[0].labels[0][0]
            problems.append(Problem(where, kind, f"{title}, such as {where}: {error}"))
            decided |= dict.fromkeys((one.id for one in members), None)
            continue
        decisions.append(f"{title}: {words}")
        decided |= dict.fromkeys((one.id for one in members), coding)
    remaining = [
        dataclasses.replace(one, coding=decided.get(one.id))
        for one in sources
        if decided.get(one.id, one) is not None
    ]
    return Survey(tuple(remaining), tuple(decisions), tuple(problems))


def evidence(root: Path, paths: Iterable[str]) -> list[Evidence | None]:
    """Gathers evidence of label files; None if a file is unreadable or names its labels itself."""
    found = []
    for path in paths:
        try:
            pixels = formats.stored_labels(root / path)
            found.append(None if pixels is None else gather_evidence(pixels))
        except MissingLibrary:
            raise
        except Exception:  # Any error of a library: reading the case will report it.
            found.append(None)
    return found


def _kind(one: CaseSource) -> str:
    """Returns the kind of a case's label files; empty if the format defines their meaning."""
    if one.reader not in READERS or not one.labels:
        return ""
    reader = suffixes.format_of(one.labels[0][0])
    return {"": "", "pictures": "pictures"}.get(reader, "volumes")


def _chosen(kind: str, members: Sequence[CaseSource]) -> list[str]:
    paths = [*dict.fromkeys(path for one in members for path, _ in one.labels)]
    most = PICTURES if kind == "pictures" else VOLUMES
    spread = np.linspace(0, len(paths) - 1, min(len(paths), most)).astype(int)
    return [paths[i] for i in spread]


def _title(dataset: str, paths: Sequence[str]) -> str:
    folder = os.path.commonpath([PurePosixPath(path).parent for path in paths])
    return f"{dataset} ({folder}/)" if folder else dataset
