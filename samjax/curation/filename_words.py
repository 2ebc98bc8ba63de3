"""Finds words in file and folder names that mean images, labels or a subset."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from pathlib import PurePosixPath

_LABEL = (
    r"(?:masks?|msks?|labels?|lbls?|label_?maps?|segs?|segms?|segmentations?|segmented|gts?|"
    r"ground(?:[ _-]?truths?)?|truths?|annotations?|annos?|annots?|manuals?|rois?)"
)
_IMAGE = (
    r"(?:images?|imgs?|ims?|imaging|scans?|volumes?|vols?|pictures?|photos?|originals?|orig|inputs?|"
    r"raw|data)"
)
_SUBSETS = r"(?:[Tt][rs]|[Vv]a)?"
_START = r"(?:(?<![A-Za-z])|(?<=[a-z])(?=[A-Z]))"  # Also of a word within camelCase.
LABEL_WORD = re.compile(rf"{_START}(?i:{_LABEL}){_SUBSETS}(?![A-Za-z])")
IMAGE_WORD = re.compile(rf"{_START}(?i:{_IMAGE}){_SUBSETS}(?![A-Za-z])")
_SUBSET = re.compile(
    r"(?i)(?:(?<![a-z])|(?<=images)|(?<=labels))"
    r"(?:(?P<train>tr|train(?:ing)?)|(?P<val>va|val(?:id(?:ation)?)?)|(?P<test>ts|test(?:ing)?))"
    r"(?:sets?|[ab])?(?![a-z])"
)
_UNLABELLED = re.compile(r"(?i)(?:unlabell?ed|no_?labels?)")
_NUMBER = re.compile(r"[ _-]?\(?\d{1,3}\)?$")
SEPARATORS = " _-."


def without_suffix(path: str) -> str:
    """Removes the suffix from a path; `.nii.gz` and `.seg.nrrd` count as one suffix."""
    pure = PurePosixPath(path)
    name = re.sub(r"(?i)(?<=.)(\.nii\.gz|\.seg\.nrrd|\.[^.]*)$", _kept_word, pure.name)
    return str(pure.with_name(name))


def _kept_word(suffix: re.Match[str]) -> str:
    """Returns `.seg` for the suffix `.seg.nrrd`, as the word means labels; else nothing."""
    return ".seg" if suffix[0].lower() == ".seg.nrrd" else ""


def parts(path: str) -> tuple[str, ...]:
    """Splits a path into folders and file name without suffix; accents are composed (NFC).

    Some systems store `é` as one character and others as two.
    """
    return PurePosixPath(unicodedata.normalize("NFC", without_suffix(path))).parts


def is_role(folder: str) -> bool:
    """Whether a folder's name only means images or labels."""
    return bool(IMAGE_WORD.fullmatch(folder) or LABEL_WORD.fullmatch(folder))


def labels_among(paths: Iterable[str]) -> set[str]:
    """Selects the files that are labels by their names or those of their folders.

    If only some files of a folder are labels by the names below it, the folder's name is the title
    of a data set and is not considered: `Kvasir-SEG/images` and `Kvasir-SEG/masks`.
    """
    found: set[str] = set()
    below: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        *folders, name = parts(path)
        if LABEL_WORD.search(name):
            found.add(path)
        for depth, folder in enumerate(folders, start=1):
            if LABEL_WORD.search(folder):
                below["/".join(folders[:depth])].append(path)
    for folder in sorted(below, key=lambda f: -f.count("/")):
        inner = below[folder]
        is_title = 0 < sum(path in found for path in inner) < len(inner)
        if not is_title or LABEL_WORD.fullmatch(PurePosixPath(folder).name):
            found.update(inner)
    return found


def folder_key(path: str) -> str:
    """Returns the folders of a file without words for image or label."""
    return "/".join(filter(None, map(_plain, parts(path)[:-1])))


def image_names(path: str) -> tuple[str, str]:
    """Returns the name of an image as it is, and without words for image."""
    name = parts(path)[-1]
    return name, _tidied(IMAGE_WORD.sub("", name))


def label_names(path: str) -> tuple[str, ...]:
    """Returns possible names of a label's image: the name without words for label.

    The number after the word may be the image's (`mask_1` of `image_1`) or count masks
    (`scan_mask_1` of `scan`): first with the number, then without.
    """
    name = parts(path)[-1]
    words = [*LABEL_WORD.finditer(name)]
    if not words:
        return (name,)
    rest = name[words[-1].end() :]
    before = LABEL_WORD.sub("", name[: words[-1].end()])
    counted = before if _NUMBER.fullmatch(rest) else before + rest
    return tuple(dict.fromkeys(_tidied(one) for one in (before + rest, counted)))


def plain(name: str) -> str:
    """Removes the words for image from a name."""
    return _tidied(IMAGE_WORD.sub("", name))


def key(path: str) -> str:
    """Returns a path without suffix and without words for image or label."""
    name = plain(label_names(path)[-1])
    return "/".join(filter(None, (folder_key(path), name)))


def subsets(path: str) -> set[str]:
    """Returns the subsets (`train`, `val`, `test`) in the names of a file's folders."""
    found = (m for part in parts(path)[:-1] for m in _SUBSET.finditer(part))
    return {str(match.lastgroup) for match in found}


def may_be_siblings(one: str, other: str) -> bool:
    """Whether two folders may be the images and the labels of one data set.

    They may not name different subsets. Where the paths differ, the names share a word, or one has
    no other words than those for images or labels.
    """
    if (mine := subsets(f"{one}/x")) and (theirs := subsets(f"{other}/x")) and not mine & theirs:
        return False
    for here, there in zip(PurePosixPath(one).parts, PurePosixPath(other).parts, strict=False):
        if here != there:
            left, right = (_other_words(part) for part in (here, there))
            return not left or not right or bool(left & right)
    return True


def _other_words(part: str) -> set[str]:
    """Returns the words of a folder's name except those for images, labels and subsets."""
    rest = _SUBSET.sub("", IMAGE_WORD.sub("", LABEL_WORD.sub("", part)))
    return {*filter(None, re.split(r"[\W_]+", rest.lower()))}


def is_for_testing(path: str) -> bool:
    """Whether a folder's name implies images without labels."""
    folders = "/".join(PurePosixPath(path).parts[:-1])
    return bool(_UNLABELLED.search(folders) or subsets(path) & {"val", "test"})


def _plain(part: str) -> str:
    return _tidied(IMAGE_WORD.sub("", LABEL_WORD.sub("", part)))


def _tidied(name: str) -> str:
    return re.sub(r"([ _.-])[ _.-]+", r"\1", name).strip(SEPARATORS)
