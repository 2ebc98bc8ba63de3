"""Data classes of a case: its files, its content, and the meaning of its labels."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from samjax.curation.options import Dataset
from samjax.data.files import DataError

LABEL = "label_{0}"  # Name of a class that no table names.
UNNAMED = "labels that the table of classes does not name"


class CaseError(DataError):
    """A case cannot be curated; the message names the file, what was expected and found."""


@dataclasses.dataclass(frozen=True)
class Coding:
    """Meaning of the pixels of labels, decided once for all label files of a data set.

    Codes are numbers, palette numbers or 0xrrggbb, see `samjax.curation.label_pixels`.

    Attributes:
        kind: `binary` (cut at `half`), `classes` or `instances`.
        reading: Source of the codes: `numbers`, `colours`, `indices` of a palette, or `alpha`.
        background: Codes of the background.
        ignore: Codes that are left out.
        levels: Codes of the labels and of the background where edges are smeared, so that other
            codes belong to one of them; empty where every code counts.
        half: Threshold of a binary mask: codes above it are foreground.
        lacking: Codes missing in the table of classes that never occur beside one in it: a picture
            with such codes only is an error.
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
    """Files of a case: an image or a volume, and its labels. Small; can be pickled.

    Attributes:
        reader: Name of the format's reader in `samjax.curation.formats.READERS`.
        name: Name of the case within its dataset and modality; unique.
        subject: Patient or animal, which must not be on both sides of a split. Discovery sets it
            only if the files state it; see `samjax.curation.subjects`.
        dataset: Name of the dataset.
        modality: Token of the modality, such as `mr_t1`.
        images: Files of the image, relative to the source folder.
        labels: Files of its labels, each with its class; empty if the file states it.
        item: Image within the files, if they hold several.
        known: Description of its folder.
        study: UID of the examination, if the files state it.
        coding: Meaning of the pixels of its labels; None if the format defines it.
        parts: Numbers of the regions of this image, for label files shared with other images.
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
        """Name of the case in the target."""
        return self.id_in(self.modality)

    def id_in(self, modality: str) -> str:
        """Returns the prefix of its file names; each window has a modality of its own."""
        return f"{modality}--{self.dataset}--{self.name}"


@dataclasses.dataclass(frozen=True)
class LabelMap:
    """Labels of an image or volume.

    Attributes:
        values: Label of every pixel or voxel, whole numbers, 0 for none; of the image's extent.
        names: Class of each label; two labels may share one.
        split: Whether a label in several pieces is several objects.
        unnamed: Number of labels left out because the table of classes does not name them.
    """

    values: np.ndarray
    names: Mapping[int, str]
    split: bool = True
    unnamed: int = 0

    def name_of(self, value: int) -> str:
        """Returns the class of a label."""
        return self.names.get(value, LABEL.format(value))


@dataclasses.dataclass(frozen=True)
class Case:
    """An image or a volume with its labels.

    Attributes:
        image: Picture (h, w) or (h, w, 3) RGB, or volume (x, y, z) or (x, y, z, 3).
        is_volume: Whether the image is a volume.
        labels: Maps of the same extent; objects may overlap between them.
        spacing: Size of a voxel along x, y, z, mm; or of a pixel along x, y; None if unknown.
        is_film: Whether z of the volume is time, so that only its frames are images.
        skewed: Axes across which slices would be no rectangles, and are left out.
        left_out: Number of parts that the reader left out, by reason: `contours off all slices`.
        bad: Messages on parts that cannot be used, while the rest can.
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
