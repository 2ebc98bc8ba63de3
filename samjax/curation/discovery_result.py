"""What a search for cases has found, and what it could not use."""

import dataclasses

from samjax.curation.case import CaseSource


@dataclasses.dataclass(frozen=True)
class Problem:
    """What keeps a file or a case out.

    Attributes:
        where: The file or the case.
        kind: `unreadable`, `no_label`, `no_image`, `unclear`, `duplicate`, `bad`, `bad_part` of a
            case that is used without it, or `no_mask` for a case without an object that the rules
            keep, or `no_picture` for files that hold none.
        detail: What was expected and found.
    """

    where: str
    kind: str
    detail: str


@dataclasses.dataclass
class DiscoveryResult:
    """What a search has found so far.

    Attributes:
        sources: Cases.
        unlabelled: DICOM series without labels in DICOM; they may have some in other files.
        problems: What is no case, and why.
        notes: What else is worth knowing: data sets that were recognised, files without labels.
        subjects: What was taken for a subject, in lines for the user.
    """

    sources: list[CaseSource] = dataclasses.field(default_factory=list)
    unlabelled: list[CaseSource] = dataclasses.field(default_factory=list)
    problems: list[Problem] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    subjects: list[str] = dataclasses.field(default_factory=list)
