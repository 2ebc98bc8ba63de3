"""Pairs images and labels by the names of files and folders."""

import dataclasses
import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from samjax.curation import filename_words, naming

_SEPARATED = re.compile(r"[ _.\-]+")
_COUNT = re.compile(r"[ _-]\(?\d{1,3}\)?$")
_CHANNEL = re.compile(r"_\d{4}$")  # nnU-Net's: the first is `_0000`.
_VARIANT = re.compile(
    r"(?i)(?:copy|old|new|final|orig|raw|v\d*|aug\w*|flip\w*|rot\w*|slice|frame|pred(?:iction)?s?"
    r"|(?:rater|reader|observer|expert|annotator|grader|radiologist)s?\d*)"  # Annotators.
)
_WHOLE_WORD = (
    "[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]"  # One character of Chinese, Japanese, Korean.
)
_Assignments = list[tuple[str, str, str]]  # Label, image, class.


@dataclasses.dataclass(frozen=True)
class Pair:
    """An image and its labels.

    Attributes:
        image: Path of the image.
        key: Name without words such as `image`.
        labels: Paths of its labels, each with the class in its name, which may be empty.
    """

    image: str
    key: str
    labels: tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Pairs of images and labels, and files without a partner.

    Attributes:
        pairs: Images with their labels, in the order of the images.
        alone: Images without labels.
        lost: Labels without an image.
        unclear: Messages by image with labels in several folders, or label with several images.
    """

    pairs: tuple[Pair, ...]
    alone: tuple[str, ...]
    lost: tuple[str, ...]
    unclear: Mapping[str, str]


class _Images:
    """Index of images by the names that labels may use; `flat` disregards folders."""

    def __init__(self, paths: Iterable[str], flat: bool = False) -> None:
        self.paths = tuple(paths)
        # From strict to loose: as it is, without words for image, and both in lower case.
        self.by_name: tuple[dict[str, list[str]], ...] = tuple(defaultdict(list) for _ in range(4))
        self.by_stem: dict[str, list[str]] = defaultdict(list)  # Without a modality at the end.
        self.in_folder: dict[str, list[str]] = defaultdict(list)
        for path in self.paths:
            folder = "" if flat else filename_words.folder_key(path)
            self.in_folder[folder].append(path)
            name, plain = filename_words.image_names(path)
            for index, one in zip(self.by_name, _variants(folder, name, plain), strict=True):
                index[one].append(path)
            for stem in {_before_modality(name), _before_modality(plain)} - {None}:
                self.by_stem[_joined(folder, str(stem)).lower()].append(path)

    def called(self, folder: str, name: str, exact: bool = False) -> list[str]:
        """Returns the images of that name by the strictest comparison that has a match."""
        variants = [
            *zip(self.by_name, _variants(folder, name, filename_words.plain(name)), strict=True)
        ]
        found = (index[one] for index, one in variants[: 2 if exact else 4] if one in index)
        return next(found, [])

    def with_modality(self, folder: str, name: str) -> list[str]:
        """Returns the images of that name and a modality, or nnU-Net's channels from 0000 on."""
        found = self.by_stem.get(_joined(folder, name).lower(), [])
        channels: list[str] = []
        while name and (one := self.called(folder, f"{name}_{len(channels):04d}")):
            channels += one[:1]
        return found or channels


def pair(files: Iterable[str]) -> Pairs:
    """Finds the labels of every image, among files of one kind.

    A label has its image's name: with words such as `image` or without, in the same capitals or
    others, in this order. Else its name is its image's and that of a class; or several images have
    its name and a modality; or its folder decides. A number is never a class.

    Args:
        files: Paths relative to the source.
    """
    files = tuple(files)
    is_label = filename_words.labels_among(files)
    images = _Images(path for path in files if path not in is_label)
    labels = [path for path in files if path in is_label]
    find = _Finder(labels)
    labels_of: dict[str, list[tuple[str, str]]] = defaultdict(list)
    unclear: dict[str, str] = {}
    lost = []
    for path in labels:
        several, class_name = find(path, filename_words.folder_key(path), images)
        if len(several) > 1 and not _are_channels(several):
            unclear[path] = f"expected one image of that name, found {', '.join(sorted(several))}"
        elif several:
            for image in several:
                labels_of[image].append((path, class_name))
        else:
            lost.append(path)
    assigned = _of_case_folder(lost, images, labels_of)
    assigned += _of_sibling_folder({*lost} - {one[0] for one in assigned}, images, labels_of, find)
    for path, image, class_name in assigned:
        labels_of[image].append((path, class_name))
        lost.remove(path)
    pairs = []
    for image in images.paths:
        of_image = sorted(labels_of.get(image, []))
        folders = {str(PurePosixPath(p).parent): p for p, name in of_image if not name}
        if len(folders) > 1:
            several = ", ".join(sorted(folders.values()))
            unclear[image] = f"expected one folder of labels, found {several}"
        elif of_image:
            pairs.append(Pair(image, filename_words.key(image), tuple(of_image)))
    alone = tuple(i for i in images.paths if i not in labels_of)
    return Pairs(tuple(pairs), alone, tuple(lost), unclear)


class _Finder:
    """Finds the images of a label by its name, among all labels of one data set."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.names: dict[str, set[str]] = defaultdict(set)
        for path in labels:
            name = _joined(filename_words.folder_key(path), filename_words.label_names(path)[0])
            self.names[name.lower()].add(name)

    def __call__(self, path: str, folder: str, images: _Images) -> tuple[list[str], str]:
        """Returns the images and the class."""
        names = filename_words.label_names(path)
        own = [_joined(filename_words.folder_key(path), name).lower() for name in names]
        exact = len(self.names[own[0]]) > 1  # Two labels that differ only in capitals.
        matches = [images.called(folder, name, exact) for name in names]
        if len(matches) > 1 and all(matches) and names[1] and own[1] in self.names:
            return matches[1], ""  # `scan_mask_1` beside `scan_mask`: of the same image.
        if any(matches):
            return next(filter(None, matches)), ""
        for name in names:
            if several := images.with_modality(folder, name):
                return several, ""
            for end in _ends(name):
                start = name[:end]
                if several := images.called(folder, start) or images.with_modality(folder, start):
                    class_name = class_of(name[end + 1 :])
                    return (several, class_name) if class_name else ([], "")
        folders = PurePosixPath(folder).parts
        for number, inner in enumerate(folders):  # A folder for each class.
            rest = "/".join((*folders[:number], *folders[number + 1 :]))
            if class_of(inner) and (several := images.called(rest, names[0], exact)):
                return several, class_of(inner)
        return [], ""


def class_of(rest: str, counted: bool = True) -> str:
    """Returns the class in the end of a label's name; empty if there is none.

    Numbers, single letters, modalities, versions of an image and annotators are not classes.

    Args:
        rest: Part after the name of the image.
        counted: Whether a number at its end counts objects of one class.
    """
    rest = (_COUNT.sub("", rest) if counted else rest).strip(filename_words.SEPARATORS)
    tokens = _SEPARATED.split(rest)
    if not re.match(rf"[^\W\d_]{{2}}|{_WHOLE_WORD}", rest) or re.fullmatch(
        r"[0-9a-fA-F]{16,}", rest
    ):
        return ""
    if all(naming.is_modality(t) or _VARIANT.fullmatch(t) or t.isdecimal() for t in tokens):
        return ""
    return rest


def _of_case_folder(
    lost: Sequence[str], images: _Images, found: Mapping[str, object]
) -> _Assignments:
    """Assigns labels in the folder of a case whose names differ from the image's.

    Such as `s0001/ct.nii.gz` with `s0001/segmentations/liver.nii.gz`, or `7f3a/images/7f3a.png`
    with `7f3a/masks/0b12.png`, an object a file; or the only two of a folder.
    """
    by_folder: dict[str, list[str]] = defaultdict(list)
    for path in lost:
        by_folder[filename_words.folder_key(path)].append(path)
    assigned = []
    for folder, members in by_folder.items():
        if len(near := images.in_folder.get(folder, [])) != 1:
            continue
        image, names = near[0], [filename_words.label_names(path)[0] for path in members]
        if _is_case(folder, image):
            counted = len({_COUNT.sub("", name) for name in names}) == 1
            for path, name in zip(members, names, strict=True):
                class_name = class_of(name, counted)
                in_own_folder = filename_words.is_role(PurePosixPath(path).parent.name)
                if class_name or in_own_folder or not name:
                    assigned.append((path, image, class_name))
        elif (
            len(members) == 1
            and image not in found
            and _fits(names[0], filename_words.image_names(image)[0])
        ):
            assigned.append((members[0], image, ""))
    return assigned


def _is_case(folder: str, image: str) -> bool:
    """Whether a folder is a case: its only image has the name of a modality or of the folder."""
    name, plain = filename_words.image_names(image)
    own = PurePosixPath(folder).name.lower()
    return not plain or naming.is_modality(plain) or own in (name.lower(), plain.lower())


def _fits(label: str, image: str) -> bool:
    """Whether a label's words are all in its image's name."""
    tokens = {*filter(None, _SEPARATED.split(label.lower()))}
    return tokens <= {*_SEPARATED.split(image.lower())}


def _of_sibling_folder(
    lost: Iterable[str], images: _Images, found: Mapping[str, object], find: _Finder
) -> _Assignments:
    """Assigns labels of a folder whose names are those of the images of one other folder.

    Such as `REFUGE-Test400/T0001.jpg` with `REFUGE-Test-GT/Disc_Cup_Masks/T0001.bmp`.
    """
    alone: dict[str, list[str]] = defaultdict(list)
    for image in images.paths:
        if image not in found:
            alone[str(PurePosixPath(image).parent)].append(image)
    by_folder: dict[str, list[str]] = defaultdict(list)
    for path in sorted(lost):
        by_folder[str(PurePosixPath(path).parent)].append(path)
    assigned = []
    for folder, members in by_folder.items():
        near: dict[int, list[str]] = defaultdict(list)
        for other in alone:
            if filename_words.may_be_siblings(folder, other):
                near[_shared_folders(folder, other)].append(other)
        for _, others in sorted(near.items(), reverse=True):  # The nearest that fit.
            # Images may be in several folders, if their names differ; else in one.
            choices = [[image for other in others for image in alone[other]]]
            choices += [alone[other] for other in others] if len(others) > 1 else []
            fitting = [one for paths in choices if (one := _fitting(members, paths, find))]
            if len(fitting) == 1 or (fitting and len(fitting[0]) == len(members)):
                assigned += fitting[0]
            if fitting:
                break
    return assigned


def _shared_folders(one: str, other: str) -> int:
    """Returns the number of folders that two paths share from the top."""
    parts = zip(PurePosixPath(one).parts, PurePosixPath(other).parts, strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], parts))


def _fitting(labels: Sequence[str], images: Sequence[str], find: _Finder) -> _Assignments:
    """Returns the images of labels by name alone; none unless half of the labels have one image."""
    flat = _Images(images, flat=True)
    matches = ((path, *find(path, "", flat)) for path in labels)
    found = [(path, several[0], name) for path, several, name in matches if len(several) == 1]
    return found if 2 * len(found) >= len(labels) else []


def _are_channels(several: Sequence[str]) -> bool:
    """Whether the images of one label differ by a modality or the number of a channel."""
    names = [filename_words.image_names(image) for image in several]
    numbered = all(_CHANNEL.search(name) for name, _ in names)
    ends = all(any(_before_modality(one) is not None for one in both) for both in names)
    return len(set(names)) == len(names) and (numbered or ends)


def _before_modality(name: str) -> str | None:
    """Removes the modality at the end of a name; returns None if there is none."""
    for end in (-1, *_ends(name)):
        if naming.is_modality(name[end + 1 :]):
            return name[: max(end, 0)]
    return None


def _ends(name: str) -> Iterable[int]:
    """Yields the positions of the separators in a name, from its end."""
    return (n for n in range(len(name) - 1, 0, -1) if name[n] in filename_words.SEPARATORS)


def _variants(folder: str, name: str, plain: str) -> tuple[str, str, str, str]:
    exact, plain = _joined(folder, name), _joined(folder, plain)
    return exact, plain, exact.lower(), plain.lower()


def _joined(folder: str, name: str) -> str:
    return "/".join(filter(None, (folder, name)))
