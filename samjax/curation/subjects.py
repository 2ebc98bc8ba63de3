"""Finds the subject of each case: by description, pattern, file header or path."""

import dataclasses
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from samjax.curation import naming
from samjax.curation.case import CaseSource
from samjax.curation.options import CurationOptions
from samjax.data import subjects
from samjax.data.subjects import Subject

EXAMPLES = 3
SAID = "as the files say"
# Placeholders for a removed patient's ID.
_ANONYMOUS = re.compile(
    r"\W*|0+|x+|anon\w*|de-?identified|unknown|none|no_?(?:id|name)|n/?a|null|patient(?:_?id)?|test",
    re.IGNORECASE,
)


@dataclasses.dataclass(frozen=True)
class AssignedSubjects:
    """Cases with their subjects.

    Attributes:
        sources: Cases with their subjects.
        lines: Lines on the subjects, for the user.
    """

    sources: list[CaseSource]
    lines: list[str]


def assign(root: Path, sources: Sequence[CaseSource], options: CurationOptions) -> AssignedSubjects:
    """Finds the subject of every case.

    The first that is available is used: the description's `subject`, `options.subject_pattern`,
    the file's header (a DICOM patient), the path (see `samjax.data.subjects`). Cases of one DICOM
    study, or of one patient's folder, have one subject, whatever IDs their files have.

    Args:
        root: Source folder.
        sources: Cases; their `subject` is that of the file's header, if any.
        options: Options with descriptions of the folders.
    """
    by_path = _by_path((source.images[0] for source in sources), options)
    pairs = [(source, by_path[source.images[0]]) for source in sources]
    found = [_of(source, at, options) for source, at in pairs]
    names = [naming.label(f.name or s.dataset) for s, f in zip(sources, found, strict=True)]
    keys = [{("name", name.lower())} for name in names]
    for own, (source, _) in zip(keys, pairs, strict=True):
        own.update([("study", source.study)] if source.study else [])
    in_folders = [
        own | {("name", naming.label(at.name).lower())}
        if one.layout == SAID and at.depth is not None
        else own
        for own, one, (_, at) in zip(keys, found, pairs, strict=True)
    ]
    numbers = _joined(in_folders)
    if len(set(numbers)) == 1:  # All in one folder: the headers are more specific.
        numbers = _joined(keys)
    first: dict[int, str] = {}
    assigned = [
        dataclasses.replace(source, subject=first.setdefault(number, name))
        for source, number, name in zip(sources, numbers, names, strict=True)
    ]
    per_dataset: dict[str, list[tuple[CaseSource, Subject]]] = defaultdict(list)
    for source, one in zip(assigned, found, strict=True):
        per_dataset[source.dataset].append((source, one))
    lines = [line for name, of in sorted(per_dataset.items()) for line in _describe(name, of)]
    return AssignedSubjects(assigned, lines)


def dataset_folders(paths: Iterable[str], options: CurationOptions) -> dict[str, str]:
    """Returns the folder of the data set of each file.

    It is the described folder, or the top one, unless the latter's name only means images or
    labels, or it is a patient's.
    """
    folders = {}
    for path, one in _by_path(paths, options).items():
        known = options.dataset_of(path)
        at_top = "." if one.depth == 0 else naming.dataset_folder(path)
        folders[path] = known.folder if known.folder != "." or known.files else at_top
    return folders


def summary(subject_of: Iterable[tuple[str, str, str]]) -> list[str]:
    """Summarizes the subjects in lines: counts and a few examples of each data set.

    Args:
        subject_of: Data set, path and subject of every image.
    """
    per_dataset: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for dataset, image, subject in subject_of:
        per_dataset[dataset][subject].append(image)
    return [line for name, of in sorted(per_dataset.items()) for line in _lines(name, of, "")]


def _by_path(paths: Iterable[str], options: CurationOptions) -> dict[str, Subject]:
    """Finds the subjects of files by their paths; depths are those in the whole path."""
    grouped: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        grouped[options.dataset_of(path).folder].append(path)
    found = {}
    for folder, members in grouped.items():
        above = len(PurePosixPath(folder).parts)
        inner = {str(PurePosixPath(path).relative_to(folder)): path for path in members}
        for path, one in subjects.subjects(inner).items():
            depth = None if one.depth is None else one.depth + above
            found[inner[path]] = dataclasses.replace(one, depth=depth)
    return found


def _of(source: CaseSource, by_path: Subject, options: CurationOptions) -> Subject:
    image = source.images[0]
    for pattern, layout in (
        (source.known.subject, "as described"),
        (options.subject_pattern, "by the pattern"),
    ):
        match = re.search(pattern, image) if pattern else None
        if match and match[1]:
            return Subject(match[1], None, layout)
    if not _ANONYMOUS.fullmatch(source.subject):
        return Subject(source.subject, None, SAID)
    if source.study and by_path.depth is None:
        return Subject(source.study, None, "by DICOM study")
    return by_path


def _joined(keys: Sequence[set[tuple[str, str]]]) -> list[int]:
    """Numbers sets of keys: sets that are linked by shared keys get one number (union-find)."""
    parent: dict[tuple[str, str], tuple[str, str]] = {}

    def top(key: tuple[str, str]) -> tuple[str, str]:
        while parent.setdefault(key, key) != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for own in keys:
        first, *others = own
        for other in others:
            parent[top(other)] = top(first)
    numbers: dict[tuple[str, str], int] = {}
    return [numbers.setdefault(top(next(iter(own))), len(numbers)) for own in keys]


def _describe(dataset: str, members: Sequence[tuple[CaseSource, Subject]]) -> list[str]:
    images: dict[str, list[str]] = defaultdict(list)
    for source, _ in members:
        images[source.subject].append(source.images[0])
    layouts = Counter(one.layout for _, one in members)
    how = ", ".join(layout for layout, _ in layouts.most_common())
    return _lines(dataset, images, f", {how}")


def _lines(dataset: str, images: dict[str, list[str]], how: str) -> list[str]:
    count = sum(map(len, images.values()))
    lines = [f"subjects of {dataset}: {len(images):,} in {count:,} images{how}"]
    lines += [f"  {of[0]} -> {subject}" for subject, of in [*images.items()][:EXAMPLES]]
    return lines
