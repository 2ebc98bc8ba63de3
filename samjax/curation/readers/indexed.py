"""Folders in SAM-Med2D's or SA-Med2D-20M's own layout: images with binary masks, as they are."""

from pathlib import Path

from samjax.curation.case import Case, CaseError, LabelMap, Source
from samjax.curation.options import Options
from samjax.data import index
from samjax.data.files import read_image, read_mask


def samples(folder: Path) -> tuple[index.Sample, ...]:
    """All images of a folder, of every split.

    Raises:
        DataError: An index cannot be understood.
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


def read(root: Path, source: Source, options: Options) -> Case:
    """Reads an image and its masks; each is one object, of the class that its name tells."""
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
