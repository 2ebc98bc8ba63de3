"""Result of the search for cases: sources and problems."""

import dataclasses

from samjax.curation.case import CaseSource


@dataclasses.dataclass(frozen=True)
class Problem:
    """Reason to leave out a file or a case.

    Attributes:
        where: Path of the file or name of the case.
        kind: One of `unreadable`, `no_label`, `no_image`, `unclear`, `duplicate`, `bad`, `bad_part`
            (the case is used without that part), `no_mask` (the rules keep no object of the case)
            and `no_picture` (the files hold none).
        detail: Message with the expected and the found.
    """

    where: str
    kind: str
    detail: str


@dataclasses.dataclass
class DiscoveryResult:
    """Cases and problems found so far.

    Attributes:
        sources: Cases.
        unlabelled: DICOM series without labels in DICOM; they may have labels in other files.
        problems: Files that are not part of a case, with reasons.
        notes: Lines on recognised data sets and files without labels.
        subjects: Lines on the subjects that were found.
    """

    sources: list[CaseSource] = dataclasses.field(default_factory=list)
    unlabelled: list[CaseSource] = dataclasses.field(default_factory=list)
    problems: list[Problem] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    subjects: list[str] = dataclasses.field(default_factory=list)
