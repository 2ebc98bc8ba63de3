"""What a reader gives: where a case is, and what is in it."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from samjax.curation.options import Dataset
from samjax.data.files import DataError

LABEL = "label_{0}"  # A class that no table names.
UNNAMED = "labels that the table of classes does not name"


class CaseError(DataError):
    """A case that cannot be curated; the message names the file, what was expected and found."""


@dataclasses.dataclass(frozen=True)
class Coding:
    """What the pixels of labels mean: decided once for all label files of a data set.

    Codes are numbers, palette numbers or 0xrrggbb, see `samjax.curation.label_pixels`.

    Attributes:
        kind: `binary` (cut at `half`), `classes` or `instances`.
        reading: What of a pixel is its code: `numbers`, `colours`, `indices` of a palette, or
            `alpha`.
        background: Codes that show nothing.
        ignore: Codes that are left out.
        levels: Codes of the labels and of the background where edges are smeared, so that other
            codes belong to one of them; empty where every code counts.
        half: Above it a binary mask is foreground.
        lacking: Codes that no table of classes names, and that no picture has beside one that it
            does: a picture of nothing else is a mistake.
    """

    kind: str
    reading: str = "numbers"
    background: tuple[int, ...] = (0,)
    ignore: tuple[int, ...] = ()
    levels: tuple[int, ...] = ()
    half: int = 0
    lacking: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class CaseSource:
    """A case on disk: an image or a volume, and what labels it. Small, and can be pickled.

    Attributes:
        reader: Which reader reads it, one of `samjax.curation.formats.READERS`.
        name: Name of the case within its dataset and modality; unique.
        subject: The patient or animal: what must not be on both sides of a split. A finder says
            what the files themselves tell, if anything; see `samjax.curation.subjects`.
        dataset: Name of the dataset.
        modality: Token of the modality, such as `mr_t1`.
        images: Files of the image, relative to the source folder.
        labels: Files of its labels, and of each what it shows; empty where the file tells.
        item: Which image within the files, where they hold several.
        known: What the description says about its folder.
        study: What its files say that they share with those of the same examination.
        coding: What the pixels of its labels mean; None where the format says it.
        parts: Of label files that label other images, too, which of their regions are this one's.
    """

    reader: str
    name: str
    subject: str
    dataset: str
    modality: str
    images: tuple[str, ...]
    labels: tuple[tuple[str, str], ...] = ()
    item: str = ""
    known: Dataset = dataclasses.field(default_factory=Dataset)
    study: str = ""
    coding: Coding | None = None
    parts: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)

    @property
    def id(self) -> str:
        """Its name in the target."""
        return self.id_in(self.modality)

    def id_in(self, modality: str) -> str:
        """The beginning of the names of its files, of which windows have their own modality."""
        return f"{modality}--{self.dataset}--{self.name}"


@dataclasses.dataclass(frozen=True)
class LabelMap:
    """Labels of an image or volume.

    Attributes:
        values: Label of every pixel or voxel, whole numbers, 0 for none; of the image's extent.
        names: Class of each label; two labels may have the same.
        split: Whether a label in several pieces is several objects.
        unnamed: Number of labels that were left out, as the table of classes does not name them.
    """

    values: np.ndarray
    names: Mapping[int, str]
    split: bool = True
    unnamed: int = 0

    def name_of(self, value: int) -> str:
        """The class of a label."""
        return self.names.get(value, LABEL.format(value))


@dataclasses.dataclass(frozen=True)
class Case:
    """An image or a volume with its labels.

    Attributes:
        image: (h, w), (h, w, 3) RGB, or a volume: (x, y, z) or (x, y, z, 3).
        is_volume: Which of the two.
        labels: Maps of the same extent; objects may overlap between them.
        spacing: Size of a voxel along x, y, z, mm; or of a pixel along x, y; None if unknown.
        is_film: Whether z of the volume is time, so that only its frames are images.
        skewed: Axes across which slices would be no rectangles, and are left out.
        left_out: What the reader left out, in words, such as `contours off all slices`: how often.
        bad: Parts that cannot be used, while the rest can: each named as a problem is.
    """

    image: np.ndarray
    is_volume: bool
    labels: tuple[LabelMap, ...]
    spacing: tuple[float, ...] | None = None
    is_film: bool = False
    skewed: str = ""
    left_out: Mapping[str, int] = dataclasses.field(default_factory=dict)
    bad: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        extent = self.image.shape[: 3 if self.is_volume else 2]
        for label in self.labels:
            if label.values.shape != extent:
                raise CaseError(
                    f"expected labels of the image's shape {extent}, found {label.values.shape}"
                )
