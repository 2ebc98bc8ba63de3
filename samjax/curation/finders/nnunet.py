"""Finds nnU-Net's raw datasets."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from samjax.curation import naming, readers
from samjax.curation.case import Source
from samjax.curation.found import Found, Problem
from samjax.curation.options import Options
from samjax.data import metadata
from samjax.data.files import DataError


def claim(root: Path, files: Sequence[str], options: Options, found: Found) -> set[str]:
    """nnU-Net's raw datasets: `dataset.json`, `imagesTr/X_0000...`, `labelsTr/X...`."""
    taken: set[str] = set()
    for path in files:
        folder = PurePosixPath(path).parent
        if PurePosixPath(path).name != "dataset.json" or not (root / folder / "imagesTr").is_dir():
            continue
        taken.update(p for p in files if PurePosixPath(p).is_relative_to(folder))
        known = options.dataset_of(str(folder))
        try:
            content = metadata.read_json(root / path)
            channels = content.get("channel_names") or content["modality"]
            tokens = {
                int(number): known.modality or naming.modality(str(channel))
                for number, channel in channels.items()
            }
            known = dataclasses.replace(known, classes=known.classes or _classes(content["labels"]))
        except (DataError, AttributeError, KeyError, TypeError, ValueError) as error:
            found.problems.append(
                Problem(path, "unreadable", f"{path}: expected nnU-Net's fields, found {error!r}")
            )
            continue
        suffix = str(content.get("file_ending", ".nii.gz"))
        repeated = len(set(tokens.values())) < len(tokens)
        for label in [p for p in files if p.startswith(f"{folder / 'labelsTr'}/")]:
            case = PurePosixPath(label).name.removesuffix(suffix)
            for number, token in tokens.items():
                image = (folder / "imagesTr" / f"{case}_{number:04d}{suffix}").as_posix()
                if image not in taken:
                    detail = f"{label}: expected the image {image}, found none"
                    found.problems.append(Problem(label, "no_image", detail))
                    continue
                found.sources.append(
                    Source(
                        reader=readers.reader_of(image) or "pictures",
                        name=naming.safe(f"{case}_{number:04d}" if repeated else case),
                        subject=naming.subject(known, image, case),
                        dataset=naming.safe(known.name or content.get("name") or folder.name),
                        modality=token,
                        images=(image,),
                        labels=((label, ""),),
                        known=known,
                    )
                )
    return taken


def _classes(labels: dict[str, object]) -> dict[str, int | str]:
    """nnU-Net's labels: name -> value; regions (lists of values) are left to their parts."""
    if all(str(name).isdecimal() for name in labels):  # Version 1: value -> name.
        return {str(name): int(value) for value, name in labels.items() if int(value) > 0}
    return {name: v for name, v in labels.items() if isinstance(v, int) and v > 0}
