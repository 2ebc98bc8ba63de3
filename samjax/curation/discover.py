"""Finds the cases in a folder, whatever mixture of formats it holds."""

import dataclasses
from collections import defaultdict
from pathlib import Path, PurePosixPath

from samjax.curation import layouts, naming, subjects, walk
from samjax.curation.case import CaseSource
from samjax.curation.discovery_result import DiscoveryResult, Problem
from samjax.curation.formats import DISCOVERERS, unpaired
from samjax.curation.options import CurationOptions
from samjax.data.files import DataError
from samjax.data.subjects import stem_of


def discover(root: Path, options: CurationOptions) -> DiscoveryResult:
    """Finds all cases below a folder; reads the headers of DICOM files, and no other content.

    Args:
        root: The source folder.
        options: What is known of its folders.

    Returns:
        The cases, in the order of their names, each once; and what is not a case and why.

    Raises:
        DataError: The folder does not exist, or holds nothing of a known format.
    """
    if not root.is_dir():
        raise DataError(f"{root}: expected a folder, found none")
    for dataset in options.datasets:
        if not (root / dataset.folder).is_dir():
            raise DataError(f"{root / dataset.folder}: described, but no such folder")
    result = DiscoveryResult()
    files = walk.files(root, result)
    options, notes = layouts.described(root, files, options)
    result.notes += notes
    for discover_format, formats in DISCOVERERS:
        offered = [path for path in files if options.dataset_of(path).format in ("", *formats)]
        taken = discover_format(root, offered, options, result)
        files = [path for path in files if path not in taken]
    unpaired.report_unlabelled_series(result)
    if not result.sources and not result.problems:
        raise DataError(f"{root}: expected images or volumes, found none among {len(files)} files")
    assigned = subjects.assign(root, _each_once(result), options)
    return DiscoveryResult(assigned.sources, [], result.problems, result.notes, assigned.told)


def _each_once(result: DiscoveryResult) -> list[CaseSource]:
    """Orders the sources, each with a name of its own.

    Different names that become one where only safe characters are left, and those that differ only
    in capitals and would be one file on some file systems, get a hash; of two that are the same to
    begin with, the second is left out.
    """
    kept: dict[str, CaseSource] = {}
    for source in sorted(result.sources, key=lambda s: (s.id, s.images)):
        first = kept.setdefault(source.id, source)
        if first is source:
            continue
        if _original(first) != _original(source):
            name = f"{source.name}_{naming.short_hash(_original(source))}"
            source = dataclasses.replace(source, name=name)
            first = kept.setdefault(source.id, source)
        if first is not source:
            detail = (
                f"{source.images[0]}: expected one case named {source.id}, found "
                f"{first.images[0]}, too; name the datasets or subjects apart"
            )
            result.problems.append(Problem(source.images[0], "duplicate", detail))
    alike: dict[str, list[CaseSource]] = defaultdict(list)
    for source in kept.values():
        alike[source.id.lower()].append(source)
    for several in (members for members in alike.values() if len(members) > 1):
        images = ", ".join(source.images[0] for source in several)
        result.notes.append(f"names that differ only in capitals, kept apart by a hash: {images}")
        for source in several:
            name = f"{source.name}_{naming.short_hash(source.images[0])}"
            kept[source.id] = dataclasses.replace(source, name=name)
    return list(kept.values())


def _original(source: CaseSource) -> str:
    """The name of a case as its folder has it, and of several in a file which it is."""
    path = PurePosixPath(source.images[0]).relative_to(source.known.folder)
    return f"{path.with_name(stem_of(path.name))} {source.item}"
