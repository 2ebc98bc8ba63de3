"""Reports images without labels and labels without images."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from samjax.curation import filename_words, naming, pairing, suggestion
from samjax.curation.discovery_result import DiscoveryResult, Problem

FEW = 3  # Up to here files are listed one by one.


def report(root: Path, pairs: pairing.Pairs, lost: Sequence[str], result: DiscoveryResult) -> None:
    """Adds images without labels and labels without images to the problems.

    For a top folder in which no pair was found, it suggests a description.
    """
    read = {
        naming.dataset_folder(path)
        for one in pairs.pairs
        for path in (one.image, *dict(one.labels))
    }
    read |= {naming.dataset_folder(path) for path in pairs.unclear}
    read |= {naming.dataset_folder(path) for source in result.sources for path in source.images}
    wanting = [path for path in pairs.alone if not filename_words.is_for_testing(path)]
    tops: dict[str, list[str]] = defaultdict(list)
    for path in (*wanting, *lost):
        tops[naming.dataset_folder(path)].append(path)
    for top, unread in tops.items():
        if top not in read and len(unread) > FEW:
            detail = suggestion.suggest(root, top, unread)
            result.problems.append(Problem(top, "unclear", detail))
            wanting = [path for path in wanting if naming.dataset_folder(path) != top]
            lost = [path for path in lost if naming.dataset_folder(path) != top]
    report_unpaired([*wanting, *filter(filename_words.is_for_testing, pairs.alone)], lost, result)


def report_unpaired(images: Sequence[str], labels: Sequence[str], result: DiscoveryResult) -> None:
    """Adds images without labels (test images as a note) and labels without images."""
    wanting = [path for path in images if not filename_words.is_for_testing(path)]
    _add(result, "no_label", "labels of that name", wanting)
    _add(result, "no_image", "an image of that name", labels)
    _note(result, "images without labels", filter(filename_words.is_for_testing, images))


def report_unlabelled_series(result: DiscoveryResult) -> None:
    """Adds the DICOM series without labels to the problems."""
    first = [source.images[0] for source in result.unlabelled]
    wanting = [path for path in first if not filename_words.is_for_testing(path)]
    _add(result, "no_label", "labels for this series or file", wanting, naming.dataset_folder)
    testing = (path for path in first if filename_words.is_for_testing(path))
    _note(result, "DICOM series without labels", testing)


def note_skipped(paths: Iterable[str], result: DiscoveryResult) -> None:
    """Adds a note on files that a layout or a description leaves out."""
    _note(result, "files that are neither image nor label there", paths)


def _add(
    result: DiscoveryResult,
    kind: str,
    expected: str,
    paths: Sequence[str],
    by: Callable[[str], str] | None = None,
) -> None:
    for folder, members in _by(by or _folder, paths).items():
        if len(members) <= FEW:
            for path in members:
                detail = f"{path}: expected {expected}, found none"
                result.problems.append(Problem(path, kind, detail))
        else:
            detail = (
                f"{folder}: expected {expected} for each of {len(members):,} files, found none: "
                f"{', '.join(members[:FEW])}, ..."
            )
            result.problems.append(Problem(members[0], kind, detail))


def _note(result: DiscoveryResult, what: str, paths: Iterable[str]) -> None:
    for folder, members in _by(naming.dataset_folder, paths).items():
        result.notes.append(f"{folder}: {len(members):,} {what}, such as {members[0]}")


def _by(name: Callable[[str], str], paths: Iterable[str]) -> Mapping[str, list[str]]:
    """Groups paths by folder; many numbered folders, such as those of cases, become one group."""
    paths = list(paths)
    many = len({name(path) for path in paths}) > FEW
    groups: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        groups[re.sub(r"\d+", "#", name(path)) if many else name(path)].append(path)
    return groups


def _folder(path: str) -> str:
    return str(PurePosixPath(path).parent)
