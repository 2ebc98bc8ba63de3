"""Finds raw datasets of nnU-Net and of the Medical Segmentation Decathlon."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from samjax.curation import class_table, filename_words, naming, suffixes
from samjax.curation.case import CaseSource
from samjax.curation.discovery_result import DiscoveryResult, Problem
from samjax.curation.formats import unpaired
from samjax.curation.options import CurationOptions
from samjax.data import metadata
from samjax.data.files import DataError

SUBSETS = ("Tr", "Va", "Ts")


def discover(
    root: Path, files: Sequence[str], options: CurationOptions, result: DiscoveryResult
) -> set[str]:
    """Finds the cases of folders with `dataset.json`, `imagesTr` and `labelsTr`.

    The images of a case are nnU-Net's, a file for each channel (`X_0000`, `X_0001`, or one picture
    for its red, green and blue), or the Decathlon's, a file `X` for all of them.
    """
    taken: set[str] = set()
    for path in files:
        folder = PurePosixPath(path).parent
        if PurePosixPath(path).name != "dataset.json" or not (root / folder / "imagesTr").is_dir():
            continue
        inside = [p for p in files if PurePosixPath(p).is_relative_to(folder)]
        taken.update(inside)
        known = options.dataset_of(str(folder))
        try:
            content = metadata.read_json(root / path)
            channels = content.get("channel_names") or content["modality"]
            tokens = {int(number): naming.modality(str(name)) for number, name in channels.items()}
            if not known.classes:
                known = class_table.with_classes(known, _named(content["labels"]))
        except (DataError, AttributeError, KeyError, TypeError, ValueError) as error:
            result.problems.append(
                Problem(path, "unreadable", f"{path}: expected nnU-Net's fields, found {error!r}")
            )
            continue
        suffix = str(content.get("file_ending", ".nii.gz"))
        used: set[str] = set()
        unmatched: list[str] = []
        for label, subset in _labels(folder, inside):
            case = PurePosixPath(label).name.removesuffix(suffix)
            if case == PurePosixPath(label).name:
                case = filename_words.parts(label)[-1]
            stem = (folder / f"images{subset}" / case).as_posix()
            images = _images(stem, suffix, tokens, {*inside})
            if not images:
                unmatched.append(label)
            for number, (image, item) in images.items():
                if not image:
                    wanted = f"{stem}_{number:04d}{suffix}"
                    detail = f"{label}: expected the image {wanted}, found none"
                    result.problems.append(Problem(label, "no_image", detail))
                    continue
                used.add(image)
                described = options.dataset_of(image)
                modalities = {n: described.modality or tokens[n] for n in images}
                repeated = len({*modalities.values()}) < len(modalities)
                result.sources.append(
                    CaseSource(
                        reader=suffixes.format_of(image) or "pictures",
                        name=naming.safe(f"{case}_{number:04d}" if repeated else case),
                        subject="",
                        dataset=naming.safe(known.name or content.get("name") or folder.name),
                        modality=modalities[number],
                        images=(image,),
                        labels=((label, ""),),
                        item=item,
                        known=known,
                    )
                )
        alone = [p for p in inside if _subset(folder, p, "images") and p not in used]
        unpaired.report_unpaired([p for p in alone if suffixes.format_of(p)], unmatched, result)
    return taken


def _labels(folder: PurePosixPath, files: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yields the label files with their subsets."""
    for path in files:
        subset = _subset(folder, path, "labels")
        if subset and suffixes.format_of(path):
            yield path, subset


def _subset(folder: PurePosixPath, path: str, role: str) -> str:
    matching = (one for one in SUBSETS if PurePosixPath(path).parent == folder / f"{role}{one}")
    return next(matching, "")


def _images(
    stem: str, suffix: str, tokens: Mapping[int, str], files: set[str]
) -> dict[int, tuple[str, str]]:
    """Returns file and channel number by channel; the file is "" where it is missing."""
    of_channel = {number: f"{stem}_{number:04d}{suffix}" for number in tokens}
    present = {number: path for number, path in of_channel.items() if path in files}
    first = min(tokens, default=0)
    is_colour = suffixes.format_of(suffix) == "pictures" and len(tokens) == 3
    if is_colour and set(present) == {first}:
        return {first: (present[first], "")}  # One picture: its red, green and blue.
    if present:
        return {number: (present.get(number, ""), "") for number in tokens}
    whole = next((p for p in (stem + suffix, stem + ".nii.gz", stem + ".nii") if p in files), "")
    if not whole:
        return {}
    return {number: (whole, str(number) if len(tokens) > 1 else "") for number in tokens}


def _named(labels: Mapping[str, Any]) -> list[tuple[str, tuple[int, ...]]]:
    """Returns nnU-Net's labels: name and value, or the values of a region."""
    if all(str(name).isdecimal() for name in labels):  # Version 1: value -> name.
        return [(str(name), (int(value),)) for value, name in labels.items()]
    return [
        (n, tuple(map(int, v)) if isinstance(v, list) else (int(v),)) for n, v in labels.items()
    ]
