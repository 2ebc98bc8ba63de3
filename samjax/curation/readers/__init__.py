"""Readers: each reads the cases of one family of formats, with a library that knows them."""

from collections.abc import Callable, Mapping
from pathlib import Path

from samjax.curation.case import Case, CaseError, Source
from samjax.curation.label_pixels import LabelPixels
from samjax.curation.options import Options
from samjax.curation.readers import coco, indexed, pictures, volumes
from samjax.curation.readers.dicom import series
from samjax.extra import MissingLibrary

READERS: Mapping[str, Callable[[Path, Source, Options], Case]] = {
    "coco": coco.read,
    "dicom": series.read,
    "itk": volumes.read,
    "nifti": volumes.read,
    "pictures": pictures.read,
    "sam_med2d": indexed.read,
}


def read(root: Path, source: Source, options: Options) -> Case:
    """Reads a case.

    Raises:
        CaseError: Its files cannot be used together.
        MissingLibrary: The library for its format is not installed.
    """
    try:
        return READERS[source.reader](root, source, options)
    except CaseError as error:
        paths = (*source.images, *(path for path, _ in source.labels))
        if any(path in str(error) for path in paths):
            raise
        raise CaseError(f"{root / source.images[0]}: {error}") from error
    except MissingLibrary:
        raise
    except Exception as error:  # Whatever a library trips over in one file: the others go on.
        name = type(error).__name__
        raise CaseError(f"{root / source.images[0]}: cannot be read: {name}: {error}") from error


def stored_labels(path: Path) -> LabelPixels | None:
    """Reads a file of labels as they are stored; None of one that names its labels itself.

    Raises:
        CaseError: It cannot be read.
        MissingLibrary: The library for its format is not installed.
    """
    try:
        if reader_of(path.name) == "pictures":
            return pictures.stored_labels(path)
        return volumes.stored_labels(path)
    except (CaseError, MissingLibrary):
        raise
    except Exception as error:  # As above.
        raise CaseError(f"{path}: cannot be read: {type(error).__name__}: {error}") from error


def reader_of(path: str) -> str:
    """Which reader reads a file of that name; empty if none does by itself."""
    name = path.lower()
    for reader, suffixes in (
        ("nifti", volumes.NIFTI), ("itk", volumes.ITK), ("pictures", pictures.SUFFIXES),
    ):  # fmt: skip
        if name.endswith(suffixes):
            return reader
    return ""
