"""Curates one case: a pure function from files to images, masks and manifest rows."""

import collections
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from samjax import visualization
from samjax.curation import formats, rules
from samjax.curation.case import Case, CaseSource, LabelMap
from samjax.curation.options import CurationOptions, Dataset


@dataclasses.dataclass(frozen=True)
class ManifestRow:
    """One mask of the target, and its origin.

    Attributes:
        image: Path of its image, relative to the target.
        mask: Path of the mask, relative to the target.
        dataset: Name of the dataset.
        subject: Patient or animal; the same name in several datasets is one subject.
        modality: Token of the modality.
        anatomy: Part of the body; may be empty.
        class_name: Name of its class.
        axis: Axis that the slice was cut across; `x` for pictures.
        slice: Number of the slice.
        height: Rows of the image, pixels.
        width: Columns of the image, pixels.
        area: Pixels of the mask.
        area_share: Share of the image that it covers.
        row_spacing: Distance of rows, mm; 0 if unknown.
        column_spacing: Distance of columns, mm; 0 if unknown.
        slice_spacing: Distance of slices, mm; 0 if unknown, or of pictures.
        source_image: First file of the image, relative to the source.
        source_labels: Files of its labels.
    """

    image: str
    mask: str
    dataset: str
    subject: str
    modality: str
    anatomy: str
    class_name: str
    axis: str
    slice: int
    height: int
    width: int
    area: int
    area_share: float
    row_spacing: float
    column_spacing: float
    slice_spacing: float
    source_image: str
    source_labels: str


@dataclasses.dataclass
class Counts:
    """Numbers of slices and objects that were kept and left out.

    Attributes:
        slices: Slices with labels.
        elongated: Slices left out for their shape.
        small: Objects left out for their area.
        unnamed: Labels left out that the table of classes does not name.
        masks: Masks kept.
        left_out: Number of other things left out, by reason.
        bad: Messages on parts that could not be used.
    """

    slices: int = 0
    elongated: int = 0
    small: int = 0
    unnamed: int = 0
    masks: int = 0
    left_out: dict[str, int] = dataclasses.field(default_factory=dict)
    bad: list[str] = dataclasses.field(default_factory=list)

    def add(self, other: "Counts") -> None:
        """Adds the numbers of other slices and objects."""
        for field in dataclasses.fields(self):
            if field.name != "left_out":
                both = getattr(self, field.name) + getattr(other, field.name)
                setattr(self, field.name, both)
        for what, count in other.left_out.items():
            self.left_out[what] = self.left_out.get(what, 0) + count


@dataclasses.dataclass(frozen=True)
class Slice:
    """An image with its masks.

    Attributes:
        image: Pixels, (h, w) or (h, w, 3) RGB uint8.
        masks: Class and mask, (h, w) bool, of every object that is kept.
        modality: Token of the modality, with the window of its classes if they have their own.
        axis: Axis that it was cut across.
        number: Number of the slice.
        spacing: Distance of rows, of columns and of slices, mm; zeros if unknown.
    """

    image: np.ndarray
    masks: tuple[tuple[str, np.ndarray], ...]
    modality: str
    axis: str
    number: int
    spacing: tuple[float, float, float]


def classes_of(root: Path, source: CaseSource, options: CurationOptions) -> set[str]:
    """Reads the labels of a case and returns their classes.

    Raises:
        CaseError: The case cannot be read.
    """
    found = set()
    for label in formats.read(root, source, options).labels:
        found.update(label.name_of(int(value)) for value in np.unique(label.values) if value)
    return found


def slices_of(
    case: Case, source: CaseSource, options: CurationOptions, counts: Counts
) -> Iterator[Slice]:
    """Applies the paper's rules (section 3.1); yields the slices that keep a mask.

    Args:
        case: The case.
        source: Files of the case.
        options: Parameters of the rules.
        counts: Counters of slices and objects; updated.
    """
    known = source.known
    unnamed = sum(label.unnamed for label in case.labels)
    counts.add(Counts(unnamed=unnamed, left_out=dict(case.left_out), bad=list(case.bad)))
    colours = case.image.dtype == np.uint8 and case.image.ndim == (4 if case.is_volume else 3)
    is_volume = case.is_volume and not case.is_film
    if colours or (not is_volume and rules.is_8_bit(case.image)):
        whole = (0.0, 255.0)  # As it is.
    else:
        window = known.bounds_of(source.modality)
        whole = rules.intensity_range(case.image, window, known.percentiles)
    for axis, number in _cuts(case, options, counts):
        labels = case.labels
        if case.is_volume:
            labels = tuple(
                LabelMap(rules.cut(label.values, axis, number), label.names, label.split)
                for label in labels
            )
        if not any(label.values.any() for label in labels):
            continue
        counts.slices += 1
        by_window: dict[str, list[tuple[str, np.ndarray]]] = {}
        for name, mask in _masks(labels, known, options, counts):
            window = known.window_of(name, source.modality)
            by_window.setdefault(window, []).append((name, mask))
        if not by_window:
            continue
        image = rules.cut(case.image, axis, number) if case.is_volume else case.image
        for window, masks in by_window.items():
            seen = rules.to_uint8(image, rules.WINDOWS.get(window, whole))
            token = source.modality
            modality = f"{token.removesuffix('_00')}_{window}" if window else token
            yield Slice(seen, tuple(masks), modality, axis, number, _spacing(case, axis))


def curate(
    root: Path,
    source: CaseSource,
    options: CurationOptions,
    numbers: Mapping[str, int],
    counts: Counts,
) -> Iterator[tuple[dict[str, bytes], list[ManifestRow]]]:
    """Curates a case, slice by slice.

    Args:
        root: The source folder.
        source: Files of the case.
        options: Parameters of the rules.
        numbers: Number of every class.
        counts: Counters of slices and objects; updated.

    Yields:
        For every slice that keeps a mask its files, by path relative to the target, and a row for
        each mask.

    Raises:
        CaseError: The case cannot be used.
    """
    case = formats.read(root, source, options)
    for one in slices_of(case, source, options, counts):
        stem = f"{source.id_in(one.modality)}--{one.axis}_{one.number:04d}"
        image = f"images/{stem}.png"
        files = {image: visualization.encode_png(one.image)}
        rows, masks_of = [], collections.Counter()
        height, width = one.image.shape[:2]
        for name, mask in one.masks:
            path = f"masks/{stem}--{numbers[name]:04d}_{masks_of[name]:03d}.png"
            masks_of[name] += 1
            files[path] = visualization.encode_png(np.where(mask, np.uint8(255), np.uint8(0)))
            area = int(np.count_nonzero(mask))
            rows.append(
                ManifestRow(
                    image=image,
                    mask=path,
                    dataset=source.dataset,
                    subject=source.subject,
                    modality=one.modality,
                    anatomy=source.known.anatomy,
                    class_name=name,
                    axis=one.axis,
                    slice=one.number,
                    height=height,
                    width=width,
                    area=area,
                    area_share=round(area / (height * width), 6),
                    row_spacing=round(one.spacing[0], 4),
                    column_spacing=round(one.spacing[1], 4),
                    slice_spacing=round(one.spacing[2], 4),
                    source_image=source.images[0],
                    source_labels=" ".join(path for path, _ in source.labels),
                )
            )
        counts.masks += len(rows)
        yield files, rows


def _cuts(case: Case, options: CurationOptions, counts: Counts) -> Iterator[tuple[str, int]]:
    if not case.is_volume:
        yield "x", 0
        return
    shape = case.image.shape[:3]
    if case.is_film:
        yield from (("z", frame) for frame in range(shape[2]))
        return
    if tilted := [axis for axis in options.axes if axis in case.skewed]:
        count = sum(shape[rules.AXES.index(axis)] for axis in tilted)
        counts.add(Counts(left_out={"slices at no right angle, as the volume is tilted": count}))
    axes = "".join(axis for axis in options.axes if axis not in tilted)
    cuts = list(rules.slices(shape, axes))
    counts.elongated += sum(shape[rules.AXES.index(axis)] for axis in axes) - len(cuts)
    yield from cuts


def _masks(
    labels: tuple[LabelMap, ...], known: Dataset, options: CurationOptions, counts: Counts
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the masks of a slice, class by class, the largest object of each first."""
    objects: dict[str, list[np.ndarray]] = {}
    for label in labels:
        for value in np.unique(label.values):
            name = known.class_of(label.name_of(int(value))) if value else ""
            if name:
                mask = label.values == value
                pieces = rules.components(mask) if label.split else [mask]
                objects.setdefault(name, []).extend(pieces)
    for name in sorted(objects):
        if len(labels) > 1:  # Objects in one label map do not repeat.
            once = {mask.tobytes(): mask for mask in objects[name]}
            if again := len(objects[name]) - len(once):
                counts.add(Counts(left_out={"objects that are there twice": again}))
            objects[name] = [*once.values()]
        large = [mask for mask in objects[name] if rules.large_enough(mask, options.smallest_share)]
        counts.small += len(objects[name]) - len(large)
        # Stable: masks of equal area stay in the order of their labels.
        yield from ((name, mask) for mask in sorted(large, key=lambda m: -np.count_nonzero(m)))


def _spacing(case: Case, axis: str) -> tuple[float, float, float]:
    """Returns the distance of rows, of columns and of slices, mm; zeros if unknown."""
    if case.spacing is None:
        return 0.0, 0.0, 0.0
    if not case.is_volume:
        return case.spacing[1], case.spacing[0], 0.0
    slices = case.spacing[rules.AXES.index(axis)]
    columns, rows = (s for a, s in zip(rules.AXES, case.spacing, strict=True) if a != axis)
    return rows, columns, 0.0 if case.is_film else slices
