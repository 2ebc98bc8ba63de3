"""Curates a whole folder; later runs only do new and changed cases."""

import contextlib
import dataclasses
import errno
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from samjax.curation import curate, left_out, local, store, survey
from samjax.curation.case import CaseSource
from samjax.curation.curate import Counts
from samjax.curation.discover import discover
from samjax.curation.discovery_result import Problem
from samjax.curation.label_pixels import Evidence
from samjax.curation.options import CurationOptions
from samjax.data.files import DataError, write_whole
from samjax.extra import MissingLibrary

PAPER = CurationOptions()


@dataclasses.dataclass(frozen=True)
class Summary:
    """Summary of a run.

    Attributes:
        cases: Cases with masks in the target.
        done: Cases that this run curated, with masks or without.
        images: Images in each split.
        counts: Numbers of slices and objects that the rules kept and left out.
        problems: Files and cases that were left out, with reasons.
        notes: Lines on recognised data sets and files that are no case.
        labels: Lines on the meaning of every data set's labels.
    """

    cases: int
    done: int
    images: Mapping[str, int]
    counts: Counts
    problems: tuple[Problem, ...]
    notes: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether all files and cases could be used; cases without objects are no problem."""
        return all(problem.kind in ("no_mask", "no_picture") for problem in self.problems)

    def __str__(self) -> str:
        images = " + ".join(f"{count:,} {name}" for name, count in self.images.items())
        lines = [
            f"{self.cases:,} cases with masks ({self.done:,} cases curated now), images: {images}, "
            f"{self.counts.masks:,} masks",
            f"left out by the rules: {self.counts.small:,} objects under the smallest area, "
            f"{self.counts.elongated:,} slices too long for their width",
        ]
        if self.counts.unnamed:
            lines.append(
                f"left out, not named in a table of classes: {self.counts.unnamed:,} labels"
            )
        lines += [f"left out: {n:,} {what}" for what, n in sorted(self.counts.left_out.items())]
        lines += self.notes
        if self.problems:
            lines.append(f"left out for a problem: {len(self.problems)}")
            lines += [f"  {problem.kind}: {problem.detail}" for problem in self.problems]
        return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class WorkResult:
    """Result of a piece of work: of a case, or of some label files.

    Attributes:
        case: Name of the case, or the first label file.
        classes: Classes that the case may have, as returned by `classes`.
        problem: Reason to leave out the case; None if it can be used.
        evidence: Evidence of label files, as JSON, as returned by `labels`.
    """

    case: str
    classes: tuple[str, ...] = ()
    problem: Problem | None = None
    evidence: tuple[Any, ...] = ()


# Runs a function on every piece of work, in any order. Arguments: title, function, work, further
# arguments of the function, and a function for pieces at which the process died.
Executor = Callable[..., Iterable[WorkResult]]


def prepare(
    source: Path,
    target: Path,
    options: CurationOptions = PAPER,
    executor: Executor = local.run,
    log: Callable[[str], None] = lambda line: None,
) -> Summary:
    """Curates a folder of mixed formats by the paper's rules (section 3.1).

    A second run only does new and changed cases; cases that are gone from the source are removed.
    A case that cannot be used is named in the summary and in `report.json`; the others go on.

    Args:
        source: The folder to curate; nothing in it is changed.
        target: The folder to write, in SA-Med2D-20M's layout with both JSON indexes.
        options: Parameters of the rules, and descriptions of the source's folders.
        executor: Runs the work: on this machine, see `samjax.curation.local`, or by Beam, see
            `samjax.curation.beam`.
        log: Function that gets lines on subjects and labels before anything is written.

    Raises:
        DataError: There is nothing to curate, or the target cannot be written.
        Interrupted: SIGTERM or Ctrl-C; the same call continues.
        MissingLibrary: A format needs a library that is not installed.
    """
    _check_target(source, target)
    discovered = discover(source, options)
    for line in discovered.subjects:
        log(line)
    problems = list(discovered.problems)
    surveyed = _survey(discovered.sources, source, executor)
    problems += surveyed.problems
    for line in surveyed.decisions:
        log(line)
    fingerprints: dict[str, str] = {}
    sources: list[CaseSource] = []
    for one in surveyed.sources:
        try:
            fingerprints[one.id] = store.fingerprint(source, one, options)
            sources.append(one)
        except DataError as error:
            problems.append(Problem(one.images[0], "bad", str(error)))
    fresh, notes = _fresh(target, sources, fingerprints)
    named = [*executor("classes", classes, fresh, (source, options), crashed)]
    numbers = store.number_classes(target, [name for one in named for name in one.classes])
    store.write_classes(target, numbers)
    usable = {one.case for one in named if one.problem is None}
    work = [(one, fingerprints[one.id]) for one in fresh if one.id in usable]
    curated = [*executor("curating", case, work, (source, target, options, numbers), crashed)]
    problems += [one.problem for one in (*named, *curated) if one.problem is not None]
    done = sum(one.problem is None for one in curated)
    bad = {problem.where for problem in problems}
    notes = [*discovered.notes, *notes]
    return finish(target, sources, options, problems, done, bad, notes, surveyed.decisions)


def labels(paths: Sequence[str], source: Path) -> WorkResult:
    """Gathers evidence of label files; see `samjax.curation.survey`."""
    evidence = survey.evidence(source, paths)
    content = tuple(None if one is None else dataclasses.asdict(one) for one in evidence)
    return WorkResult(paths[0], evidence=content)


def classes(one: CaseSource, source: Path, options: CurationOptions) -> WorkResult:
    """Returns the classes of a case; a problem is returned, not raised."""
    names = {name for _, name in one.labels}
    if "" in names or one.known.classes:
        try:
            names = names - {""} | _classes_of(one, source, options)
        except Exception as error:
            return _failed(one, error)
    named = {one.known.class_of(name) for name in names} - {""}
    return WorkResult(one.id, tuple(sorted(named)))


def case(
    work: tuple[CaseSource, str],
    source: Path,
    target: Path,
    options: CurationOptions,
    numbers: Mapping[str, int],
) -> WorkResult:
    """Curates a case and writes its files, then its journal entry."""
    one, fingerprint = work
    counts, rows, written = Counts(), [], {}
    try:
        store.remove(target, one.id)
        for files, of_slice in curate.curate(source, one, options, numbers, counts):
            for path, content in files.items():
                written[path] = store.StoredFile.of(content)
                write_whole(target / path, content)
            rows.extend(of_slice)
        store.write_case(
            target, store.StoredCase(one.id, fingerprint, tuple(rows), counts, written)
        )
    except BaseException as error:  # The case cannot be used or written, or the run is interrupted.
        with contextlib.suppress(OSError):
            store.remove_files(target, written)
        too_long = isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG
        if not isinstance(error, Exception) or (isinstance(error, OSError) and not too_long):
            raise
        return _failed(one, error)
    return WorkResult(one.id)


def crashed(work: CaseSource | tuple[CaseSource, str], reason: str) -> WorkResult:
    """Returns the result for a case at which a process died."""
    one = work if isinstance(work, CaseSource) else work[0]
    return _failed(one, DataError(f"{one.images[0]}: expected to be read, found that {reason}"))


def _unseen(paths: Sequence[str], reason: str) -> WorkResult:
    del reason  # Reading the cases themselves will report it.
    return WorkResult(paths[0], evidence=(None,) * len(paths))


def _failed(one: CaseSource, error: Exception) -> WorkResult:
    """Returns the result for a case that cannot be used, after any exception."""
    if isinstance(error, MissingLibrary):
        raise error
    detail = str(error)
    if not isinstance(error, DataError):
        detail = f"{one.images[0]}: cannot be used: {type(error).__name__}: {error}"
    return WorkResult(one.id, problem=Problem(one.id, "bad", detail))


def finish(
    target: Path,
    sources: Iterable[CaseSource],
    options: CurationOptions,
    problems: list[Problem],
    done: int,
    bad: set[str],
    notes: Sequence[str] = (),
    decisions: tuple[str, ...] = (),
) -> Summary:
    """Writes the indexes over all cases, and removes cases that the source no longer has."""
    wanted = sorted(one.id for one in sources if one.id not in bad)
    for name in set(store.cases(target)) - set(wanted):
        store.remove(target, name)
    total, cases = Counts(), 0
    for name in wanted:
        stored = store.read_case(target, name)
        counts = stored.counts if stored else Counts()
        cases += counts.masks > 0
        total.add(counts)
        problems += [Problem(name, "bad_part", detail) for detail in counts.bad]
        if stored and not counts.masks:
            detail = (
                f"{name}: expected an object that the rules keep, found {counts.small} small ones"
            )
            problems.append(Problem(name, "no_mask", detail))
    if not total.masks:
        store.remove_indexes(target)
        raise DataError("no mask is left.\n" + "\n".join(p.detail for p in problems))
    images, masks = store.write_indexes(target, wanted, options, left_out.read(target))
    if masks < total.masks:
        what = f"masks that a check took out, see {target / left_out.NAME}"
        total.add(Counts(masks=masks - total.masks, left_out={what: total.masks - masks}))
    ordered = tuple(sorted(problems, key=lambda p: (p.where, p.kind)))
    summary = Summary(cases, done, images, total, ordered, tuple(notes), decisions)
    store.write_report(target, _report(summary))
    return summary


def _report(summary: Summary) -> dict[str, Any]:
    """Returns the content of `report.json`, in which the counts are called `tally`."""
    content = dataclasses.asdict(summary)
    return {"tally" if name == "counts" else name: value for name, value in content.items()}


def _survey(sources: Sequence[CaseSource], source: Path, executor: Executor) -> survey.Survey:
    def inspect(work: list[tuple[str, ...]]) -> Iterable[list[Evidence | None]]:
        evidence_of = {
            one.case: one.evidence for one in executor("labels", labels, work, (source,), _unseen)
        }
        for paths in work:  # Beam returns them in any order.
            yield [None if one is None else Evidence(**one) for one in evidence_of[paths[0]]]

    return survey.survey(sources, inspect)


def _classes_of(one: CaseSource, source: Path, options: CurationOptions) -> set[str]:
    if one.known.classes and one.reader in ("nifti", "itk", "pictures"):
        return set(one.known.classes)  # Other labels are left out: no need to read.
    return curate.classes_of(source, one, options)


def _fresh(
    target: Path, sources: Sequence[CaseSource], fingerprints: Mapping[str, str]
) -> tuple[list[CaseSource], list[str]]:
    """Returns the cases to curate, and a note on damaged files of earlier runs."""
    fresh, damaged = [], []
    for one in sources:
        stored = store.read_case(target, one.id)
        if stored is None or stored.fingerprint != fingerprints[one.id]:
            fresh.append(one)
        elif files := store.damaged(target, stored):
            fresh.append(one)
            damaged += files
    if not damaged:
        return fresh, []
    note = (
        f"made again, as they were missing or changed: {len(damaged):,} files, the first "
        f"{target / damaged[0]}; what was changed is kept as NAME.before"
    )
    return fresh, [note]


def _check_target(source: Path, target: Path) -> None:
    if target.resolve().is_relative_to(source.resolve()):
        raise DataError(f"{target}: expected a target outside of the source {source}")
    try:
        write_whole(target / store.CASES / ".writable", b"")
        (target / store.CASES / ".writable").unlink()
    except OSError as error:
        raise DataError(f"{target}: cannot be written: {error.strerror}") from error
