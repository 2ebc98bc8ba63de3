"""Finds COCO's annotation files and the pictures that they name."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from samjax.curation import naming
from samjax.curation.case import CaseError, Source
from samjax.curation.found import Found, Problem
from samjax.curation.options import Options
from samjax.curation.readers import coco


def claim(root: Path, files: Sequence[str], options: Options, found: Found) -> set[str]:
    """COCO's annotation files and the pictures that they name."""
    taken: set[str] = set()
    for path in (p for p in files if p.lower().endswith(".json")):
        try:
            if not coco.is_coco(root / path):
                continue
            taken.add(path)
            entries, wrong = coco.entries(root, path)
        except CaseError as error:
            found.problems.append(Problem(path, "unreadable", str(error)))
            continue
        found.problems += [Problem(path, "unreadable", detail) for detail in wrong]
        folder = str(PurePosixPath(path).parent)
        known = options.dataset_of(path)
        for item, image in entries:
            taken.add(image)
            stem = PurePosixPath(image).stem
            found.sources.append(
                Source(
                    reader="coco",
                    name=naming.safe(stem),
                    subject="",
                    dataset=naming.safe(known.name or naming.title(root, folder)),
                    modality=known.modality or naming.modality(image),
                    images=(image,),
                    labels=((path, ""),),
                    item=item,
                    known=known,
                )
            )
    return taken
