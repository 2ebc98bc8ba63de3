"""Checks a data folder: errors, warnings, and leaks between the splits."""

import dataclasses
import functools
import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from samjax import visualization
from samjax.curation import left_out
from samjax.curation.subjects import summary
from samjax.data import duplicates, index, metadata, quality
from samjax.data.files import read_mask, write_whole
from samjax.data.index import Sample
from samjax.data.quality import QualityIssue
from samjax.data.subjects import subjects as subjects_of

COPY, SUBJECT, FOLDER, REPEATED = "copy", "subject", "folder", "repeated"
_NAMED = 5  # Most files of a kind in a report.


@dataclasses.dataclass(frozen=True)
class QualityReport:
    """Result of a check.

    Attributes:
        images: Number of images checked.
        masks: Number of masks checked.
        errors: Files that cannot be used.
        warnings: Files that can be used, but look wrong.
        leaks: Training images with a copy in the test split, or of a subject or a patient's folder
            in the test split.
        subjects: Lines on the subjects that were found.
    """

    images: int
    masks: int
    errors: tuple[QualityIssue, ...]
    warnings: tuple[QualityIssue, ...]
    leaks: tuple[QualityIssue, ...]
    subjects: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether there are neither errors nor leaks."""
        return not self.errors and not self.leaks

    def __str__(self) -> str:
        lines = [f"{self.images:,} images with {self.masks:,} masks checked"]
        for title, problems in (
            ("cannot be used", self.errors),
            ("in training and test", self.leaks),
            ("worth a look", self.warnings),
        ):
            kinds: dict[str, list[QualityIssue]] = defaultdict(list)
            for problem in problems:
                kinds[problem.kind].append(problem)
            for kind, of_kind in sorted(kinds.items(), key=lambda item: -len(item[1])):
                lines.append(f"{title}: {len(of_kind):,} {kind}")
                lines += [f"  {problem.detail}" for problem in of_kind[:_NAMED]]
                if len(of_kind) > _NAMED:
                    lines.append(f"  and {len(of_kind) - _NAMED:,} more")
        return "\n".join(lines if len(lines) > 1 else [*lines, "no problem found"])


def check_folder(
    root: str | os.PathLike[str],
    splits: Sequence[str],
    size: int = 256,
    resize: str = "longest_side",
    threads: int = 4,
    subject_pattern: str = "",
) -> QualityReport:
    """Reads every image and mask of some splits.

    Args:
        root: The data folder.
        splits: Splits to check; leaks are searched between any two of them.
        size: Side of the network's input, to which masks are resized for the check.
        resize: Method of resizing, see `samjax.data.inputs.Preprocessing`.
        threads: Number of threads that read files.
        subject_pattern: Regular expression whose first group in an image's path is the subject;
            it takes precedence over tables and names.

    Raises:
        DataError: There is no index of a split.
    """
    of_split = {split: index.load_index(root, split) for split in splits}
    sides = [split for split, samples in of_split.items() for _ in samples]
    samples = [sample for of_one in of_split.values() for sample in of_one]
    described = index.load_metadata(root, samples)
    inspect = functools.partial(_inspect, Path(root), described)
    checked = quality.check_and_visit(root, samples, size, resize, threads, inspect)
    errors, warnings, thumbnails, images = [], [], [], []
    for split in of_split:
        for path, count in index.find_repeated(root, split).items():
            detail = f"{Path(root) / path}: listed {count} times in the split {split}, used once"
            warnings.append(QualityIssue(path, REPEATED, detail))
    subjects = _subjects(samples, described, subject_pattern)
    leaks = _shared(SUBJECT, "subject", subjects, samples, sides)
    leaks |= _shared(FOLDER, "folder", _folders(Path(root)), samples, sides)
    seen: dict[str, tuple[str, str]] = {}
    for split, sample, (issues, inspected) in zip(sides, samples, checked, strict=True):
        digest, thumbnail, suspicious = inspected or ("", None, [])
        errors += [problem for problem in issues if not problem.is_warning]
        warnings += [problem for problem in issues if problem.is_warning] + suspicious
        first = seen.setdefault(digest, (split, sample.image)) if digest else (split, "")
        if first[0] != split:
            detail = f"{Path(root) / first[1]} ({first[0]}) is in {split} as {sample.image}"
            leaks[first[1]] = QualityIssue(first[1], COPY, detail)
        if thumbnail is not None:
            thumbnails.append(thumbnail)
            images.append((split, sample.image))
    for one, other in duplicates.find_duplicates(thumbnails, [split for split, _ in images]):
        (split, image), (second, copy) = sorted(
            (images[one], images[other]), key=lambda place: splits.index(place[0])
        )
        detail = f"{Path(root) / image} ({split}) is in {second} as {copy}, or a copy of it"
        leaks.setdefault(image, QualityIssue(image, COPY, detail))
    return QualityReport(
        images=len(samples),
        masks=sum(len(sample.masks) for sample in samples),
        errors=tuple(errors),
        warnings=tuple(warnings),
        leaks=tuple(leaks.values()),
        subjects=tuple(
            summary((s.dataset, s.image, subjects[s.image].split("/", 1)[-1]) for s in samples)
        ),
    )


def fix(root: str | os.PathLike[str], report: QualityReport) -> list[str]:
    """Fixes a data folder where that is safe; images are never changed, and no file is deleted.

    Errors and leaks are removed from the index files (which are kept as `<name>.before`), also in
    later runs of `prepare`, see `left_out`. Masks with grey edges are rewritten as 0 and 255.

    Returns:
        Lines on the changes.
    """
    done = []
    removed = {problem.path: problem.detail for problem in (*report.errors, *report.leaks)}
    repeated = {problem.path for problem in report.warnings if problem.kind == REPEATED}
    files = index.remove_files(root, removed) if removed or repeated else []
    if repeated:
        done.append(f"listed once: {len(repeated)} files")
    if removed:
        left_out.add(Path(root), removed)
        names = ", ".join(path.name for path in files)
        done.append(
            f"left out of {names or 'no index'}: {len(removed)} files, listed in {left_out.NAME}"
        )
    grey = [p.path for p in report.warnings if p.kind == "not_binary" and p.path.endswith(".png")]
    for path in grey:
        mask = read_mask(Path(root) / path)
        write_whole(Path(root) / path, visualization.encode_png(mask * np.uint8(255)))
    if grey:
        done.append(f"written anew as 0 and 255: {len(grey)} masks")
    return done


def _inspect(
    root: Path,
    described: Mapping[str, metadata.Metadata],
    sample: Sample,
    image: np.ndarray,
    order: str,
    masks: Mapping[str, np.ndarray],
) -> tuple[str, np.ndarray | None, list[QualityIssue]]:
    """Returns an image's digest, its thumbnail, and warnings on it and its masks."""
    modality = metadata.modality_of(described[sample.masks[0]].modality)
    results = [(sample.image, quality.inspect_image(image, order, modality))]
    results += [(path, quality.inspect_mask(mask)) for path, mask in masks.items()]
    problems = [
        QualityIssue(path, kind_detail[0], f"{root / path}: {kind_detail[1]}")
        for path, kind_detail in results
        if kind_detail
    ]
    return duplicates.pixel_digest(image), duplicates.thumbnail(image), problems


def _subjects(
    samples: Sequence[Sample], described: Mapping[str, metadata.Metadata], pattern: str
) -> dict[str, str]:
    """Returns the subject of every image: by the table, or else by the names in all splits."""
    subjects = {}
    for sample in samples:
        case = described[sample.masks[0]].case if sample.masks else sample.case
        match = re.search(pattern, sample.image) if pattern else None
        by_table = sample.patient or f"{sample.dataset}/{case}"
        subjects[sample.image] = match[1] if match and match[1] else by_table
    return subjects


def _folders(root: Path) -> dict[str, str]:
    """Returns the source's patient folder of every image that the manifest lists."""
    of_image = {row["image"]: row.get("source_image", "") for row in metadata.read_table(root)}
    found = subjects_of(path for path in of_image.values() if path)
    folders = {}
    for image, path in of_image.items():
        if path and (depth := found[path].depth) is not None:
            folders[image] = "/".join(PurePosixPath(path).parts[: depth + 1])
    return folders


def _shared(
    kind: str, title: str, owner: Mapping[str, str], samples: Sequence[Sample], sides: Sequence[str]
) -> dict[str, QualityIssue]:
    """Returns issues of images whose owner is in a later split, too; the first of each first."""
    places: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for sample, side in zip(samples, sides, strict=True):
        if name := owner.get(sample.image, ""):
            places[name][side].append(sample.image)
    issues: dict[str, list[QualityIssue]] = {}
    for name, of_side in places.items():
        *earlier, last = of_side
        detail = f"{title} {name}: {{}} ({{}}) is in {last}, too, as {of_side[last][0]}"
        issues[name] = [
            QualityIssue(image, kind, detail.format(image, side))
            for side in earlier
            for image in of_side[side]
        ]
    firsts = [problems[0] for problems in issues.values() if problems]
    others = [problem for problems in issues.values() for problem in problems[1:]]
    return {problem.path: problem for problem in (*firsts, *others)}
