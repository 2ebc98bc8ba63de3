"""Finds folders in SAM-Med2D's and SA-Med2D-20M's layout."""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from samjax.curation import naming
from samjax.curation.case import Source
from samjax.curation.found import Found, Problem
from samjax.curation.options import Options
from samjax.curation.readers import indexed, paths
from samjax.data import index, metadata
from samjax.data.files import DataError


def claim(root: Path, files: Sequence[str], options: Options, found: Found) -> set[str]:
    """Folders in SAM-Med2D's and SA-Med2D-20M's layout."""
    taken: set[str] = set()
    folders = {
        PurePosixPath(path).parent
        for path in files
        if PurePosixPath(path).name == index.FOLDER
        or re.fullmatch(r"(image2label|label2image)_\w+\.json", PurePosixPath(path).name)
    }
    for folder in sorted(folders):
        known = options.dataset_of(str(folder))
        taken.update(path for path in files if PurePosixPath(path).is_relative_to(folder))
        try:
            samples = indexed.samples(root / folder)
            described = index.load_metadata(root / folder, samples)
            for sample in samples:
                for path in (sample.image, *sample.masks):
                    paths.inside(root, root / folder, path, str(root / folder))
        except DataError as error:
            found.problems.append(Problem(str(folder), "unreadable", str(error)))
            continue
        for sample in samples:
            image = (folder / sample.image).as_posix()
            about = described[sample.masks[0]] if sample.masks else metadata.of_image(sample.image)
            token = PurePosixPath(sample.image).name.split("--")[0] if "--" in sample.image else ""
            stem = PurePosixPath(sample.image).stem
            found.sources.append(
                Source(
                    reader="sam_med2d",
                    name=naming.safe("--".join(stem.split("--")[2:]) or stem),
                    subject=about.case if about.case != metadata.UNKNOWN else stem,
                    dataset=naming.safe(
                        known.name
                        or _unless_unknown(about.dataset)
                        or naming.title(root, str(folder))
                    ),
                    modality=known.modality or token or naming.modality(image, about.modality),
                    images=(image,),
                    labels=tuple(
                        ((folder / mask).as_posix(), described[mask].class_name)
                        for mask in sample.masks
                    ),
                    known=known,
                )
            )
    return taken


def _unless_unknown(name: str) -> str:
    return "" if name == metadata.UNKNOWN else name
