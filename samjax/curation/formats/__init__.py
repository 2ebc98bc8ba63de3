"""The registry of formats: each module has `discover` (finds cases), `read` (reads one) or both."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from samjax.curation import suffixes
from samjax.curation.case import Case, CaseError, CaseSource
from samjax.curation.discovery_result import DiscoveryResult
from samjax.curation.formats import coco, dicom, nnunet, paired, pictures, sam_med2d, volumes
from samjax.curation.label_pixels import LabelPixels
from samjax.curation.options import CurationOptions
from samjax.extra import MissingLibrary

# Functions that find cases, in the order in which they run, each with the formats that a
# description may name for its files. Arguments: the source folder, paths relative to it, the
# options, and the result to add to. They return the paths that no later function gets.
DISCOVERERS: tuple[
    tuple[
        Callable[[Path, Sequence[str], CurationOptions, DiscoveryResult], set[str]], tuple[str, ...]
    ],
    ...,
] = (
    (sam_med2d.discover, ("sam_med2d",)),
    (nnunet.discover, ("nnunet",)),
    (coco.discover, ("coco",)),
    (dicom.discover, ("dicom",)),
    (paired.discover, ("nifti", "itk", "pictures", "dicom")),
)
READERS: Mapping[str, Callable[[Path, CaseSource, CurationOptions], Case]] = {
    "coco": coco.read,
    "dicom": dicom.read,
    "itk": volumes.read,
    "nifti": volumes.read,
    "pictures": pictures.read,
    "sam_med2d": sam_med2d.read,
}


def read(root: Path, source: CaseSource, options: CurationOptions) -> Case:
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
    except Exception as error:  # Any error of a library in one file: the others go on.
        name = type(error).__name__
        raise CaseError(f"{root / source.images[0]}: cannot be read: {name}: {error}") from error


def stored_labels(path: Path) -> LabelPixels | None:
    """Reads labels as they are stored; returns None for a file that names its labels itself.

    Raises:
        CaseError: The file cannot be read.
        MissingLibrary: The library for its format is not installed.
    """
    try:
        if suffixes.format_of(path.name) == "pictures":
            return pictures.stored_labels(path)
        return volumes.stored_labels(path)
    except (CaseError, MissingLibrary):
        raise
    except Exception as error:  # Any error of a library, as above.
        raise CaseError(f"{path}: cannot be read: {type(error).__name__}: {error}") from error
