"""Finds DICOM series, and the RTSTRUCT and SEG files that refer to them."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from samjax.curation import naming
from samjax.curation.case import CaseError, Source
from samjax.curation.found import Found, Problem
from samjax.curation.options import Options
from samjax.curation.readers.dicom import header as dicom


def claim(root: Path, files: Sequence[str], options: Options, found: Found) -> set[str]:
    """DICOM series with the RTSTRUCT and SEG files that refer to them."""
    headers: dict[str, dicom.Header] = {}
    taken: set[str] = set()
    candidates = [
        path
        for path in files
        if options.dataset_of(path).format == "dicom" or dicom.is_dicom(root / path)
    ]
    for path in tqdm(candidates, desc="DICOM headers", unit="file", disable=None):
        taken.add(path)
        try:
            headers[path] = dicom.header(root / path)
        except CaseError as error:
            found.problems.append(Problem(path, "unreadable", str(error)))
    series: dict[str, list[str]] = defaultdict(list)
    labels = []
    for path, header in headers.items():
        if header.kind in (dicom.STRUCTURES, dicom.SEGMENTATION):
            labels.append(path)
        else:
            series[header.series].append(path)
    of_series: dict[str, list[str]] = defaultdict(list)
    for path in labels:
        header = headers[path]
        target = next((uid for uid in header.refers_to if uid in series), "")
        if not target:
            same = [
                uid
                for uid, images in series.items()
                if header.frame and headers[images[0]].frame == header.frame
            ]
            target = same[0] if len(same) == 1 else ""
        if target:
            of_series[target].append(path)
        else:
            detail = f"{path}: expected the series that it labels, found none here"
            found.problems.append(Problem(path, "no_image", detail))
    names = Counter(_name(headers[images[0]], images[0]) for images in series.values())
    for uid, images in series.items():
        header, known = headers[images[0]], options.dataset_of(images[0])
        token = dicom.MODALITIES.get(header.kind, "")
        subject = naming.subject(known, images[0], header.patient or PurePosixPath(images[0]).stem)
        folder = str(PurePosixPath(images[0]).parent)
        name = _name(header, images[0])
        if names[name] > 1:  # Of several that are called the same, each has its own number.
            name += "_" + hashlib.sha256(uid.encode()).hexdigest()[:8]
        where = found.sources if of_series[uid] else found.unlabelled
        where.append(
            Source(
                reader="dicom",
                name=name,
                subject=subject,
                dataset=naming.safe(known.name or naming.title(root, folder)),
                modality=known.modality or naming.modality(images[0], token),
                images=tuple(images),
                labels=tuple((path, "") for path in of_series[uid]),
                known=known,
            )
        )
    return taken


def _name(header: dicom.Header, path: str) -> str:
    """What a series is called: its patient, and its description or folder."""
    first = PurePosixPath(path)
    return naming.safe(f"{header.patient or first.stem}_{header.description or first.parent.name}")
