"""Which label belongs to which image, by the names of files and folders."""

import dataclasses
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import PurePosixPath

_LABEL = (
    r"(?:masks?|labels?|labelmaps?|segs?|segmentations?|gts?|ground_?truths?|annotations?|manuals?)"
)
_IMAGE = r"(?:images?|imgs?|scans?|volumes?|pictures?|photos?)"
_SUBSETS = r"(?:tr|ts)?"
LABEL_WORD = re.compile(rf"(?<![a-z]){_LABEL}{_SUBSETS}(?![a-z])", re.IGNORECASE)
IMAGE_WORD = re.compile(rf"(?<![a-z]){_IMAGE}{_SUBSETS}(?![a-z])", re.IGNORECASE)
_NUMBER = re.compile(r"[_-]\d{1,3}$")
_SEPARATORS = " _-."


@dataclasses.dataclass(frozen=True)
class Pair:
    """An image and its labels.

    Attributes:
        image: Its path.
        key: What its name is without words such as `image`.
        labels: Paths of its labels, and the class that each one's name tells, or nothing.
    """

    image: str
    key: str
    labels: tuple[tuple[str, str], ...]


def is_label(path: str) -> bool:
    """Whether a name, or that of a folder above, says that a file holds labels."""
    return any(LABEL_WORD.search(part) for part in _parts(path))


def is_role(folder: str) -> bool:
    """Whether a folder's name says nothing but that images or labels are in it."""
    return bool(IMAGE_WORD.fullmatch(folder) or LABEL_WORD.fullmatch(folder))


def key(path: str) -> str:
    """A path without its suffix and without the words that say image or label."""
    parts = []
    for part in _parts(path):
        word = LABEL_WORD.search(part)
        if word:
            # A second lesion is `..._mask_1`: the number counts masks, it names no image.
            part = part[: word.start()] + _NUMBER.sub("", part[word.end() :])
        part = IMAGE_WORD.sub("", part)
        part = re.sub(r"([ _.-])[ _.-]+", r"\1", part).strip(_SEPARATORS)
        if part:
            parts.append(part)
    return "/".join(parts)


def pair(files: Iterable[str]) -> tuple[list[Pair], list[str], dict[str, list[str]]]:
    """Finds the labels of every image of one dataset.

    A label has its image's key, or that and then the name of its class.

    Args:
        files: Paths relative to the dataset's folder.

    Returns:
        Pairs in the order of the images, with no labels where none was found; labels that no
        image was found for; and images with several folders of labels, which cannot be told
        apart, with one label of each.
    """
    images: dict[str, list[str]] = defaultdict(list)
    labels = []
    for path in files:
        if is_label(path):
            labels.append(path)
        else:
            images[key(path).lower()].append(path)
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    lost = []
    for path in labels:
        match = _match(key(path), images)
        if match is None:
            lost.append(path)
        else:
            found[match[0]].append((path, match[1]))
    alone = [k for k in images if k not in found]
    for path in list(lost):  # One image and one label in a folder belong together.
        folder = PurePosixPath(path).parent
        near = [k for k in alone if any(PurePosixPath(i).parent == folder for i in images[k])]
        if len(near) == 1 and sum(PurePosixPath(p).parent == folder for p in lost) == 1:
            found[near[0]].append((path, ""))
            lost.remove(path)
    pairs, unclear = [], {}
    for name, paths in images.items():
        of_image = sorted(found.get(name, []))
        folders = {str(PurePosixPath(p).parent): p for p, cls in of_image if not cls}
        for image in paths:
            if len(folders) > 1:
                unclear[image] = sorted(folders.values())
            else:
                pairs.append(Pair(image, key(image), tuple(of_image)))
    return pairs, lost, unclear


def without_suffix(path: str) -> str:
    """A path without the suffix of its file; `.nii.gz` is one."""
    pure = PurePosixPath(path)
    name = pure.name
    if name.lower().endswith(".gz"):
        name = name[:-3]
    return str(pure.with_name(PurePosixPath(name).stem))


def _match(label: str, images: dict[str, list[str]]) -> tuple[str, str] | None:
    """The image's key that a label's key begins with, and what follows: its class."""
    lower = label.lower()
    if lower in images:
        return lower, ""
    for end in range(len(lower) - 1, 0, -1):
        if lower[end] in _SEPARATORS and lower[:end] in images:
            return lower[:end], _NUMBER.sub("", label[end + 1 :]).strip(_SEPARATORS)
    return None


def _parts(path: str) -> tuple[str, ...]:
    return PurePosixPath(without_suffix(path)).parts
