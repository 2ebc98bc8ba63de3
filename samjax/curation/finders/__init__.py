"""Finders: each claims the files of one family of formats, and finds the cases among them."""

from collections.abc import Callable, Sequence
from pathlib import Path

from samjax.curation.finders import coco, dicom, indexed, nnunet, paired
from samjax.curation.found import Found
from samjax.curation.options import Options

# What claims files, in this order, and the formats that a description may name for them. Each takes
# the source, paths relative to it and the options, adds to what is found, and returns the paths
# that are dealt with.
FINDERS: tuple[
    tuple[Callable[[Path, Sequence[str], Options, Found], set[str]], tuple[str, ...]], ...
] = (
    (indexed.claim, ("sam_med2d",)),
    (nnunet.claim, ("nnunet",)),
    (coco.claim, ("coco",)),
    (dicom.claim, ("dicom",)),
    (paired.claim, ("nifti", "itk", "pictures", "dicom")),
)
