"""Finds DICOM series, and the RTSTRUCT and SEG files that refer to them."""

import filecmp
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from samjax.curation import class_table, naming, suffixes
from samjax.curation.case import CaseError, CaseSource
from samjax.curation.discovery_result import DiscoveryResult, Problem
from samjax.curation.formats.dicom import header as dicom
from samjax.curation.formats.dicom import references
from samjax.curation.options import CurationOptions, Dataset
from samjax.curation.subjects import dataset_folders

# Suffixes of files that are not DICOM, so that their content need not be read.
_OTHERS = (
    ".json", ".toml", ".csv", ".tsv", ".txt", ".md", ".xml", ".yaml", ".yml", ".py", ".npy", ".npz",
    ".zip", ".gz", ".tar", ".pdf", ".html", ".log", ".h5", ".bval", ".bvec",
)  # fmt: skip


def discover(
    root: Path, files: Sequence[str], options: CurationOptions, result: DiscoveryResult
) -> set[str]:
    """Finds DICOM series with the RTSTRUCT and SEG files that refer to them."""
    headers: dict[str, dicom.Header] = {}
    taken: set[str] = set()
    candidates = [path for path in files if _is_dicom(root, path, options.dataset_of(path))]
    for path in tqdm(candidates, desc="DICOM headers", unit="file", disable=None):
        taken.add(path)
        try:
            headers[path] = dicom.header(root / path)
        except CaseError as error:
            result.problems.append(Problem(path, "unreadable", str(error)))
    headers = _without_copies(root, headers, result)
    series: dict[str, list[str]] = defaultdict(list)
    for path, header in headers.items():
        if header.is_image:
            series[header.series].append(path)
    series = _by_folder(series)
    _report_others(headers, result)
    labels, parts = _labels(headers, series, result)
    subjects = {uid: _subject(headers[images[0]], images[0]) for uid, images in series.items()}
    names = {uid: _name(subjects[uid], headers[i[0]], i[0]) for uid, i in series.items()}
    folders = dataset_folders((images[0] for images in series.values()), options)
    repeated = {name for name, count in Counter(names.values()).items() if count > 1}
    for uid, images in series.items():
        header, known = headers[images[0]], options.dataset_of(images[0])
        try:
            named = class_table.with_table(root, (images[0], *labels[uid]), known)
            if labels[uid] and all(headers[p].kind == references.STRUCTURES for p in labels[uid]):
                named = known  # Regions have names of their own, and no numbers to look up.
        except CaseError as error:
            result.problems.append(Problem(images[0], "unreadable", str(error)))
            continue
        token = dicom.MODALITIES.get(header.kind, "")
        name = names[uid]
        if name in repeated:  # Series with the same name get a hash.
            name += "_" + naming.short_hash(uid)
        where = result.sources if labels[uid] else result.unlabelled
        where.append(
            CaseSource(
                reader="dicom",
                name=name,
                subject=header.patient,
                study=header.study,
                dataset=naming.safe(known.name or naming.title(root, folders[images[0]])),
                modality=known.modality or naming.modality(images[0], token),
                images=tuple(images),
                labels=tuple((path, "") for path in labels[uid]),
                known=named,
                parts=parts[uid],
            )
        )
    return taken


def _is_dicom(root: Path, path: str, known: Dataset) -> bool:
    """Whether a file is DICOM: by its content, unless its suffix is that of another format.

    In a folder described as DICOM, the content decides whatever the suffix, and a file without a
    suffix of another format is always taken for DICOM.
    """
    described = known.format == "dicom"
    other = suffixes.format_of(path) or path.lower().endswith(_OTHERS)
    if other and not described:
        return False
    return dicom.is_dicom(root / path) or (described and not other)


def _without_copies(
    root: Path, headers: Mapping[str, dicom.Header], result: DiscoveryResult
) -> dict[str, dicom.Header]:
    """Leaves out files that have a copy under another name."""
    first: dict[str, str] = {}
    unique = {}
    for path, header in headers.items():
        other = first.setdefault(header.uid or path, path)
        if other != path and filecmp.cmp(root / path, root / other, shallow=False):
            detail = f"{path}: expected every DICOM file once, found {other} that is the same"
            result.problems.append(Problem(path, "duplicate", detail))
        else:
            unique[path] = header
    return unique


def _by_folder(series: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Splits a series whose echoes lie in named folders, such as InPhase and OutPhase."""
    found = {}
    for uid, images in series.items():
        folders: dict[str, list[str]] = defaultdict(list)
        for path in images:
            folders[str(PurePosixPath(path).parent)].append(path)
        are_words = not any(re.search(r"\d", PurePosixPath(folder).name) for folder in folders)
        if len(folders) > 1 and are_words and len({len(of) for of in folders.values()}) == 1:
            found |= {f"{uid} {folder}": of for folder, of in folders.items()}
        else:
            found[uid] = images
    return found


def _labels(
    headers: Mapping[str, dicom.Header],
    series: Mapping[str, Sequence[str]],
    result: DiscoveryResult,
) -> tuple[Mapping[str, list[str]], Mapping[str, dict[str, tuple[int, ...]]]]:
    """Returns the label files of every series, and its parts of files that label others, too.

    Labels that belong to no series are reported as problems.
    """
    series_of = {headers[path].uid: uid for uid, images in series.items() for path in images}
    stills = Counter(headers[images[0]].series_uid for images in series.values())
    series_of |= {s: uid for uid, i in series.items() if stills[s := headers[i[0]].series_uid] == 1}
    series_of.pop("", None)
    index = references.SeriesIndex(
        series_of, {uid: headers[i[0]].frame for uid, i in series.items()}
    )
    labels: dict[str, list[str]] = defaultdict(list)
    parts: dict[str, dict[str, tuple[int, ...]]] = defaultdict(dict)
    for path, header in headers.items():
        if not header.is_label:
            continue
        numbers: dict[str, list[int]] = defaultdict(list)
        for part in header.parts:
            try:
                for uid in index.labelled_by(part):
                    numbers[uid].append(part.number)
            except CaseError as error:
                where = f"{path}: {part.name}" if part.name else path
                result.problems.append(Problem(path, "no_image", f"{where}: {error}"))
        if not header.parts:
            detail = f"{path}: expected regions with contours, found none"
            result.problems.append(Problem(path, "no_label", detail))
        for uid, of_series in numbers.items():
            labels[uid].append(path)
            if len(numbers) > 1 or len(of_series) < len(header.parts):
                parts[uid][path] = tuple(of_series)
    return labels, parts


def _report_others(headers: Mapping[str, dicom.Header], result: DiscoveryResult) -> None:
    """Reports files that are neither image nor label, all in one line."""
    others = [p for p, header in headers.items() if not header.is_image and not header.is_label]
    if others:
        kinds = sorted({headers[path].kind for path in others})
        detail = (
            f"{others[0]}: expected DICOM images or labels, found {', '.join(kinds)} "
            f"in {len(others)} files, which are left alone"
        )
        result.problems.append(Problem(others[0], "no_picture", detail))


def _subject(header: dicom.Header, path: str) -> str:
    """Returns the patient, or the study, or else the folder."""
    return header.patient or header.study or str(PurePosixPath(path).parent)


def _name(subject: str, header: dicom.Header, path: str) -> str:
    """Returns the name of a series: its patient, and its description or folder."""
    return naming.safe(f"{subject}_{header.description or PurePosixPath(path).parent.name}")
