"""Reads and writes the indexes of a data folder: its images and their masks."""

import dataclasses
import json
import os
import sys
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from samjax.data import metadata
from samjax.data.files import DataError, write_whole

FOLDER = "SAMed2D_v1.json"
TEST_FRACTION = 0.2  # The papers' share of test images, where a folder comes without a split.


@dataclasses.dataclass(frozen=True)
class Sample:
    """An image and its masks, as paths relative to the data folder.

    Attributes:
        image: Path of the image.
        masks: Paths of its masks, in the order of the index.
        dataset: The collection that the image comes from.
        case: The subject within it: a patient, volume or video.
        patient: Name of the subject in all datasets of the folder; empty without a table.
    """

    image: str
    masks: tuple[str, ...]
    dataset: str = metadata.UNKNOWN
    case: str = metadata.UNKNOWN
    patient: str = ""

    @property
    def subject(self) -> str:
        """Name of the subject, which must not be on both sides of a split."""
        return self.patient or f"{self.dataset}/{self.case}"


def load_index(root: str | os.PathLike[str], split: str) -> list[Sample]:
    """Loads the images of one split of a data folder.

    Understood, in this order: `image2label_<split>.json` (image -> its masks),
    `label2image_<split>.json` (mask -> its image), and `SAMed2D_v1.json` (SA-Med2D-20M: image ->
    its masks; where neither of the other two exists for any split) with the column `split` of a
    `split.csv`, or else a fixed 80/20 split by subject.

    Paths may be relative to the folder, to the working directory or to the folder's parent.

    Args:
        root: The data folder.
        split: `train`, `test`, or any other name for which the folder has an index.

    Returns:
        One sample per image, in the order of the index.

    Raises:
        DataError: No index, or one that cannot be understood.
    """
    root = Path(root)
    if not root.is_dir():
        found = "a file" if root.exists() else "nothing of that name"
        raise DataError(f"{root}: expected a data folder, found {found}")
    source = _source(root, split)
    if source.name == FOLDER:
        samples = _split_folder(root, split)
    else:
        samples = _samples(root, source, _read_index(source))
    if not samples:
        raise DataError(f"{root}: the split {split!r} has no images")
    return samples


def find_repeated(root: str | os.PathLike[str], split: str) -> dict[str, int]:
    """Returns the images and masks that an index lists more than once, with their counts.

    Raises:
        DataError: No index, or one that cannot be understood.
    """
    root = Path(root)
    source = _source(root, split)
    listed = _read_index(source)
    base = _base(root, listed)
    images = Counter(_resolve(root, base, image, source) for image in listed)
    masks = Counter(_resolve(root, base, m, source) for of in listed.values() for m in of)
    return {path: count for path, count in (images | masks).items() if count > 1}


def list_splits(root: str | os.PathLike[str]) -> list[str]:
    """Returns the names of the splits of a data folder that have images, `train` first.

    Raises:
        DataError: An index cannot be understood.
    """
    root = Path(root)
    files = [root / name for name in _index_files(root)]
    if not files:
        return ["train", "test"]  # `load_index` splits such a folder, or refuses it.
    names = {path.stem.split("_", 1)[1] for path in files if metadata.read_json(path)}
    return sorted(names, key=lambda name: (name != "train", name))


def hold_out(
    samples: Sequence[Sample], fraction: float, seed: int
) -> tuple[list[Sample], list[Sample]]:
    """Splits off whole subjects, the same share of every dataset.

    A subject of several datasets counts in the first of them.

    Args:
        samples: Samples to split.
        fraction: Share of each dataset's subjects to hold out, between 0 and 1; at least one
            subject is held out and one kept.
        seed: The same seed, samples and fraction give the same split.

    Returns:
        The samples kept and the samples held out, each in the order given.

    Raises:
        DataError: All the samples are of one subject.
        ValueError: The fraction is not between 0 and 1.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction: expected a number between 0 and 1, found {fraction}")
    home: dict[str, str] = {}
    for sample in samples:
        home.setdefault(sample.subject, sample.dataset)
    subjects = sorted(home, key=lambda subject: (home[subject], subject))
    if len(subjects) < 2:
        found = samples[0].case if samples else "no sample"
        raise DataError(
            f"a hold-out by subject needs two subjects, found only {found!r}; name the files "
            f"<case>_<slice>, or give the cases in {metadata.TABLE}"
        )
    order = [subjects[i] for i in np.random.default_rng(seed).permutation(len(subjects))]
    held = set()
    for dataset in sorted(set(home.values())):
        members = [subject for subject in order if home[subject] == dataset]
        held.update(members[: int(fraction * len(members) + 0.5)])
    held = held or {order[0]}
    if len(held) == len(subjects):
        held.remove(order[-1])
    kept = [sample for sample in samples if sample.subject not in held]
    return kept, [sample for sample in samples if sample.subject in held]


def select_datasets(samples: Sequence[Sample], names: Sequence[str]) -> list[Sample]:
    """Returns the samples of the named datasets, in the order given; all if none is named.

    Raises:
        DataError: A dataset has no image among them; the message lists those that have.
    """
    _check_datasets(samples, names)
    return [sample for sample in samples if not names or sample.dataset in names]


def drop_datasets(samples: Sequence[Sample], names: Sequence[str]) -> list[Sample]:
    """Returns the samples of all other datasets; raises as `select_datasets` does."""
    _check_datasets(samples, names)
    return [sample for sample in samples if sample.dataset not in names]


def write_index(path: Path, samples: Sequence[Sample]) -> None:
    """Writes an index {image: [masks]} of one split."""
    content = {sample.image: list(sample.masks) for sample in samples}
    write_whole(path, json.dumps(content, indent=1).encode())


def remove_files(root: str | os.PathLike[str], bad: Collection[str]) -> list[Path]:
    """Rewrites a folder's index files without some files, and lists every other mask once.

    Args:
        root: The data folder.
        bad: Images and masks to leave out, as paths of `Sample`; an image without a mask left is
            left out, too.

    Returns:
        The index files that have changed; each is kept beside it as `<name>.before`.

    Raises:
        DataError: An index cannot be understood.
    """
    root = Path(root)
    changed = []
    for name in [*_index_files(root), *([FOLDER] if (root / FOLDER).exists() else [])]:
        path = root / name
        listed = _read_index(path)
        base = _base(root, listed)
        images: dict[str, tuple[str, dict[str, str]]] = {}  # By path: the spellings listed first.
        for image, masks in listed.items():
            resolved = _resolve(root, base, image, path)
            _, of_image = images.setdefault(resolved, (image, {}))
            for mask in masks if resolved not in bad else ():
                found = _resolve(root, base, mask, path)
                if found not in bad:
                    of_image.setdefault(found, mask)
        kept = {image: [*of_image.values()] for image, of_image in images.values() if of_image}
        if kept != listed:
            by_mask = name.startswith("label2image")
            content = {m: image for image, of in kept.items() for m in of} if by_mask else kept
            write_whole(path.with_name(name + ".before"), path.read_bytes())
            write_whole(path, json.dumps(content, indent=1).encode())
            changed.append(path)
    return changed


def load_metadata(
    root: str | os.PathLike[str], samples: Sequence[Sample]
) -> dict[str, metadata.Metadata]:
    """Describes every mask of the samples (see `samjax.data.metadata.describe_masks`)."""
    pairs = ((sample.image, mask) for sample in samples for mask in sample.masks)
    return metadata.describe_masks(Path(root), pairs)


def _check_datasets(samples: Sequence[Sample], names: Sequence[str]) -> None:
    known = {sample.dataset for sample in samples}
    for name in names:
        if name not in known:
            raise DataError(f"expected one of the datasets {sorted(known)}, found {name!r}")


def _split_folder(root: Path, split: str) -> list[Sample]:
    """Reads one split of a SA-Med2D-20M folder, which has no index per split."""
    samples = _samples(root, root / FOLDER, _read_index(root / FOLDER))
    side = {row["mask"]: row["split"] for row in metadata.read_table(root) if row.get("split")}
    if side:
        chosen = {mask for mask, name in side.items() if name == split}
        kept = (
            dataclasses.replace(sample, masks=tuple(m for m in sample.masks if m in chosen))
            for sample in samples
        )
        samples = [sample for sample in kept if sample.masks]
        names = sorted(set(side.values()))
    else:
        train, test = hold_out(samples, TEST_FRACTION, seed=0)
        samples = {"train": train, "test": test}.get(split, [])
        names = ["train", "test"]
    if not samples:
        raise DataError(f"{root / FOLDER}: expected one of the splits {names}, found {split!r}")
    return samples


def _samples(root: Path, source: Path, index: dict[str, Any]) -> list[Sample]:
    """Resolves the paths of an index {image: [masks]} and adds each image's subject."""
    base = _base(root, index)
    nothing = "", "", ""
    known: dict[str, tuple[str, str, str]] = {}
    for row in metadata.read_table(root):
        if row["image"] not in known:
            columns = (row.get(name, "") for name in ("dataset", "case", "subject"))
            dataset, case, subject = map(sys.intern, columns)
            known[row["image"]] = dataset, subject or case, subject
    resolved = {image: _resolve(root, base, image, source) for image in index}
    cases = metadata.cases_of(path for path in resolved.values() if not known.get(path, nothing)[1])
    samples: dict[str, Sample] = {}
    for image, masks in index.items():
        path = resolved[image]
        paths = [_resolve(root, base, mask, source) for mask in masks]
        if path in samples:  # The same image, spelt differently.
            paths = [*samples[path].masks, *paths]
        named = metadata.of_image(path)
        dataset, case, patient = known.get(path, nothing)
        samples[path] = Sample(
            image=path,
            masks=tuple(dict.fromkeys(paths)),  # Listed twice, it would count twice.
            dataset=sys.intern(dataset or named.dataset),
            case=sys.intern(case or cases.get(path, named.case)),
            patient=patient,
        )
    return [*samples.values()]


def _source(root: Path, split: str) -> Path:
    """Returns the index file of a split: its own, or that of the whole folder."""
    by_image = root / f"image2label_{split}.json"
    by_mask = root / f"label2image_{split}.json"
    own = next((path for path in (by_image, by_mask) if path.exists()), None)
    if own is not None:
        return own
    if (root / FOLDER).exists() and not _index_files(root):
        return root / FOLDER
    found = ", ".join(_index_files(root)) or "none of them"
    raise DataError(
        f"{root}: expected {by_image.name}, {by_mask.name} or only {FOLDER}, found {found}"
    )


def _read_index(source: Path) -> dict[str, list[str]]:
    """Reads an index as {image: [masks]}, with repetitions."""
    index: dict[str, list[str]] = {}
    for name, value in metadata.read_items(source):
        if source.name.startswith("label2image"):
            if not isinstance(value, str):
                raise DataError(f"{source}: {name}: expected the path of an image, found {value!r}")
            index.setdefault(value, []).append(name)
        else:
            if not isinstance(value, list) or not all(isinstance(mask, str) for mask in value):
                raise DataError(f"{source}: {name}: expected a list of mask paths, found {value!r}")
            index.setdefault(name, []).extend(value)
    return index


def _index_files(root: Path) -> list[str]:
    """Returns the names of the folder's index files of single splits."""
    patterns = ("image2label_*.json", "label2image_*.json")
    return sorted(path.name for pattern in patterns for path in root.glob(pattern))


def _base(root: Path, index: dict[str, Any]) -> Path:
    """Returns the folder that the paths of an index are relative to, by its first files.

    SAM-Med2D's own index files name the data folder again, as seen from its parent.
    """
    for image in list(index)[:100]:  # A few may be missing: the check reports them later.
        for base in (root, Path(), root.resolve().parent):
            if (base / image).exists():
                return base
    return root


def _resolve(root: Path, base: Path, path: str, source: Path) -> str:
    """Returns a path of an index relative to the root, or absolute if it is outside."""
    if (base is root or base == root) and not os.path.isabs(path):
        relative = os.path.normpath(path)
    else:
        relative = os.path.relpath(base / path, root)
    if relative.split(os.sep, 1)[0] != "..":
        return relative
    if ".." in Path(path).parts:
        raise DataError(f"{source}: expected paths inside {root}, found {path!r}")
    return os.path.abspath(base / path)
