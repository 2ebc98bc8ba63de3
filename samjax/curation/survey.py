"""Looks at the labels of every data set before any is read, and decides what they mean."""

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
from samjax.curation.label_pixels import Evidence, look
from samjax.extra import MissingLibrary

PICTURES, VOLUMES = 1000, 32  # Files of a data set that are looked at: all, or evenly chosen ones.
CHUNK = 16  # Files that are looked at in one piece of work.
READERS = ("pictures", "nifti", "itk", "dicom")  # Others say what their labels are.


@dataclasses.dataclass(frozen=True)
class Survey:
    """What the labels of a source are.

    Attributes:
        sources: The cases, with the decision on their labels.
        said: Each decision in words.
        problems: Data sets whose labels cannot be told, which have no cases among the sources.
    """

    sources: tuple[CaseSource, ...]
    said: tuple[str, ...]
    problems: tuple[Problem, ...]


def survey(
    sources: Sequence[CaseSource],
    inspect: Callable[[list[tuple[str, ...]]], Iterable[list[Evidence | None]]],
) -> Survey:
    """Decides what the labels of every data set mean, by all of its pictures or an even choice.

    Args:
        sources: The cases that were found.
        inspect: Looks at some label files, a tuple of paths at a time, in order; see `evidence`.
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
    looked = dict(
        pair
        for paths, found in zip(work, inspect(work), strict=True)
        for pair in zip(paths, found, strict=True)
    )
    decided, said, problems = {}, [], []
    for key, members in groups.items():
        seen = [one for path in chosen[key] if (one := looked[path]) is not None]
        if not seen:
            continue  # What is wrong with each file is said where it is read.
        title = f"labels of {_title(key[0], chosen[key])}"
        try:
            coding, words = label_kinds.decide(seen, members[0].known)
        except CaseError as error:
            kind = "unclear" if isinstance(error, label_kinds.AmbiguousLabelsError) else "bad"
            where = members[0].labels[0][0]
            problems.append(Problem(where, kind, f"{title}, such as {where}: {error}"))
            decided |= dict.fromkeys((one.id for one in members), None)
            continue
        said.append(f"{title}: {words}")
        decided |= dict.fromkeys((one.id for one in members), coding)
    kept = [
        dataclasses.replace(one, coding=decided.get(one.id))
        for one in sources
        if decided.get(one.id, one) is not None
    ]
    return Survey(tuple(kept), tuple(said), tuple(problems))


def evidence(root: Path, paths: Iterable[str]) -> list[Evidence | None]:
    """Looks at label files; None for those that cannot be read, or that name their labels."""
    found = []
    for path in paths:
        try:
            pixels = formats.stored_labels(root / path)
            found.append(None if pixels is None else look(pixels))
        except MissingLibrary:
            raise
        except Exception:  # Whatever a library trips over: reading the case will name it.
            found.append(None)
    return found


def _kind(one: CaseSource) -> str:
    """What the labels of a case are stored in; nothing where the format says what they mean."""
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
