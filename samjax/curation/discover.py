"""Finds the cases in a folder of mixed formats."""

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
    """Finds all cases below a folder; reads DICOM headers and index files, but no pixels.

    Args:
        root: The source folder.
        options: Options with descriptions of its folders.

    Returns:
        The cases, in the order of their names, each once; and the problems.

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
    assigned = subjects.assign(root, _unique(result), options)
    return DiscoveryResult(assigned.sources, [], result.problems, result.notes, assigned.lines)


def _unique(result: DiscoveryResult) -> list[CaseSource]:
    """Sorts the sources and makes their names unique.

    Names that become equal by removing unsafe characters get a hash, and so do names that differ
    only in capitals, which are one file on some file systems. Of two equal names the second is
    left out.
    """
    by_id: dict[str, CaseSource] = {}
    for source in sorted(result.sources, key=lambda s: (s.id, s.images)):
        first = by_id.setdefault(source.id, source)
        if first is source:
            continue
        if _original(first) != _original(source):
            name = f"{source.name}_{naming.short_hash(_original(source))}"
            source = dataclasses.replace(source, name=name)
            first = by_id.setdefault(source.id, source)
        if first is not source:
            detail = (
                f"{source.images[0]}: expected one case named {source.id}, found "
                f"{first.images[0]}, too; name the datasets or subjects apart"
            )
            result.problems.append(Problem(source.images[0], "duplicate", detail))
    alike: dict[str, list[CaseSource]] = defaultdict(list)
    for source in by_id.values():
        alike[source.id.lower()].append(source)
    for group in (members for members in alike.values() if len(members) > 1):
        images = ", ".join(source.images[0] for source in group)
        result.notes.append(f"names that differ only in capitals, kept apart by a hash: {images}")
        for source in group:
            name = f"{source.name}_{naming.short_hash(source.images[0])}"
            by_id[source.id] = dataclasses.replace(source, name=name)
    return list(by_id.values())


def _original(source: CaseSource) -> str:
    """Returns the original name of a case, with its number if a file holds several."""
    path = PurePosixPath(source.images[0]).relative_to(source.known.folder)
    return f"{path.with_name(stem_of(path.name))} {source.item}"
