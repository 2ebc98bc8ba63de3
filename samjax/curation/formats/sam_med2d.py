"""Finds and reads folders in SAM-Med2D's or SA-Med2D-20M's layout: images with binary masks."""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from samjax.curation import naming
from samjax.curation.case import Case, CaseError, CaseSource, LabelMap
from samjax.curation.discovery_result import DiscoveryResult, Problem
from samjax.curation.formats import safe_paths
from samjax.curation.options import CurationOptions
from samjax.data import index, metadata
from samjax.data.files import DataError, read_image, read_mask


def discover(
    root: Path, files: Sequence[str], options: CurationOptions, result: DiscoveryResult
) -> set[str]:
    """Finds the cases of folders in SAM-Med2D's or SA-Med2D-20M's layout."""
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
            samples = _samples(root / folder)
            described = index.load_metadata(root / folder, samples)
            for sample in samples:
                for path in (sample.image, *sample.masks):
                    safe_paths.inside(root, root / folder, path, str(root / folder))
        except DataError as error:
            result.problems.append(Problem(str(folder), "unreadable", str(error)))
            continue
        for sample in samples:
            image = (folder / sample.image).as_posix()
            about = described[sample.masks[0]] if sample.masks else metadata.of_image(sample.image)
            token = PurePosixPath(sample.image).name.split("--")[0] if "--" in sample.image else ""
            stem = PurePosixPath(sample.image).stem
            result.sources.append(
                CaseSource(
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


def read(root: Path, source: CaseSource, options: CurationOptions) -> Case:
    """Reads an image and its masks; each is one object, of the class in its file name."""
    del options
    pixels, order = read_image(root / source.images[0])
    image = pixels if pixels.ndim == 2 or order == "rgb" else pixels[..., ::-1]
    maps = []
    for path, name in source.labels:
        mask = read_mask(root / path)
        if mask.shape != image.shape[:2]:
            raise CaseError(
                f"{path}: expected a mask of the image's shape {image.shape[:2]}, "
                f"found {mask.shape}"
            )
        maps.append(LabelMap(mask, {1: name}, split=False))
    return Case(image, False, tuple(maps))


def _samples(folder: Path) -> tuple[index.Sample, ...]:
    """Returns all images of a folder, of every split.

    Raises:
        DataError: An index cannot be read.
    """
    names = sorted(
        path.stem.split("_", 1)[1]
        for pattern in ("image2label_*.json", "label2image_*.json")
        for path in folder.glob(pattern)
    )
    found: dict[str, index.Sample] = {}
    for split in names or ("train", "test"):
        for sample in index.load_index(folder, split):
            found.setdefault(sample.image, sample)
    return tuple(found.values())


def _unless_unknown(name: str) -> str:
    return "" if name == metadata.UNKNOWN else name
