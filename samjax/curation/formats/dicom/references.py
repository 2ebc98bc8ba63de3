"""Resolves the images and series that an RTSTRUCT or SEG refers to."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from samjax.curation.case import CaseError
from samjax.curation.formats.dicom import file

STRUCTURES, SEGMENTATION = "RTSTRUCT", "SEG"
_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.481.3": STRUCTURES,
    "1.2.840.10008.5.1.4.1.1.66.4": SEGMENTATION,
    "1.2.840.10008.5.1.4.1.1.66.7": SEGMENTATION,  # As a label map.
}


@dataclasses.dataclass(frozen=True)
class LabelPart:
    """A region of an RTSTRUCT, or a whole SEG, with its references.

    Attributes:
        number: Number of the region; 0 for a SEG.
        name: Name of the region; empty for a SEG.
        images: UIDs of images that it was drawn on or derived from.
        listed: UIDs of images and series that its file lists for its frame of reference.
        frame: UID of its frame of reference.
    """

    number: int
    name: str
    images: frozenset[str]
    listed: frozenset[str]
    frame: str


@dataclasses.dataclass(frozen=True)
class SeriesIndex:
    """The series of a source, by UID.

    Attributes:
        series_of: Series by the UID of an image or of the series.
        frame_of: Frame of reference by series.
    """

    series_of: Mapping[str, str]
    frame_of: Mapping[str, str]

    def labelled_by(self, part: LabelPart) -> set[str]:
        """Returns the series that a part labels: one, or all those that it was drawn on.

        Its own images decide, then what its file lists, then the frame of reference; but series
        of another frame of reference are excluded if some series has the part's own.

        Raises:
            CaseError: No series fits, or several do.
        """
        frames = set(self.frame_of.values())
        drawn, listed = (
            {self.series_of[uid] for uid in uids if uid in self.series_of}
            for uids in (part.images, part.listed)
        )
        same = {uid for uid, frame in self.frame_of.items() if frame and frame == part.frame}
        for number, fitting in enumerate((drawn, listed, same)):
            if part.frame in frames:
                fitting = {uid for uid in fitting if self.frame_of[uid] in (part.frame, "")}
            if number and len(fitting) > 1:
                raise CaseError(
                    f"expected one series that it labels, found {len(fitting)} that fit and "
                    "nothing that says which"
                )
            if fitting:
                return fitting
            if drawn:
                raise CaseError(
                    "expected the series that it labels, found its images in another frame of "
                    f"reference than its own, {part.frame}"
                )
        raise CaseError("expected the series that it labels, found none here")


def kind_of(data: Any) -> str:
    """Returns `RTSTRUCT`, `SEG`, `DICOMDIR`, or the modality of any other file."""
    if "DirectoryRecordSequence" in data:
        return "DICOMDIR"
    by_class = _CLASSES.get(str(data.get("SOPClassUID", "")))
    return by_class or str(data.get("Modality", "")) or "OT"


def parts(data: Any) -> tuple[LabelPart, ...]:
    """Returns the regions of an RTSTRUCT with contours, or a SEG as one; empty for an image."""
    kind = kind_of(data)
    if kind == STRUCTURES:
        return tuple(_regions(data))
    return (_segmentation(data),) if kind == SEGMENTATION else ()


def images_of(contour: Any) -> list[str]:
    """Returns the UIDs of the images that a contour was drawn on."""
    return _uids(contour.get("ContourImageSequence"))


def sources_of(group: Any, shared: Iterable[Any] = ()) -> list[tuple[str, int]]:
    """Returns UID and frame number of the images that a frame of a SEG was derived from."""
    found = []
    holder = next((one for one in (group, *shared) if one.get("DerivationImageSequence")), {})
    for derived in _items(holder, "DerivationImageSequence"):
        for source in _items(derived, "SourceImageSequence"):
            number = source.get("ReferencedFrameNumber") or 1
            number = number if isinstance(number, int | str) else next(iter(number))
            found.append((str(source.get("ReferencedSOPInstanceUID", "")), int(number)))
    return found


def _regions(data: Any) -> Iterator[LabelPart]:
    headers = {int(header.ROINumber): header for header in _items(data, "StructureSetROISequence")}
    for region in _items(data, "ROIContourSequence"):
        number = int(region.ReferencedROINumber)
        header = headers.get(number, {})
        frame = str(header.get("ReferencedFrameOfReferenceUID", "") or "")
        listed = _items(data, "ReferencedFrameOfReferenceSequence")
        if frame:
            listed = [item for item in listed if str(item.get("FrameOfReferenceUID", "")) == frame]
        elif len(listed) == 1:
            frame = str(listed[0].get("FrameOfReferenceUID", "") or "")
        series = [
            each
            for item in listed
            for study in _items(item, "RTReferencedStudySequence")
            for each in _items(study, "RTReferencedSeriesSequence")
        ]
        contours = _items(region, "ContourSequence")
        drawn_on = {uid for contour in contours for uid in images_of(contour)}
        images = {uid for each in series for uid in images_of(each)}
        if contours:
            yield LabelPart(
                number,
                str(header.get("ROIName", "")) or f"roi_{number}",
                frozenset(drawn_on),
                frozenset({str(each.get("SeriesInstanceUID", "")) for each in series} | images),
                frame,
            )


def _segmentation(data: Any) -> LabelPart:
    shared = file.shared(data)
    groups = _items(data, "PerFrameFunctionalGroupsSequence")
    derived = {uid for group in groups for uid, _ in sources_of(group, shared)}
    series = _items(data, "ReferencedSeriesSequence")
    listed = [str(one.get("SeriesInstanceUID", "")) for one in series]
    for one in series:
        listed += _uids(one.get("ReferencedInstanceSequence"))
    for name in ("SourceImageSequence", "ReferencedImageSequence"):
        listed += _uids(data.get(name))
    return LabelPart(
        0,
        "",
        frozenset(derived),
        frozenset(listed),
        str(data.get("FrameOfReferenceUID", "") or ""),
    )


def _uids(sequence: Any) -> list[str]:
    return [str(item.get("ReferencedSOPInstanceUID", "")) for item in sequence or []]


def _items(holder: Any, name: str) -> list[Any]:
    return list(holder.get(name) or [])
